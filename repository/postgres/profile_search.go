package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"github.com/profile-api/profile-api/domain"
)

// The expressions of the indexes in migration 00006, to the letter: another
// spelling would scan the table.
const (
	foldedHandle = `lower(handle COLLATE "C")`
	foldedName   = `(lower(display_name COLLATE "und-x-icu") COLLATE "C")`
	foldedEmail  = `(lower(email COLLATE "und-x-icu") COLLATE "C")`
)

// Search gives up to limit profiles of the filter behind the position, in the
// filter's order; after is nil for the first page. Statuses are as of now.
func (s *Profiles) Search(
	ctx context.Context, f domain.ProfileFilter, after *domain.ProfilePosition, limit int, now time.Time,
) ([]domain.Profile, error) {
	return list[domain.Profile](ctx, s.db, searchQuery(f, after, limit, now))
}

// query is SQL text and its arguments, apart, so that a test can ask for its plan.
type query struct {
	sql  string
	args []any
}

// arg adds an argument and gives its placeholder with a cast: the statement is
// planned for these very values, and a bare placeholder has no type.
func (q *query) arg(value any, sqlType string) string {
	q.args = append(q.args, value)
	return fmt.Sprintf("$%d::%s", len(q.args), sqlType)
}

// list runs a listing. It is planned anew each time, because which index serves
// best depends on the values: a plan for any value would walk past a million
// rows for a rare one.
func list[T any](ctx context.Context, db *DB, q query) ([]T, error) {
	args := append([]any{pgx.QueryExecModeCacheDescribe}, q.args...)
	var found []T
	err := db.read(ctx, func(g *gorm.DB) error {
		found = make([]T, 0) // again, when the first connection was dead
		rows, err := g.Statement.ConnPool.QueryContext(ctx, q.sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells of every failure
		for rows.Next() {
			var item T
			if err := g.ScanRows(rows, &item); err != nil {
				return err
			}
			found = append(found, item)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// rareMatches is up to how many matches of a text are gathered and sorted. Beyond
// it they are so dense that walking in the order of time meets enough of them.
const rareMatches = 10_000

func searchQuery(f domain.ProfileFilter, after *domain.ProfilePosition, limit int, now time.Time) query {
	var q query
	where := q.searchConditions(f, after, now)
	order, size := orderOf(f.Sort), q.arg(limit, "bigint")
	if f.Text == "" {
		q.sql = "SELECT " + profileColumns + " FROM profiles" + whereAll(where) + " ORDER BY " + order + " LIMIT " + size
		return q
	}
	q.sql = q.textSearch(f, where, order, size)
	return q
}

// textSearch finds matches of a text. The planner alone does badly here: it
// takes what matches for spread evenly, and walks past everybody towards a few that
// lie together. So the matches are gathered by the index of each column first; only
// when there are too many are they met by walking. The order of handles is the
// exception: those that match by their handle lie together there, and have a branch
// of their own, but those that match by name or address lie anywhere but evenly,
// because handles are made of names. They are sorted, all of them, out of the
// indexes alone, which hold every key.
func (q *query) textSearch(f domain.ProfileFilter, where []string, order, size string) string {
	const keys = "id, created_at, handle, status, suspended_until" // what conditions and orders look at
	handle, name, email, clerkID := q.textConditions(f.Text)
	gather := func(condition, by string) string {
		return fmt.Sprintf("(SELECT %s FROM profiles WHERE %s ORDER BY %s LIMIT %d)", keys, condition, by, rareMatches+1)
	}
	branches := []string{strings.Join([]string{handle, name, email, clerkID}, " OR ")}
	if f.Sort == domain.SortHandle {
		branches = []string{handle, name, email, clerkID}
	}
	picked := "SELECT " + keys + " FROM gathered" + whereAll(append([]string{"NOT (SELECT yes FROM too_many)"}, where...))
	for i, b := range branches {
		by := order
		if i > 0 {
			by += " || ''" // no index has this order: matches are sorted, not walked towards
		}
		picked += " UNION (SELECT " + keys + " FROM profiles" + whereAll(append([]string{"(SELECT yes FROM too_many)", "(" + b + ")"}, where...)) +
			" ORDER BY " + by + " LIMIT " + size + ")"
	}
	return "WITH gathered AS MATERIALIZED (" +
		strings.Join([]string{
			gather(handle, foldedHandle), gather(name, foldedName), gather(email, foldedEmail), gather(clerkID, "clerk_user_id"),
		}, " UNION ALL ") +
		"), too_many AS MATERIALIZED (SELECT count(*) > " + strconv.Itoa(rareMatches) + " AS yes FROM gathered)" +
		", picked AS (SELECT id FROM (" + picked + ") AS matching ORDER BY " + order + " LIMIT " + size + ")" +
		" SELECT " + profileColumns + " FROM profiles WHERE id = ANY(ARRAY(SELECT id FROM picked)) ORDER BY " + order
}

func whereAll(conditions []string) string {
	if len(conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}

func orderOf(sort domain.ProfileSort) string {
	switch sort {
	case domain.SortHandle:
		return foldedHandle
	case domain.SortOldestFirst:
		return "created_at, id"
	case domain.SortNewestFirst:
	}
	return "created_at DESC, id DESC"
}

// searchConditions are those that every branch has: status, range, position.
func (q *query) searchConditions(f domain.ProfileFilter, after *domain.ProfilePosition, now time.Time) []string {
	var where []string
	switch f.Status { // a suspension ends by itself; see domain.Profile.SuspendedAt
	case domain.StatusSuspended:
		where = append(where, "status = 'suspended' AND (suspended_until IS NULL OR suspended_until > "+q.arg(now, "timestamptz")+")")
	case domain.StatusActive:
		where = append(where, "(status = 'active' OR suspended_until <= "+q.arg(now, "timestamptz")+")")
	}
	if f.CreatedAfter != nil {
		where = append(where, "created_at >= "+q.arg(*f.CreatedAfter, "timestamptz"))
	}
	if f.CreatedBefore != nil {
		where = append(where, "created_at < "+q.arg(*f.CreatedBefore, "timestamptz"))
	}
	if after == nil {
		return where
	}
	switch f.Sort {
	case domain.SortHandle:
		return append(where, foldedHandle+" > "+q.arg(after.HandleKey, "text"))
	case domain.SortOldestFirst:
		return append(where, "(created_at, id) > ("+q.arg(after.CreatedAt, "timestamptz")+", "+q.arg(after.ID, "uuid")+")")
	case domain.SortNewestFirst:
	}
	return append(where, "(created_at, id) < ("+q.arg(after.CreatedAt, "timestamptz")+", "+q.arg(after.ID, "uuid")+")")
}

// textConditions are one per column.
func (q *query) textConditions(text string) (handle, name, email, clerkID string) {
	escaped := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
	pattern := `((lower(` + q.arg(escaped, "text") + ` COLLATE "und-x-icu") || '%') COLLATE "C")`
	return foldedHandle + " LIKE " + pattern, foldedName + " LIKE " + pattern, foldedEmail + " LIKE " + pattern,
		"clerk_user_id = " + q.arg(text, "text")
}
