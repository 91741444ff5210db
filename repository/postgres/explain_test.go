package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/profile-api/profile-api/domain"
)

// Over a million people, PostgreSQL's own account of what it read: no listing
// walks a table, a page far behind costs what the first one does, and the check
// would notice an index that is missing.
func TestNoListingScansATable(t *testing.T) {
	b := seeded(t)
	byName := map[string]listing{}
	for _, group := range [][]listing{b.searches(t), b.trails(t), b.lookups(t), b.purges()} {
		for _, l := range group {
			byName[l.name] = l
			t.Run(l.name, func(t *testing.T) {
				got := explain(t, b, l.sent(t, b))
				t.Log(got)
				for _, fault := range l.faults(got) {
					t.Error(fault)
				}
			})
		}
	}
	t.Run("far pages", func(t *testing.T) { farPages(t, b) })
	t.Run("missing indexes", func(t *testing.T) { missingIndexes(t, b, byName) })
}

// farPages compares the first, the 5,000th and the 10,000th page.
func farPages(t *testing.T, b *big) {
	for _, p := range b.paged(t) {
		first := p.read(t, b, 1)
		for _, page := range []int{5_000, 10_000} {
			got := p.read(t, b, page)
			t.Logf("%s, page %d: %d buffers, × %.2f; %.2f ms, × %.2f", p.name, page, got.buffers, float64(got.buffers)/float64(first.buffers),
				got.millis, got.millis/first.millis)
			for _, fault := range p.faults(got) {
				t.Errorf("%s, page %d: %s", p.name, page, fault)
			}
			if got.buffers >= 3*first.buffers {
				t.Errorf("%s: page %d reads %d buffers, the first %d", p.name, page, got.buffers, first.buffers)
			}
		}
	}
}

// paged is a listing at any of its pages.
type paged struct {
	name string
	at   func(page int) func(context.Context) (int, error)
	limits
}

func (p paged) read(tb testing.TB, b *big, page int) reading {
	tb.Helper()
	run := p.at(page)
	if n, err := run(context.Background()); n != pageRows || err != nil {
		tb.Fatalf("%s, page %d: %d rows, %v", p.name, page, n, err)
	}
	return explain(tb, b, listing{p.name, run, p.limits}.sent(tb, b))
}

// paged are the listings that are long enough.
func (b *big) paged(tb testing.TB) (all []paged) {
	for _, sort := range sorts {
		for _, f := range []domain.ProfileFilter{
			{Sort: sort}, {Sort: sort, Status: domain.StatusActive}, {Sort: sort, CreatedAfter: b.daysAgo(1050), CreatedBefore: b.daysAgo(1)},
		} {
			all = append(all, paged{fmt.Sprintf("people %s by %s, range %t", f.Status, sort, f.CreatedAfter != nil), func(page int) func(context.Context) (int, error) {
				return b.search(f, b.lastProfileBefore(tb, sort, page))
			}, plain})
		}
	}
	for _, f := range []domain.AuditFilter{{}, {Action: domain.ActionProfileCreated}, {Since: b.daysAgo(1050), Until: b.daysAgo(1)}} {
		all = append(all, paged{fmt.Sprintf("events %s, range %t", f.Action, f.Since != nil), func(page int) func(context.Context) (int, error) {
			return b.trail(f, b.lastEventBefore(tb, page))
		}, plain})
	}
	return all
}

// lastProfileBefore is the position that the cursor of the page holds; nil for the first page.
func (b *big) lastProfileBefore(tb testing.TB, sort domain.ProfileSort, page int) *domain.ProfilePosition {
	tb.Helper()
	if page == 1 {
		return nil
	}
	order := map[domain.ProfileSort]string{
		domain.SortNewestFirst: "created_at DESC, id DESC", domain.SortOldestFirst: "created_at, id", domain.SortHandle: `lower(handle COLLATE "C")`,
	}[sort]
	var p domain.ProfilePosition
	err := b.conn.QueryRow(context.Background(), fmt.Sprintf(`SELECT created_at, id::text, lower(handle COLLATE "C") FROM profiles
		ORDER BY %s OFFSET %d LIMIT 1`, order, (page-1)*domain.DefaultPageSize-1)).Scan(&p.CreatedAt, &p.ID, &p.HandleKey)
	if err != nil {
		tb.Fatal(err)
	}
	return &p
}

func (b *big) lastEventBefore(tb testing.TB, page int) *domain.AuditPosition {
	tb.Helper()
	if page == 1 {
		return nil
	}
	var p domain.AuditPosition
	err := b.conn.QueryRow(context.Background(), `SELECT occurred_at, id::text FROM audit_events
		ORDER BY occurred_at DESC, id DESC OFFSET $1 LIMIT 1`, (page-1)*domain.DefaultPageSize-1).Scan(&p.OccurredAt, &p.ID)
	if err != nil {
		tb.Fatal(err)
	}
	return &p
}

// missingIndexes drops one index after the other (both that serve a handle), in a transaction that is
// rolled back, and has a listing that needs it read too much.
func missingIndexes(t *testing.T, b *big, byName map[string]listing) {
	for index, name := range map[string]string{
		"profiles_handle_key, profiles_handle_search_idx": "by handle",
		"profiles_handle_search_idx":                      "common name by -created_at",
		"profiles_created_idx":                            "all by -created_at",
		"profiles_name_idx":                               "rare name by created_at",
		"profiles_email_idx":                              "e-mail by handle",
		"profiles_suspended_created_idx":                  "suspended by created_at",
		"profiles_suspended_handle_idx":                   "suspended by handle",
		"audit_events_profile_idx":                        "events of a profile",
		"audit_events_actor_idx":                          "events by an admin",
		"audit_events_action_idx":                         "events of a rare action",
		"audit_events_time_idx":                           "events all",
		"handle_reservations_profile_idx":                 "reservations of a profile",
		"handle_reservations_until_idx":                   "purge of reservations",
		"idempotency_keys_expires_idx":                    "purge of kept responses",
		"idempotency_keys_subject_idx":                    "kept responses of a profile",
	} {
		l, found := byName[name]
		if !found {
			t.Fatalf("no listing %q", name)
		}
		got := explain(t, b, l.sent(t, b), "DROP INDEX "+index)
		faults := l.faults(got)
		t.Logf("without %s: %v: %v", index, got, faults)
		if len(faults) == 0 {
			t.Errorf("%q does not miss %s", name, index)
		}
	}
}
