// Package doctor is the checklist of a deployment: it looks at the settings and at
// everything they name, and says of each check whether it passes, is worth a
// warning or fails, and what to do about it. The repositories bring facts; what
// is right for which settings is judged here. It is no use case: it judges the
// wiring that cmd does, by the settings that cmd alone knows, and must work when
// half of that cannot be wired.
package doctor

import (
	"context"
	"log/slog"
	"time"

	"github.com/profile-api/profile-api/config"
)

// Status is how a check ended.
type Status string

// The three ends of a check. What could not be looked at is a warning: it says
// nothing against the deployment, and must not pass for sound.
const (
	Pass Status = "pass"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Finding is the end of one check. Neither text holds a secret, the name of a
// user or host in a URL, or anything of a person.
type Finding struct {
	Check   string `json:"check"` // stable, such as database_version; settings comes once for each fault
	Status  Status `json:"status"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"` // what to do; empty when it passed
}

func pass(check, message string) Finding         { return Finding{check, Pass, message, ""} }
func warn(check, message, remedy string) Finding { return Finding{check, Warn, message, remedy} }
func fail(check, message, remedy string) Finding { return Finding{check, Fail, message, remedy} }

const (
	// limit is how long one look at a dependency may take.
	limit = 5 * time.Second
	// grace is for what does not end with its context, such as a goodbye to a
	// server that does not answer. After that the look is given up.
	grace = 3 * time.Second
)

// Clock tells the time that the clocks of others are compared with.
type Clock interface{ Now() time.Time }

// look is one conversation with one dependency and the checks that come of it.
type look struct {
	checks []string // in their order; the first is the one that fails when nothing can be said
	needs  []string // variables; with one of them at fault the dependency is not spoken to
	ask    func(context.Context) []Finding
}

// doctor is what the looks share.
type doctor struct {
	s     *config.Settings
	clock Clock
	log   *slog.Logger // what libraries say goes nowhere: it may name users and hosts
}

// Examine makes every check. The settings may have faults; what they cannot be
// trusted for is left out. All looks run side by side, so that it takes no longer
// than the slowest, 8 s at most, whatever hangs.
func Examine(ctx context.Context, s *config.Settings, faults config.Faults, clock Clock) []Finding {
	d := &doctor{s: s, clock: clock, log: slog.New(slog.DiscardHandler)}
	return append(d.settings(faults), ask(ctx, d.looks(), faults, limit, grace)...)
}

// ask has all looks at once, and their findings in order.
func ask(ctx context.Context, looks []look, faults config.Faults, limit, grace time.Duration) []Finding {
	var findings []Finding
	answers := make([]chan []Finding, len(looks))
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for i, l := range looks {
		answers[i] = make(chan []Finding, 1)
		go func() { answers[i] <- l.run(ctx, faults) }()
	}
	giveUp := time.After(limit + grace)
	for i, l := range looks {
		var found []Finding
		select {
		case found = <-answers[i]:
		case <-giveUp:
			giveUp = closed // for the others too
			select {
			case found = <-answers[i]: // it was there
			default:
				found = []Finding{fail(l.checks[0], "there was no answer in "+(limit+grace).String(), "find out what hangs, and run doctor again")}
			}
		}
		findings = append(findings, l.complete(found)...)
	}
	return findings
}

// closed is a time that has come.
var closed = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

func (d *doctor) looks() []look {
	return []look{
		{[]string{"database", "database_version", "database_writable", "database_tls", "database_timeouts", "database_connections",
			"database_role", "audit_trail", "clock_database"}, databaseVariables, d.database},
		{[]string{"migrations"}, databaseVariables, d.migrations},
		{[]string{"discarded_jobs"}, databaseVariables, d.discardedJobs},
		{[]string{"dead_deliveries"}, databaseVariables, d.deadDeliveries},
		{[]string{"outbox"}, append([]string{"EVENTS_WEBHOOK_URLS", "EVENTS_STREAM"}, databaseVariables...), d.outbox},
		{[]string{"valkey", "valkey_version", "valkey_eviction", "valkey_tls"}, []string{"VALKEY_URL"}, d.valkey},
		{[]string{"clerk_key_set"}, append([]string{"CLERK_JWT_KEY"}, clerkVariables...), d.keySet},
		{[]string{"clerk_secret_key", "clock_clerk"}, clerkVariables, d.secretKey},
		{[]string{"clerk_issuer"}, append([]string{"CLERK_ISSUER", "CLERK_PUBLISHABLE_KEY"}, clerkVariables...), d.issuer},
		{[]string{"disk"}, []string{"DISK_PATH", "DISK_MIN_FREE_PERCENT"}, d.disk},
	}
}

func (l look) run(ctx context.Context, faults config.Faults) []Finding {
	if finding, faulty := atFault(l.checks[0], l.needs, faults); faulty {
		return []Finding{finding}
	}
	return l.ask(ctx)
}

// complete gives every check of the look a line, in their order, so that
// machines find the same names whatever is broken.
func (l look) complete(found []Finding) []Finding {
	by := map[string]Finding{}
	for _, f := range found {
		by[f.Check] = f
	}
	out := make([]Finding, len(l.checks))
	for i, check := range l.checks {
		f, ok := by[check]
		if !ok {
			f = warn(check, "not looked at, because of "+l.checks[0], "repair that, then run doctor again")
		}
		out[i] = f
	}
	return out
}
