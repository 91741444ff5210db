package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/repository/postgres"
)

// pageRows is a page of the default size, and the row more that tells of another page.
const pageRows = domain.DefaultPageSize + 1

// What listings may read for a page, of a million people in some 38,000 blocks
// and their 1.5 million events in 30,000 more.
var (
	one    = limits{buffers: 10, rows: 1}
	plain  = limits{buffers: 500, rows: 2_500}
	batch  = limits{buffers: 700, rows: 250}
	purged = limits{buffers: 5_000, rows: 2_000} // 500 rows found, locked and deleted
	// All within a month, or everything an admin did, is looked through for what comes first or fits.
	within30Days = limits{buffers: 8_000, rows: 8_000}
	// A few thousand matches of each column, out of the indexes.
	gathered = limits{buffers: 2_000, rows: 40_000}
	// All matches of each column, out of the indexes; three quarters of everybody in the worst case here.
	sorted = limits{buffers: 20_000, rows: 800_000}
)

// listing is one question to the stores.
type listing struct {
	name string
	run  func(ctx context.Context) (rows int, err error)
	limits
}

// sent runs the listing through its store and gives what that asked of the database.
func (l listing) sent(tb testing.TB, b *big) []statement {
	tb.Helper()
	b.asked.take()
	if _, err := l.run(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return b.asked.take()
}

func (b *big) search(f domain.ProfileFilter, after *domain.ProfilePosition) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		found, err := b.profiles.Search(ctx, f, after, pageRows, b.now)
		return len(found), err
	}
}

func (b *big) trail(f domain.AuditFilter, after *domain.AuditPosition) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		found, err := b.audit.List(ctx, f, after, pageRows)
		return len(found), err
	}
}

func (b *big) daysAgo(n int) *time.Time {
	at := b.now.Add(-time.Duration(n) * 24 * time.Hour)
	return &at
}

var sorts = []domain.ProfileSort{domain.SortNewestFirst, domain.SortOldestFirst, domain.SortHandle}

// searches are the admins' listing in every order.
func (b *big) searches(tb testing.TB) (all []listing) {
	email := value[string](tb, b, "SELECT email FROM profiles WHERE email IS NOT NULL OFFSET 5000 LIMIT 1")
	for _, sort := range sorts {
		add := func(name string, l limits, f domain.ProfileFilter) {
			f.Sort = sort
			all = append(all, listing{name + " by " + string(sort), b.search(f, nil), l})
		}
		add("all", plain, domain.ProfileFilter{})
		add("active", plain, domain.ProfileFilter{Status: domain.StatusActive})
		add("suspended", plain, domain.ProfileFilter{Status: domain.StatusSuspended})
		add("of a day", plain, domain.ProfileFilter{CreatedAfter: b.daysAgo(101), CreatedBefore: b.daysAgo(100)})
		add("of three weeks", within30Days, domain.ProfileFilter{CreatedAfter: b.daysAgo(120), CreatedBefore: b.daysAgo(100)})
		add("of two years", plain, domain.ProfileFilter{CreatedAfter: b.daysAgo(740), CreatedBefore: b.daysAgo(10)})
		add("of long ago", plain, domain.ProfileFilter{CreatedAfter: b.daysAgo(1000), CreatedBefore: b.daysAgo(990)})
		add("of no time", plain, domain.ProfileFilter{CreatedBefore: b.daysAgo(5000)})
		add("suspended of a day", plain, domain.ProfileFilter{Status: domain.StatusSuspended, CreatedAfter: b.daysAgo(101), CreatedBefore: b.daysAgo(100)})
		add("one letter", sorted, domain.ProfileFilter{Text: "m"})
		add("common name", sorted, domain.ProfileFilter{Text: "Maria"})
		add("common handle", sorted, domain.ProfileFilter{Text: "SEED_"})
		add("less common name", sorted, domain.ProfileFilter{Text: "xanth"})
		add("name that is not ASCII", gathered, domain.ProfileFilter{Text: "ольга ИВ"})
		add("rare name", plain, domain.ProfileFilter{Text: "xanthippe jää"})
		add("handles of one time", gathered, domain.ProfileFilter{Text: "seed_1"}) // they end in a serial number
		add("rare handle", plain, domain.ProfileFilter{Text: "seed_12"})
		add("one handle", plain, domain.ProfileFilter{Text: "SEED_abc"})
		add("nobody", plain, domain.ProfileFilter{Text: "zzzzqq"})
		add("e-mail", plain, domain.ProfileFilter{Text: strings.ToUpper(email)})
		add("beginning of an e-mail", plain, domain.ProfileFilter{Text: email[:len(email)-10]})
		add("Clerk id", plain, domain.ProfileFilter{Text: "user_seed_000000123456"})
		add("common name suspended", sorted, domain.ProfileFilter{Text: "Maria", Status: domain.StatusSuspended})
		add("rare name suspended", gathered, domain.ProfileFilter{Text: "xanthippe", Status: domain.StatusSuspended})
		add("common name of a day", sorted, domain.ProfileFilter{Text: "Maria", CreatedAfter: b.daysAgo(101), CreatedBefore: b.daysAgo(100)})
	}
	return all
}

