package clerkstandin

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Person is somebody whom the stand-in knows, as Clerk would.
type Person struct {
	ID             string // user_2 and 26 letters and digits
	Username       string
	FirstName      string
	LastName       string
	Email          string // primary address; empty for none
	EmailVerified  bool
	OtherEmails    []Email // beside the primary one
	ImageURL       string
	PublicMetadata map[string]any // becomes the claim metadata of the person's tokens
	Banned         bool
	Locked         bool
	LockoutEndsIn  time.Duration // of a lock, in whole seconds; zero: it does not end by itself
	CreatedAt      time.Time
	UpdatedAt      time.Time      // zero is CreatedAt
	Override       map[string]any // members of the document rendered as they are, for what Clerk should not say
}

// Email is an e-mail address of somebody.
type Email struct {
	Address  string
	Verified bool
}

// NewPerson makes somebody with an id that follows from the name alone.
func NewPerson(username, first, last, role string) Person {
	p := Person{
		ID:       UserID(username),
		Username: username, FirstName: first, LastName: last,
		Email: username + "@example.com", EmailVerified: true,
		ImageURL:       "https://img.clerk.com/" + username,
		PublicMetadata: map[string]any{},
		CreatedAt:      time.Date(2025, 1, 15, 9, 30, 0, 0, time.UTC),
	}
	if role != "" {
		p.PublicMetadata["role"] = role
	}
	return p
}

// UserID is the Clerk id of a name, always the same one.
func UserID(name string) string {
	sum := sha256.Sum256([]byte("user " + name))
	return "user_2" + base62(sum[:], 26)
}

// SamplePeople are the four of the zero set-up stack; ada is an admin.
func SamplePeople() []Person {
	return []Person{
		NewPerson("ada", "Ada", "Lovelace", "admin"),
		NewPerson("grace", "Grace", "Hopper", ""),
		NewPerson("alan", "Alan", "Turing", ""),
		NewPerson("barbara", "Barbara", "Liskov", ""),
	}
}

// directory is the people known now, in order of arrival.
type directory struct {
	mu     sync.Mutex
	people []Person
}

func (d *directory) fill(people []Person) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.people = slices.Clone(people)
}

// find looks somebody up by id or user name.
func (d *directory) find(idOrName string) (Person, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.people, func(p Person) bool { return p.ID == idOrName || p.Username == idOrName })
	if i < 0 {
		return Person{}, false
	}
	return d.people[i], true
}

func (d *directory) put(p Person) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.people = append(slices.DeleteFunc(d.people, func(q Person) bool { return q.ID == p.ID }), p)
}

func (d *directory) remove(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := len(d.people)
	d.people = slices.DeleteFunc(d.people, func(p Person) bool { return p.ID == id })
	return len(d.people) < before
}

func (d *directory) all() []Person {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.people)
}

// Person looks somebody up by Clerk id or user name.
func (s *Server) Person(idOrName string) (Person, bool) { return s.people.find(idOrName) }

// People lists who is known now.
func (s *Server) People() []Person { return s.people.all() }

// PutPerson adds somebody, or replaces the person with that id.
func (s *Server) PutPerson(p Person) { s.people.put(p) }

// RemovePerson deletes somebody as the DELETE of the users API does.
func (s *Server) RemovePerson(id string) bool { return s.people.remove(id) }

// UserJSON renders a person as Clerk's Backend API and webhooks do.
func UserJSON(p Person) map[string]any {
	created := p.CreatedAt.UnixMilli()
	updated := created
	if !p.UpdatedAt.IsZero() {
		updated = p.UpdatedAt.UnixMilli()
	}
	meta := p.PublicMetadata
	if meta == nil {
		meta = map[string]any{}
	}
	emails, primary := emailJSON(p, created, updated)
	document := map[string]any{
		"id": p.ID, "object": "user",
		"username": orNull(p.Username), "first_name": orNull(p.FirstName), "last_name": orNull(p.LastName),
		"image_url": p.ImageURL, "has_image": p.ImageURL != "", "locale": nil,
		"email_addresses": emails, "primary_email_address_id": primary,
		"phone_numbers": []any{}, "primary_phone_number_id": nil,
		"web3_wallets": []any{}, "primary_web3_wallet_id": nil,
		"passkeys": []any{}, "external_accounts": []any{}, "saml_accounts": []any{}, "enterprise_accounts": []any{},
		"password_enabled": true, "two_factor_enabled": false, "totp_enabled": false, "backup_code_enabled": false,
		"mfa_enabled_at": nil, "mfa_disabled_at": nil,
		"public_metadata": meta, "private_metadata": map[string]any{}, "unsafe_metadata": map[string]any{},
		"external_id": nil, "last_sign_in_at": created, "last_active_at": created, "legal_accepted_at": nil,
		"banned": p.Banned, "locked": p.Locked,
		"lockout_expires_in_seconds": lockoutJSON(p), "verification_attempts_remaining": 100,
		"created_at": created, "updated_at": updated,
		"delete_self_enabled": true, "create_organization_enabled": true,
	}
	maps.Copy(document, p.Override)
	return document
}

func lockoutJSON(p Person) any {
	if !p.Locked || p.LockoutEndsIn == 0 {
		return nil
	}
	return int64(p.LockoutEndsIn / time.Second)
}

// emailJSON lists the primary address first and gives its id.
func emailJSON(p Person, created, updated int64) (emails []any, primary any) {
	emails = []any{}
	if p.Email != "" {
		primary = emailID(p, "")
		emails = append(emails, oneEmailJSON(emailID(p, ""), Email{p.Email, p.EmailVerified}, created, updated))
	}
	for _, e := range p.OtherEmails {
		emails = append(emails, oneEmailJSON(emailID(p, e.Address), e, created, updated))
	}
	return emails, primary
}

func emailID(p Person, other string) string {
	sum := sha256.Sum256([]byte("email " + p.ID + other))
	return "idn_2" + base62(sum[:], 26)
}

func oneEmailJSON(id string, e Email, created, updated int64) map[string]any {
	status := "unverified"
	if e.Verified {
		status = "verified"
	}
	return map[string]any{
		"id": id, "object": "email_address", "email_address": e.Address, "reserved": false,
		"verification": map[string]any{
			"object": "verification_otp", "status": status, "strategy": "email_code", "attempts": 1, "expire_at": created,
		},
		"linked_to": []any{}, "matches_sso_connection": false,
		"created_at": created, "updated_at": updated,
	}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// byCreation orders people as the users API's order_by asks: created_at or, the default, -created_at.
func byCreation(people []Person, orderBy string) {
	slices.SortStableFunc(people, func(a, b Person) int {
		c := cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
		if strings.TrimPrefix(orderBy, "+") == "created_at" {
			return c
		}
		return -c
	})
}

func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil { // only maps, strings and numbers come here, or what a test asked for
		panic("clerkstandin: " + err.Error())
	}
	return data
}
