package bench

import (
	"net/http"
	"testing"
)

// The ordinary read costs exactly one statement in PostgreSQL and one round trip
// to Valkey; beside that only the batches of the global quota, one in a hundred
// requests here, are fetched.
func TestOneRoundTripAndOneStatementPerRequest(t *testing.T) {
	const requests, batch = 250, 100
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
	if n := c.trips.roundTrips.Load() - roundTrips; n < requests || n > requests+requests/batch+1 {
		t.Errorf("%d requests made %d round trips to Valkey, want one each and one for each batch of %d", requests, n, batch)
	}
}