// trails are the lists of audit events; a person's own activity is the one of their profile.
func (b *big) trails(tb testing.TB) (all []listing) {
	admin := value[string](tb, b, "SELECT actor_id::text FROM audit_events WHERE action = 'profile.suspended' LIMIT 1")
	person := value[string](tb, b, "SELECT id::text FROM profiles OFFSET 5000 LIMIT 1")
	add := func(name string, l limits, f domain.AuditFilter) {
		all = append(all, listing{"events " + name, b.trail(f, nil), l})
	}
	add("all", plain, domain.AuditFilter{})
	add("of a profile", plain, domain.AuditFilter{ProfileID: person})
	add("of a profile and action", plain, domain.AuditFilter{ProfileID: person, Action: domain.ActionProfileErased})
	add("by a person", plain, domain.AuditFilter{ActorID: person})
	add("by an admin", plain, domain.AuditFilter{ActorID: admin})
	add("by an admin long ago", plain, domain.AuditFilter{ActorID: admin, Until: b.daysAgo(700)})
	add("by an admin of a rare action", plain, domain.AuditFilter{ActorID: admin, Action: domain.ActionProfileErased})
	add("by an admin of an action of others", within30Days, domain.AuditFilter{ActorID: admin, Action: domain.ActionProfileUpdated})
	add("of a common action", plain, domain.AuditFilter{Action: domain.ActionProfileCreated})
	add("of a rare action", plain, domain.AuditFilter{Action: domain.ActionProfileSuspended})
	add("of no action", plain, domain.AuditFilter{Action: domain.ActionProfileErased})
	add("of a day", plain, domain.AuditFilter{Since: b.daysAgo(101), Until: b.daysAgo(100)})
	add("of a rare action of a day", plain, domain.AuditFilter{Action: domain.ActionProfileSuspended, Since: b.daysAgo(101), Until: b.daysAgo(100)})
	add("of long ago", plain, domain.AuditFilter{Until: b.daysAgo(1000)})
	add("of the future", plain, domain.AuditFilter{Since: b.daysAgo(-1)})
	return all
}

// lookups are the reads by key.
func (b *big) lookups(tb testing.TB) []listing {
	ids := value[[]string](tb, b, "SELECT array_agg(id::text) FROM (SELECT id FROM profiles TABLESAMPLE BERNOULLI (0.1) LIMIT 100) AS sample")
	keys := value[[]string](tb, b, `SELECT array_agg(lower(handle COLLATE "C")) FROM profiles WHERE id = ANY($1::uuid[])`, ids)
	find := func(by func(context.Context, string) (*domain.Profile, error), key string) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) { _, err := by(ctx, key); return 1, err }
	}
	many := func(by func(context.Context, []string) ([]domain.Profile, error), keys []string) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			found, err := by(ctx, keys)
			if err == nil && len(found) != len(keys) {
				err = fmt.Errorf("%d of %d found", len(found), len(keys))
			}
			return len(found), err
		}
	}
	return []listing{
		{"by handles", many(b.profiles.PublicByHandles, keys), batch},
		{"by ids", many(b.profiles.PublicByIDs, ids), batch},
		{"by handle", find(b.profiles.ByHandle, keys[0]), one},
		{"by id", find(b.profiles.ByID, ids[0]), one},
		{"by Clerk id", find(b.profiles.ByClerkID, "user_seed_000000123456"), one},
		{"preferences", func(ctx context.Context) (int, error) {
			_, err := postgres.NewPreferences(b.db).ByProfileID(ctx, ids[0])
			return 1, err
		}, one},
		{"reservations of a profile", func(ctx context.Context) (int, error) {
			found, err := postgres.NewHandleReservations(b.db).OfProfile(ctx, ids[0], b.now)
			return len(found), err
		}, one},
		{"kept responses of a profile", func(ctx context.Context) (int, error) {
			found, err := postgres.NewIdempotency(b.db).BySubject(ctx, ids[0], b.now)
			return len(found), err
		}, one},
	}
}

// purges delete what is over, some at a time.
func (b *big) purges() []listing {
	return []listing{
		{"purge of reservations", func(ctx context.Context) (int, error) {
			return postgres.NewHandleReservations(b.db).PurgeExpired(ctx, b.now, 500)
		}, purged},
		{"purge of kept responses", func(ctx context.Context) (int, error) {
			return postgres.NewIdempotency(b.db).PurgeExpired(ctx, b.now, 500)
		}, purged},
	}
}
