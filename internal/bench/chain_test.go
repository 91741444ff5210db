package bench

import (
	"net/http"
	"testing"
)

// The ordinary read costs exactly one statement in PostgreSQL and one round trip
// to Valkey; beside that only leases of the global quota are fetched, each of at
// least three quarters of a batch of a hundred.
func TestOneRoundTripAndOneStatementPerRequest(t *testing.T) {
	const (
		requests, lease = 250, 75
		leases          = requests/lease + 1
		underWay        = 2 // the warm-up's lease may come in late, with its script first
	)
	c := newChain(t)
	roundTrips := c.trips.roundTrips.Load()
	for i := range requests {
		statements := c.trips.statements.Load()
		if status := serve(c.handler, c.request()); status != http.StatusOK {
			t.Fatalf("request %d is answered %d", i, status)
		}
		if n := c.trips.statements.Load() - statements; n != 1 {
			t.Errorf("request %d made %d statements, want 1", i, n)
		}
	}
	if n := c.trips.roundTrips.Load() - roundTrips; n < requests || n > requests+leases+underWay {
		t.Errorf("%d requests made %d round trips to Valkey, want one each and at most %d beside them", requests, n, leases+underWay)
	}
}
