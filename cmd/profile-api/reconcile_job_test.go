package main_test

import (
	"context"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// The server's job takes up what is due, in the process that serves.
func TestTheServerReconcilesByItself(t *testing.T) {
	parallel(t)
	s, people, conn := mirroredStack(t, 20)
	s.change(people[1], func(p *clerkstandin.Person) { p.Email = "changed@example.com" })
	if _, err := conn.Exec(context.Background(), "UPDATE reconciliation_runs SET finished_at = now() - interval '2 hours'"); err != nil {
		t.Fatal(err)
	}
	p := s.replica(t, "RECONCILE_INTERVAL", "1h")
	eventually(t, "the run is completed", func() bool { return p.metrics(t).value(`reconcile_runs_total{outcome="completed"}`) == 1 })
	if got := p.metrics(t).value(`reconcile_people_total{outcome="updated"}`); got != 1 {
		t.Errorf("%v were updated", got)
	}
	s.wantInStep(t, conn)
	line, ok := p.line("reconciliation finished")
	if !ok || line["updated"] != 1.0 || line["seen"] != 20.0 {
		t.Errorf("the log says %v", line)
	}
	for _, person := range people {
		if strings.Contains(p.stdout.String(), person.ID) {
			t.Fatal("the log names somebody")
		}
	}
}
