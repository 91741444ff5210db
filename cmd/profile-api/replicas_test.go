package main_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// twoReplicas are two processes on one database and one Valkey, and an admin.
func twoReplicas(t *testing.T) (s *stack, a, b *program, admin string) {
	t.Helper()
	s = newStack(t)
	a, b = s.replica(t), s.replica(t)
	admin = s.clerk.Mint(clerkstandin.WithUser(newUserID()), clerkstandin.WithRole("admin"))
	return s, a, b, admin
}

func (p *program) post(t *testing.T, path, token, body string, headers ...string) reply {
	t.Helper()
	return p.call(t, "POST", path, token, body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

// profile is what the tests read of an own or admin view.
type profile struct {
	ID       string          `json:"id"`
	Handle   string          `json:"handle"`
	Version  int64           `json:"version"`
	Metadata json.RawMessage `json:"metadata"`
}

func (r reply) profile(t *testing.T) (p profile) {
	t.Helper()
	if err := json.Unmarshal(r.body, &p); err != nil || r.status != 200 {
		t.Fatalf("got %d %s: %v", r.status, r.body, err)
	}
	return p
}

// A suspension on one replica is in force on the other with the very next request.
func TestSuspensionReachesEveryReplica(t *testing.T) {
	parallel(t)
	s, a, b, admin := twoReplicas(t)
	token, _ := s.person(t)
	p := b.get(t, "/v1/profiles/me", token).profile(t)
	for range 10 {
		if r := a.post(t, "/v1/admin/profiles/"+p.ID+"/suspend", admin, `{"reason":"abuse"}`); r.status != 200 {
			t.Fatalf("suspend: %d %s", r.status, r.body)
		}
		b.get(t, "/v1/profiles/me", token).wantProblem(t, 403, "account-suspended")
		b.get(t, "/v1/profiles/"+p.Handle, "").wantProblem(t, 404, "not-found")
		if r := b.post(t, "/v1/admin/profiles/"+p.ID+"/reactivate", admin, ""); r.status != 200 {
			t.Fatalf("reactivate: %d %s", r.status, r.body)
		}
		if r := a.get(t, "/v1/profiles/me", token); r.status != 200 {
			t.Errorf("after the end: %d %s", r.status, r.body)
		}
	}
	until := time.Now().Add(1500 * time.Millisecond).UTC().Format(time.RFC3339Nano)
	if r := a.post(t, "/v1/admin/profiles/"+p.ID+"/suspend", admin, `{"reason":"abuse","until":"`+until+`"}`); r.status != 200 {
		t.Fatalf("suspend: %d %s", r.status, r.body)
	}
	b.get(t, "/v1/profiles/me", token).wantProblem(t, 403, "account-suspended")
	eventually(t, "the suspension ends by itself", func() bool { return b.get(t, "/v1/profiles/me", token).status == 200 })
}

// Fifty people's fields of one profile, each written by whoever reads the version, changes it and tries again: none is lost.
func TestParallelDisjointEditsAllSurvive(t *testing.T) {
	parallel(t)
	s, a, b, _ := twoReplicas(t)
	token, _ := s.person(t)
	a.get(t, "/v1/profiles/me", token)
	const editors = 50
	var refused atomic.Int32
	var wg sync.WaitGroup
	for i := range editors {
		replica := []*program{a, b}[i%2]
		wg.Go(func() {
			for range 500 {
				read := replica.get(t, "/v1/profiles/me", token)
				r := replica.call(t, "PATCH", "/v1/profiles/me", token, fmt.Sprintf(`{"metadata":{"editor_%d":%d}}`, i, i),
					"Content-Type", "application/merge-patch+json", "If-Match", read.header.Get("ETag"))
				switch r.status {
				case 200:
					return
				case 412:
					refused.Add(1)
				default:
					t.Errorf("editor %d: %d %s", i, r.status, r.body)
					return
				}
			}
			t.Errorf("editor %d never got through", i)
		})
	}
	wg.Wait()
	p := b.get(t, "/v1/profiles/me", token).profile(t)
	var metadata map[string]int
	if err := json.Unmarshal(p.Metadata, &metadata); err != nil || len(metadata) != editors {
		t.Errorf("%d of %d edits survived: %v", len(metadata), editors, err)
	}
	if p.Version != editors+1 {
		t.Errorf("version %d, want %d", p.Version, editors+1)
	}
	t.Logf("%d edits, %d refused with 412 and tried again", editors, refused.Load())
}

// Twenty people want one handle at once: one gets it, the others are told that it is taken.
func TestRaceForAHandle(t *testing.T) {
	parallel(t)
	s, a, b, _ := twoReplicas(t)
	for round := range 3 {
		handle := "wanted_" + strconv.Itoa(round)
		var won, taken atomic.Int32
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range 20 {
			token, _ := s.person(t)
			replica := []*program{a, b}[i%2]
			replica.get(t, "/v1/profiles/me", token)
			wg.Go(func() {
				<-start
				switch r := replica.patch(t, "/v1/profiles/me", token, `{"handle":"`+handle+`"}`); r.status {
				case 200:
					won.Add(1)
				case 409:
					r.wantProblem(t, 409, "handle-taken")
					taken.Add(1)
				default:
					t.Errorf("%d %s", r.status, r.body)
				}
			})
		}
		close(start)
		wg.Wait()
		if won.Load() != 1 || taken.Load() != 19 {
			t.Errorf("%d won, %d were told it is taken", won.Load(), taken.Load())
		}
	}
}

// A listing walked while people come and go on another replica shows each of the others once.
func TestPagesStayRightWhileRowsComeAndGo(t *testing.T) {
	parallel(t)
	s, a, b, admin := twoReplicas(t)
	kept := map[string]int{}
	for range 40 {
		token, _ := s.person(t)
		kept[a.get(t, "/v1/profiles/me", token).profile(t).ID] = 0
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			token, _ := s.person(t)
			b.get(t, "/v1/profiles/me", token)
		}
	})
	for _, sort := range []string{"created_at", "-created_at", "handle"} {
		seen := map[string]int{}
		next := "/v1/admin/profiles?limit=3&sort=" + sort
		for range 400 {
			r := a.get(t, next, admin)
			var page struct {
				Data       []profile `json:"data"`
				NextCursor *string   `json:"next_cursor"`
			}
			if err := json.Unmarshal(r.body, &page); err != nil || r.status != 200 {
				t.Fatalf("%d %s: %v", r.status, r.body, err)
			}
			all := true
			for _, p := range page.Data {
				seen[p.ID]++
			}
			for id := range kept {
				all = all && seen[id] > 0
			}
			if page.NextCursor == nil || all {
				break
			}
			next = "/v1/admin/profiles?limit=3&sort=" + sort + "&cursor=" + *page.NextCursor
		}
		for id := range kept {
			if seen[id] != 1 {
				t.Errorf("%s: %s was seen %d times", sort, id, seen[id])
			}
		}
	}
	close(stop)
	wg.Wait()
}
