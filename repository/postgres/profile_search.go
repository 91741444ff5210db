package postgres

import (
	"context"
	"fmt"
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
// takes what matches for spread evenly, and walks past everybody in the order
// asked for, towards a few that lie together. So the matches of each column are
// read from the column's own index, which holds all that conditions and orders look
// at, and sorted: the cost follows the number of matches, wherever they lie and
// whatever the page.
func (q *query) textSearch(f domain.ProfileFilter, where []string, order, size string) string {
	const keys = "id, created_at, handle, status, suspended_until" // what conditions and orders look at
	branch := func(condition, by string) string {
		// The inner order is the index's, and the OFFSET keeps the planner from choosing another way.
		return "(SELECT " + keys + " FROM (SELECT " + keys + " FROM profiles" + whereAll(append([]string{condition}, where...)) +
			" ORDER BY " + by + " OFFSET 0) AS matches ORDER BY " + order + " LIMIT " + size + ")"
	}
	handle, name, email, clerkID := q.textConditions(f.Text)
	picked := strings.Join([]string{
		branch(handle, foldedHandle), branch(name, foldedName), branch(email, foldedEmail), branch(clerkID, "clerk_user_id"),
	}, " UNION ") // somebody may match by two columns
	return "WITH picked AS (SELECT id FROM (" + picked + ") AS matches ORDER BY " + order + " LIMIT " + size + ")" +
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
