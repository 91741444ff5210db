package seed

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// history is how long ago the first person signed up.
const history = 3 * 365 * 24 * time.Hour

// admins is how many of a run's first people suspended the others.
const admins = 5

// clerkPrefix marks who was made here. Clerk's own ids have no underscore after user_.
const clerkPrefix = "user_seed_"

// person is everybody's row in each table.
type person struct {
	profile     domain.Profile
	preferences domain.Preferences
	events      []domain.AuditEvent // in the order in which they happened; their number is the profile's version
}

// generator makes the people of one run. What it makes of an index depends on
// nothing but the index and the generator's fields.
type generator struct {
	seed        uint64
	first, rows int64 // the run's indexes: first to first+rows-1
	until       time.Time
}

// source is the randomness of one person.
type source struct{ *rand.Rand }

func (g generator) source(index int64) source {
	return source{rand.New(rand.NewPCG(g.seed, uint64(index)))} // #nosec G115 G404 -- the same people each time is the purpose
}

// person makes the one of that index. Later indexes signed up later, and ever
// more of them in a month, as a service grows.
func (g generator) person(index int64) person {
	r := g.source(index)
	p, given, family := g.profile(r, index)
	r.describe(&p, given, family)
	made := person{profile: p, preferences: r.preferences(p)}
	made.events = append(made.events, r.event(p, domain.ActionProfileCreated, domain.ActorUser, p.ID, nil, p.CreatedAt))
	switch {
	case r.chance(0.02):
		g.suspend(r, &made)
	case r.chance(0.5):
		at := r.between(p.CreatedAt, g.until)
		made.happened(r.event(p, domain.ActionProfileUpdated, domain.ActorUser, p.ID, changes[r.IntN(len(changes))], at))
	}
	return made
}

// profile makes what everybody has.
func (g generator) profile(r source, index int64) (p domain.Profile, given, family name) {
	created := g.createdAt(r, index)
	given, family = pick(r, givenNames), pick(r, familyNames)
	serial := strconv.FormatInt(index, 36) // ends the handle and the address: no two people share one
	p = domain.Profile{
		ID: r.id(created), ClerkUserID: clerkPrefix + fmt.Sprintf("%012d", index), Handle: r.handle(given, family, serial),
		Links: []domain.Link{}, Visibility: domain.VisibilityPublic, Status: domain.StatusActive,
		Metadata: json.RawMessage(`{}`), AppMetadata: json.RawMessage(`{}`),
		Version: 1, ClerkUpdatedAt: &created, CreatedAt: created, UpdatedAt: created,
	}
	if r.chance(0.9) {
		p.Email = text(given.ascii + "." + family.ascii + "." + serial + "@" + mailDomains[r.IntN(len(mailDomains))])
	}
	return p, given, family
}

// createdAt grows with the index. The explicit conversions keep a compiler from
// fusing the operations, which rounds differently on some machines.
func (g generator) createdAt(r source, index int64) time.Time {
	share := (float64(index-g.first) + r.Float64()) / float64(g.rows)
	age := float64(history) * float64(1-math.Sqrt(share))
	return g.until.Add(-time.Duration(age)).UTC().Truncate(time.Microsecond)
}

// id is a UUID v7 (RFC 9562, section 5.7) of that moment.
func (r source) id(at time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(at.UnixMilli(), 0))<<16|0x7000|r.Uint64N(1<<12))
	binary.BigEndian.PutUint64(b[8:], 1<<63|r.Uint64N(1<<62))
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// handle has at most 30 characters for every index below 36^8; see the test.
func (r source) handle(given, family name, serial string) string {
	switch n := r.IntN(10); {
	case n < 2:
		return "seed_" + serial
	case n < 5:
		return given.ascii + "_" + serial
	case n < 8:
		return strings.ToUpper(given.ascii[:1]) + given.ascii[1:] + "_" + serial
	}
	return given.ascii[:1] + "_" + family.ascii + "_" + serial
}

