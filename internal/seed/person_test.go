package seed

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
)

var until = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

func opt[T any](v *T) (o domain.Opt[T]) {
	if v != nil {
		o.Set, o.Value = true, *v
	}
	return o
}

// Everybody could have become what they are through the API.
func TestPeopleKeepTheDomainsRules(t *testing.T) {
	for _, first := range []int64{0, lastIndex - 2999} {
		g := generator{seed: 7, first: first, rows: 3000, until: until}
		handles := map[string]bool{}
		for i := first; i < first+3000; i++ {
			made := g.person(i)
			p := made.profile
			if fault := domain.HandleFault(p.Handle); fault != "" || handles[domain.HandleKey(p.Handle)] {
				t.Fatalf("handle %q: %q, or it is not the only one", p.Handle, fault)
			}
			handles[domain.HandleKey(p.Handle)] = true
			fresh := domain.NewProfile(p.ClerkUserID, "somebody", p.CreatedAt)
			visibility := string(p.Visibility)
			_, err := fresh.ApplyAdmin(domain.AdminPatch{
				ProfilePatch: domain.ProfilePatch{
					Handle: opt(&p.Handle), DisplayName: opt(p.DisplayName), Bio: opt(p.Bio), BannerURL: opt(p.BannerURL), Location: opt(p.Location),
					ThemeColor: opt(p.ThemeColor), Locale: opt(p.Locale), TimeZone: opt(p.TimeZone), Visibility: opt(&visibility),
					Links: opt(&p.Links), Metadata: opt(&p.Metadata),
				},
				AppMetadata: opt(&p.AppMetadata),
			}, p.UpdatedAt)
			if err != nil {
				t.Fatalf("%+v: %v", p, err)
			}
			checkDates(t, g, made)
			for what, same := range map[string]bool{
				"display name": reflect.DeepEqual(fresh.DisplayName, p.DisplayName), "bio": reflect.DeepEqual(fresh.Bio, p.Bio),
				"metadata": json.Valid(p.Metadata) && json.Valid(p.AppMetadata), "links": reflect.DeepEqual(fresh.Links, p.Links),
			} {
				if !same {
					t.Fatalf("%s: %+v would be stored as %+v", what, p, fresh)
				}
			}
		}
	}
}

func checkDates(t *testing.T, g generator, made person) {
	t.Helper()
	p := made.profile
	last := made.events[len(made.events)-1]
	if p.Version != int64(len(made.events)) || !p.UpdatedAt.Equal(last.OccurredAt) || !made.events[0].OccurredAt.Equal(p.CreatedAt) {
		t.Fatalf("version %d, updated %s, events %+v", p.Version, p.UpdatedAt, made.events)
	}
	if p.CreatedAt.Before(g.until.Add(-history)) || p.UpdatedAt.After(g.until) || p.UpdatedAt.Before(p.CreatedAt) {
		t.Fatalf("created %s, updated %s", p.CreatedAt, p.UpdatedAt)
	}
	ids := []string{p.ID}
	times := []time.Time{p.CreatedAt}
	for _, e := range made.events {
		ids, times = append(ids, e.ID), append(times, e.OccurredAt)
		if e.ActorID == nil || !domain.ValidID(*e.ActorID) || e.ProfileID != p.ID {
			t.Fatalf("event %+v", e)
		}
	}
	for i, id := range ids { // the first 48 bits are the milliseconds, then comes the version
		if want := domain.NewID(times[i]); !domain.ValidID(id) || id[:15] != want[:15] || (id[19] != '8' && id[19] != '9' && id[19] != 'a' && id[19] != 'b') {
			t.Fatalf("the id %s is no UUID v7 of %s", id, times[i])
		}
	}
}

func TestTheSameSeedGivesTheSamePeople(t *testing.T) {
	g := generator{seed: 1, first: 40, rows: 1000, until: until}
	other := g
	other.seed = 2
	if !reflect.DeepEqual(g.person(77), g.person(77)) {
		t.Error("the same seed and index gave two people")
	}
	if reflect.DeepEqual(g.person(77).profile.DisplayName, other.person(77).profile.DisplayName) && g.person(77).profile.ID == other.person(77).profile.ID {
		t.Error("another seed gave the same person")
	}
}

func TestTheSpread(t *testing.T) {
	const n = 20_000
	g := generator{seed: 1, rows: n, until: until}
	share := map[string]float64{}
	before := time.Time{}
	for i := range int64(n) {
		made := g.person(i)
		p := made.profile
		if p.CreatedAt.Before(before) {
			t.Fatalf("%d signed up before %d", i, i-1)
		}
		before = p.CreatedAt
		for what, holds := range map[string]bool{
			"suspended": p.Status == domain.StatusSuspended, "still suspended": p.SuspendedAt(until), "private": p.Visibility == domain.VisibilityPrivate,
			"no e-mail": p.Email == nil, "metadata": string(p.Metadata) != "{}", "second event": len(made.events) == 2,
			"not ASCII": p.DisplayName != nil && len(*p.DisplayName) != len([]rune(*p.DisplayName)),
		} {
			if holds {
				share[what] += 1.0 / n
			}
		}
	}
	for what, want := range map[string][2]float64{
		"suspended": {0.015, 0.025}, "still suspended": {0.01, 0.02}, "private": {0.04, 0.06}, "no e-mail": {0.09, 0.11},
		"metadata": {0.18, 0.22}, "second event": {0.48, 0.54}, "not ASCII": {0.4, 0.9},
	} {
		if share[what] < want[0] || share[what] > want[1] {
			t.Errorf("%s: %.3f of all, want %v", what, share[what], want)
		}
	}
}
