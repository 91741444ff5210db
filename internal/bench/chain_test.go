package bench

import (
	"net/http"
	"testing"
)

// The ordinary read costs at most one round trip to Valkey and exactly one
// statement in PostgreSQL.
func TestOneRoundTripAndOneStatementPerRequest(t *testing.T) {
	c := newChain(t)
	for i := range 250 { // more than two leases of the global quota
		statements, roundTrips := c.trips.statements.Load(), c.trips.roundTrips.Load()
		if status := serve(c.handler, c.request()); status != http.StatusOK {
			t.Fatalf("request %d is answered %d", i, status)
		}
		if n := c.trips.statements.Load() - statements; n != 1 {
			t.Errorf("request %d made %d statements, want 1", i, n)
		}
		if n := c.trips.roundTrips.Load() - roundTrips; n != 1 {
			t.Errorf("request %d made %d round trips to Valkey, want 1", i, n)
		}
	}
}
