package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// progressEvery keeps the lines of a long run readable: what only counts on is
// shown no more often than that.
const progressEvery = 2 * time.Second

// progress shows on a terminal what a run tells.
type progress struct {
	out     io.Writer
	dryRun  bool
	resumed bool
	begun   time.Time
	before  int // people whom an earlier process has seen
	shown   time.Time
}

func newProgress(out io.Writer, dryRun bool) *progress { return &progress{out: out, dryRun: dryRun} }

func (p *progress) tell(e usecase.ReconcileProgress) {
	c, now := e.Run.Counts, time.Now()
	line := func(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }
	switch e.Stage {
	case usecase.ReconcileQueued:
		line("another reconciliation is at work, a command's or the server's own; waiting until it ends or pauses "+
			"(after a process that was killed: up to %.0f s)", e.Wait.Seconds())
	case usecase.ReconcileBegun:
		p.begun = now
		if p.dryRun {
			line("dry run: walking through Clerk's users, changing nothing")
			return
		}
		line("run %s: walking through Clerk's users", e.Run.ID)
	case usecase.ReconcileResumed:
		p.begun, p.before, p.resumed = now, c.Seen, true
		line("run %s of %s goes on behind person %d; %d pages are done already",
			e.Run.ID, e.Run.BegunAt.Format(time.RFC3339), e.Run.NextOffset, e.Run.Pages)
	case usecase.ReconcilePage:
		if p.often(now) {
			return
		}
		line("page %d: %d people, %.0f a second; %d created, %d updated", e.Run.Pages, c.Seen, p.rate(now, c.Seen), c.Created, c.Updated)
	case usecase.ReconcileWaiting:
		line("%s Asking again in %.0f s", e.Reason, e.Wait.Seconds())
	case usecase.ReconcileChecking:
		line("the walk is over after %d people: %d profiles were not met, of %d from before", c.Seen, c.Candidates, e.Run.Profiles)
	case usecase.ReconcileChecked:
		if p.often(now) {
			return
		}
		line("asking Clerk about each of %d profiles; %d are gone so far", c.Candidates, c.Erased)
	case usecase.ReconcileFault:
		line("one person is left out: %s", e.Reason)
	}
}

func (p *progress) often(now time.Time) bool {
	if now.Sub(p.shown) < progressEvery {
		return true
	}
	p.shown = now
	return false
}

func (p *progress) rate(now time.Time, seen int) float64 {
	return float64(seen-p.before) / max(now.Sub(p.begun).Seconds(), 0.001)
}

// summary is what a run did, and in a dry run what it would do.
type summary struct {
	Run        string          `json:"run"`
	Outcome    string          `json:"outcome"` // completed, refused, or unfinished
	DryRun     bool            `json:"dry_run"`
	Forced     bool            `json:"forced"`
	Resumed    bool            `json:"resumed"`
	BegunAt    time.Time       `json:"begun_at"`
	FinishedAt *time.Time      `json:"finished_at"`
	Pages      int             `json:"pages"`
	Profiles   int             `json:"profiles"` // that the share is of, when the walk was over
	Seen       int             `json:"seen"`
	Created    int             `json:"created"`
	Updated    int             `json:"updated"`
	Unchanged  int             `json:"unchanged"`
	Stale      int             `json:"stale"`
	Skipped    int             `json:"skipped_erased"`
	Unreadable int             `json:"unreadable"`
	Failed     int             `json:"failed"`
	Vanished   vanishedSummary `json:"vanished"`
}

type vanishedSummary struct {
	Candidates    int `json:"candidates"`
	Erased        int `json:"erased"`
	WouldBeErased int `json:"would_be_erased"`
	Refused       int `json:"refused"`
}

func newSummary(run *domain.Reconciliation, flags reconcileFlags, resumed bool) summary {
	c := run.Counts
	s := summary{
		Run: run.ID, Outcome: "unfinished", DryRun: flags.dryRun, Forced: flags.force, Resumed: resumed,
		BegunAt: run.BegunAt, FinishedAt: run.FinishedAt, Pages: run.Pages, Profiles: run.Profiles,
		Seen: c.Seen, Created: c.Created, Updated: c.Updated, Unchanged: c.Unchanged, Stale: c.Stale, Skipped: c.Skipped,
		Unreadable: c.Unreadable, Failed: c.Failed, Vanished: vanishedSummary{Candidates: c.Candidates, Refused: c.Refused},
	}
	if run.Outcome != nil {
		s.Outcome = *run.Outcome
	}
	if flags.dryRun {
		s.Vanished.WouldBeErased = c.Erased
	} else {
		s.Vanished.Erased = c.Erased
	}
	return s
}

func (s summary) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(s)
}

func (s summary) writeText(w io.Writer) error {
	created, updated, erased, gone := "created", "updated", "erased", s.Vanished.Erased
	if s.DryRun {
		created, updated, erased, gone = "would be created", "would be updated", "would be erased", s.Vanished.WouldBeErased
		fmt.Fprintf(w, "reconciliation %s (dry run: nothing was changed)\n", s.Outcome)
	} else {
		fmt.Fprintf(w, "reconciliation %s, run %s\n", s.Outcome, s.Run)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		name    string
		n       int
		meaning string
	}{
		{"seen", s.Seen, "people at Clerk"},
		{created, s.Created, "had no profile"},
		{updated, s.Updated, "were not as at Clerk"},
		{"unchanged", s.Unchanged, "are as at Clerk"},
		{"stale", s.Stale, "are known here by something later than Clerk's answer"},
		{"skipped as erased", s.Skipped, "were erased here, and stay so"},
		{"unreadable", s.Unreadable, "are left out: what Clerk says of them cannot be read"},
		{"failed", s.Failed, "are left out: they could not be repaired"},
		{"vanished, " + erased, gone, "are gone at Clerk"},
		{"vanished, refused", s.Vanished.Refused, "are left alone: too many at once"},
	} {
		fmt.Fprintf(table, "  %s\t%d\t%s\n", row.name, row.n, row.meaning)
	}
	return table.Flush()
}