// describe fills in what a person may leave out.
func (r source) describe(p *domain.Profile, given, family name) {
	if r.chance(0.9) {
		p.DisplayName = text(given.written + " " + family.written)
	}
	if r.chance(0.3) {
		bio := bios[r.IntN(len(bios))]
		if r.chance(0.2) {
			bio += "\n" + bios[r.IntN(len(bios))]
		}
		p.Bio = &bio
	}
	if r.chance(0.7) {
		p.AvatarURL = text("https://img.example.com/" + p.ClerkUserID)
	}
	if r.chance(0.5) {
		at := places[r.IntN(len(places))]
		p.Location, p.Locale, p.TimeZone = &at.location, &at.locale, &at.timeZone
	}
	if r.chance(0.2) {
		p.ThemeColor = &themeColors[r.IntN(len(themeColors))]
		p.BannerURL = text("https://img.example.com/banners/" + strconv.Itoa(r.IntN(500)))
	}
	if r.chance(0.25) {
		for range 1 + r.IntN(3) {
			p.Links = append(p.Links, domain.Link{Label: linkLabels[r.IntN(len(linkLabels))], URL: "https://" + family.ascii + ".example/" + p.Handle})
		}
	}
	if r.chance(0.05) {
		p.Visibility = domain.VisibilityPrivate
	}
	if r.chance(0.2) {
		p.Metadata = json.RawMessage(metadata[r.IntN(len(metadata))])
	}
	if r.chance(0.05) {
		p.AppMetadata = json.RawMessage(appMetadata[r.IntN(len(appMetadata))])
	}
}

func (r source) preferences(p domain.Profile) domain.Preferences {
	prefs := *domain.DefaultPreferences(p.ID, p.CreatedAt)
	if r.chance(0.3) {
		prefs.Theme = domain.ThemeDark
		prefs.ContentLanguage = p.Locale
		prefs.EmailNotifications = domain.EmailNotifications{Product: r.chance(0.3), Security: true, Digest: r.chance(0.5)}
		prefs.ReducedMotion = r.chance(0.1)
		prefs.Version = 2
	}
	return prefs
}

// suspend has one of the run's first people, as an admin, suspend this one: half
// of the suspensions have no end, and a fifth have ended by themselves.
func (g generator) suspend(r source, made *person) {
	p := &made.profile
	at := r.between(p.CreatedAt, g.until)
	p.Status, p.SuspendedReason = domain.StatusSuspended, &suspensionReasons[r.IntN(len(suspensionReasons))]
	switch n := r.IntN(10); {
	case n < 2:
		until := r.between(at, g.until)
		p.SuspendedUntil = &until
	case n < 5:
		until := r.between(g.until.Add(24*time.Hour), g.until.Add(90*24*time.Hour))
		p.SuspendedUntil = &until
	}
	index := g.first + r.Int64N(min(admins, g.rows))
	by := g.source(index)
	admin, _, _ := g.profile(by, index)
	changed := []string{"status", "suspended_reason", "suspended_until"}
	made.happened(r.event(*p, domain.ActionProfileSuspended, domain.ActorAdmin, admin.ID, changed, at))
}

// happened adds an event after the creation.
func (made *person) happened(e domain.AuditEvent) {
	made.events = append(made.events, e)
	made.profile.Version++
	made.profile.UpdatedAt = e.OccurredAt
}

func (r source) event(
	p domain.Profile, action domain.AuditAction, kind domain.ActorKind, actor string, changed []string, at time.Time,
) domain.AuditEvent {
	network := "203.0." + strconv.Itoa(r.IntN(256)) + ".0/24"
	if r.chance(0.3) {
		network = "2001:db8:" + strconv.FormatInt(1+r.Int64N(0xfffe), 16) + "::/48"
	}
	return domain.AuditEvent{
		ID: r.id(at), OccurredAt: at, Action: action, ActorKind: kind, ActorID: &actor, ProfileID: p.ID,
		ChangedFields: append([]string{}, changed...), RequestID: strconv.FormatUint(r.Uint64()|1<<63, 16), ClientNetwork: network,
	}
}

func (r source) chance(p float64) bool { return r.Float64() < p }

// between is a moment from start, inclusive, to end.
func (r source) between(start, end time.Time) time.Time {
	return start.Add(time.Duration(r.Int64N(max(int64(end.Sub(start)), 1)))).Truncate(time.Microsecond)
}

// pick prefers the early ones: the first is taken a dozen times as often as the last.
func pick(r source, from []name) name {
	x := r.Float64()
	return from[int(float64(len(from))*float64(x*x))]
}

func text(s string) *string { return &s }
