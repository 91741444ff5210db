package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/usecase"
)

// The pool opens before there is a server, works when it has come, says 503
// while it is gone, and works again after it is back, with no restart of ours.
func TestTheDatabaseComesAndGoes(t *testing.T) {
	server := testservers.OwnPostgres(t)
	must(t, server.Kill())
	db := openDB(t, postgres.Options{URL: server.URL("postgres")})
	m := migrator(t, db)
	profiles := usecase.NewProfiles(deps(db))
	resolve := func() error { _, err := profiles.Resolve(within(t), caller("user_1")); return err }
	away := func(when string) {
		t.Helper()
		_, update := profiles.UpdateOwn(within(t), caller("user_1"), domain.ProfilePatch{Bio: domain.Some("x")}, domain.IfMatch{})
		_, pending := m.Pending(within(t))
		for name, err := range map[string]error{"resolve": resolve(), "update": update, "pending": pending, "check": db.Check(within(t))} {
			var e *domain.Error
			if !errors.As(err, &e) || e.Kind() != domain.Unavailable || e.RetryAfter() <= 0 {
				t.Errorf("%s, %s: %v", when, name, err)
			}
		}
	}
	back := func(when string) {
		t.Helper()
		must(t, server.Restart(within(t)))
		eventually(t, when, func() bool { return db.Check(within(t)) == nil })
		eventually(t, when, func() bool { return resolve() == nil })
	}
	away("before the server came")
	must(t, server.Restart(within(t)))
	eventually(t, "the server has come", func() bool { return db.Check(within(t)) == nil })
	_, err := m.Up(within(t))
	must(t, err)
	must(t, resolve())
	must(t, server.Kill())
	eventually(t, "the server's children notice", func() bool { return db.Check(within(t)) != nil })
	away("after a crash")
	back("after the crash")
	must(t, db.WithinTx(within(t), func(ctx context.Context) error { // connections lost while idle
		_, err := postgres.NewProfiles(db).ByClerkID(ctx, "user_1")
		return err
	}))
	must(t, server.Stop(within(t)))
	away("after an orderly stop")
	back("after the stop")
}
