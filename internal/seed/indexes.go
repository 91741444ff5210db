package seed

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// index is an index that no constraint needs.
type index struct{ Name, Definition string }

const freeIndexes = `
	SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
	FROM pg_index
	WHERE indrelid IN ('profiles'::regclass, 'preferences'::regclass, 'audit_events'::regclass)
	  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
	ORDER BY pg_relation_size(indrelid) DESC, name`

// withoutIndexes runs write on tables without their free indexes. These are
// built anew whatever write's error, and although ctx has ended.
func withoutIndexes(ctx context.Context, conn *pgx.Conn, url string, write func(context.Context) error) (err error) {
	rows, err := conn.Query(ctx, freeIndexes)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[index])
	if err != nil {
		return fmt.Errorf("list the indexes: %w", err)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { // all or none
		for _, i := range found {
			if _, err := tx.Exec(ctx, "DROP INDEX "+i.Name); err != nil {
				return fmt.Errorf("drop an index: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, build(context.WithoutCancel(ctx), url, found)) }()
	return write(ctx)
}

// build makes the indexes, as many at once as there are streams.
func build(ctx context.Context, url string, indexes []index) error {
	var group errgroup.Group // one that fails does not stop the others
	group.SetLimit(streams)
	for _, i := range indexes {
		group.Go(func() (err error) {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, conn.Close(ctx)) }()
			if _, err := conn.Exec(ctx, "SET maintenance_work_mem = '128MB'; SET max_parallel_maintenance_workers = 0; "+i.Definition); err != nil {
				return fmt.Errorf("build the index %s: %w", i.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}
