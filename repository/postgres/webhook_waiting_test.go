package postgres_test

import (
	"testing"
	"time"

	"github.com/profile-api/profile-api/repository/postgres"
)

// The oldest that is still to be applied, whichever of its states it is in; what is done with or dead does not count.
func TestOldestWaitingDelivery(t *testing.T) {
	url := migrated(t)
	conn, db := asker(t, url), openDB(t, postgres.Options{URL: url})
	if oldest, err := db.OldestWaitingDelivery(within(t)); err != nil || oldest != nil {
		t.Errorf("of none: %v, %v", oldest, err)
	}
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	add := func(state string, received time.Time) {
		t.Helper()
		_, err := conn.Exec(within(t), `INSERT INTO webhook_deliveries (id, type, state, sealed_data, subject_hash, received_at, updated_at)
			SELECT gen_random_uuid()::text, 'user.updated', $1::text, kept, kept, $2, $2
			FROM (SELECT CASE WHEN $1::text IN ('received', 'failed') THEN 'x' END AS kept) k`, state, received)
		must(t, err)
	}
	for i, state := range []string{"applied", "ignored", "dead"} {
		add(state, noon.Add(-time.Duration(i+2)*time.Hour))
	}
	if oldest, err := db.OldestWaitingDelivery(within(t)); err != nil || oldest != nil {
		t.Errorf("of those that do not wait: %v, %v", oldest, err)
	}
	for _, step := range []struct {
		state     string
		came, now time.Time
	}{
		{"received", noon, noon},
		{"failed", noon.Add(-time.Hour), noon.Add(-time.Hour)},
		{"received", noon.Add(-90 * time.Minute), noon.Add(-90 * time.Minute)},
		{"failed", noon.Add(time.Hour), noon.Add(-90 * time.Minute)},
	} {
		add(step.state, step.came)
		if oldest, err := db.OldestWaitingDelivery(within(t)); err != nil || oldest == nil || !oldest.Equal(step.now) {
			t.Errorf("after one that is %s since %v the oldest is %v, %v", step.state, step.came, oldest, err)
		}
	}
}
