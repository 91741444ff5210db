package clerkstandin_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

type settableClock struct{ now time.Time }

func (c *settableClock) Now() time.Time { return c.now }

// backendOf asks the Backend API of a stand-in.
func backendOf(t *testing.T, s *clerkstandin.Server) func(path string) (int, http.Header, string) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return func(path string) (int, http.Header, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1"+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.SecretKey())
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header, string(body)
	}
}

func standin(t *testing.T, opts clerkstandin.Options) *clerkstandin.Server {
	t.Helper()
	s, err := clerkstandin.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRateLimit(t *testing.T) {
	clock := &settableClock{time.Unix(1e9, 0)}
	s := standin(t, clerkstandin.Options{Clock: clock})
	get := backendOf(t, s)
	s.SetRateLimit(2, 10*time.Second)
	statuses := func() (list []int) {
		for range 3 {
			status, header, _ := get("/users")
			list = append(list, status)
			if (status == 429) != (header.Get("Retry-After") != "") {
				t.Errorf("%d with Retry-After %q", status, header.Get("Retry-After"))
			}
		}
		return list
	}
	if got := statuses(); !slices.Equal(got, []int{200, 200, 429}) {
		t.Errorf("the first window: %v", got)
	}
	clock.now = clock.now.Add(9500 * time.Millisecond)
	if status, header, _ := get("/users/" + clerkstandin.UserID("ada")); status != 429 || header.Get("Retry-After") != "1" {
		t.Errorf("half a second before the next one: %d, %v", status, header)
	}
	clock.now = clock.now.Add(time.Second)
	if got := statuses(); !slices.Equal(got, []int{200, 200, 429}) || s.RateLimited() != 3 {
		t.Errorf("the second window: %v; refused %d", got, s.RateLimited())
	}
	s.SetRateLimit(0, 0)
	if got := statuses(); !slices.Equal(got, []int{200, 200, 200}) {
		t.Errorf("without a limit: %v", got)
	}
}

func TestPagesBreakFromAnOffset(t *testing.T) {
	s := standin(t, clerkstandin.Options{})
	get := backendOf(t, s)
	s.BreakPages(2, clerkstandin.Fault{Body: []byte("[]")})
	for path, want := range map[string]int{"/users?limit=2&offset=0": 2, "/users?limit=2&offset=1": 2, "/users?limit=2&offset=2": 0} {
		var list []any
		if _, _, body := get(path); json.Unmarshal([]byte(body), &list) != nil || len(list) != want {
			t.Errorf("%s: %s", path, body)
		}
	}
	if status, _, _ := get("/users/" + clerkstandin.UserID("ada")); status != 200 {
		t.Errorf("one person is %d", status)
	}
	s.HealPages()
	if _, _, body := get("/users?limit=2&offset=2"); body == "[]" {
		t.Error("it is not healed")
	}
	if got := s.PagesAsked(); len(got) != 4 || got[3] != 2 {
		t.Errorf("asked for %v", got)
	}
}

func TestEmailsInEveryState(t *testing.T) {
	p := clerkstandin.NewPerson("ada", "Ada", "Lovelace", "")
	p.EmailVerified = false
	p.OtherEmails = []clerkstandin.Email{{Address: "work@example.com", Verified: true}, {Address: "old@example.com"}}
	p.Locked, p.LockoutEndsIn = true, time.Minute
	p.Override = map[string]any{"updated_at": "yesterday"}
	user := clerkstandin.UserJSON(p)
	ids, states := map[any]bool{}, []string{}
	for _, e := range user["email_addresses"].([]any) {
		email := e.(map[string]any)
		ids[email["id"]] = true
		states = append(states, email["email_address"].(string)+" "+email["verification"].(map[string]any)["status"].(string))
	}
	if want := []string{"ada@example.com unverified", "work@example.com verified", "old@example.com unverified"}; !slices.Equal(states, want) {
		t.Errorf("%v, want %v", states, want)
	}
	if len(ids) != 3 || !ids[user["primary_email_address_id"]] || user["lockout_expires_in_seconds"] != int64(60) ||
		user["updated_at"] != "yesterday" {
		t.Errorf("ids %v, primary %v, lockout %v", ids, user["primary_email_address_id"], user["lockout_expires_in_seconds"])
	}
}
