package main_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// A delivery that no replay will ever apply is brought to an end by the program's own command: what
// the alert and the doctor look at falls silent, and what was done and why stays to be seen.
func TestADeadDeliveryIsBroughtToAnEnd(t *testing.T) {
	parallel(t)
	s := newStack(t)
	s.settings = s.with("ENVIRONMENT", "staging")
	conn := connect(t, s.database)
	p := s.replica(t)
	m := member()
	p.wantTaken(t, "msg_good", "queued", clerkstandin.Event("user.created", m, time.Now()))
	p.wantTaken(t, "msg_bad", "queued", clerkstandin.EventOf("user.updated",
		map[string]any{"id": m.ID, "updated_at": time.Now().UnixMilli(), "first_name": m.FirstName, "email_addresses": m.Email}, time.Now()))
	for id, state := range map[string]string{"msg_good": "applied", "msg_bad": "dead"} {
		eventually(t, id+" is "+state, func() bool { return delivered(t, conn, id) == state })
	}
	said := func(status int, wants []string, args ...string) string {
		t.Helper()
		r := command(t, s.settings, args...)
		for _, want := range wants {
			if r.status != status || !strings.Contains(r.stdout+r.stderr, want) {
				t.Errorf("%v: status %d, want %d and %q in\n%s%s", args, r.status, status, want, r.stdout, r.stderr)
			}
		}
		return r.stdout + r.stderr
	}
	deadSeries := func() float64 { return p.metrics(t).value(`webhook_deliveries{state="dead"}`) }
	said(0, []string{"warn  dead_deliveries ", "docs/runbooks/dead-jobs.md"}, "doctor")
	if deadSeries() != 1 {
		t.Error("the alert's metric does not tell of it")
	}
	said(0, []string{"msg_bad was dead and is queued"}, "webhooks", "replay", "--dead")
	eventually(t, "it is dead again", func() bool { return delivered(t, conn, "msg_bad") == "dead" })

	all := said(1, []string{"msg_good is applied, and only what is dead can be dismissed", "msg_unknown is not here", "2 of 2 deliveries were not dismissed"},
		"webhooks", "dismiss", "--reason", "inapplicable", "msg_good", "msg_unknown")
	all += said(0, []string{
		"msg_bad was dead and is dismissed as inapplicable", `"msg":"webhook","delivery_id":"msg_bad"`, `"outcome":"ignored","reason":"dismissed as inapplicable; dead of validation-failed`,
	}, "webhooks", "dismiss", "msg_bad", "--reason=inapplicable")
	all += said(0, []string{"dismissed as inapplicable; dead of validation-failed: Clerk's record of the person cannot be used: email_addresses"}, "webhooks", "list", "--state", "ignored")
	said(0, []string{"no delivery is dead"}, "webhooks", "replay", "--dead")
	said(0, []string{"pass  dead_deliveries ", "pass  discarded_jobs "}, "doctor")
	if deadSeries() != 0 {
		t.Error("the alert's metric still tells of it")
	}
	var kept int
	scan(t, conn, &kept, "SELECT count(*) FROM webhook_deliveries WHERE id = 'msg_bad' AND (sealed_data IS NOT NULL OR subject_hash IS NOT NULL)")
	if kept != 0 || strings.Contains(all, m.ID) || strings.Contains(all, m.Email) || strings.Contains(all, m.FirstName) {
		t.Errorf("of whom it told is still there, or shown:\n%s", all)
	}
}

// The usage and the page name each reason that the command takes.
func TestReasonsToDismissAreDocumented(t *testing.T) {
	parallel(t)
	page, err := os.ReadFile("../../docs/runbooks/dead-jobs.md")
	if err != nil {
		t.Fatal(err)
	}
	_, usage, _ := strings.Cut(command(t, nil, "help").stdout, "REASON: ")
	usage, _, _ = strings.Cut(usage, "\n")
	for _, reason := range domain.Dismissals() {
		if !strings.Contains(usage, string(reason)) || !strings.Contains(string(page), "`"+string(reason)+"` (") {
			t.Errorf("%s is in the usage (%q) and in the page: not both", reason, usage)
		}
	}
}
