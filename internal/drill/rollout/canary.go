package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/profile-api/profile-api/internal/drill"
)

const (
	readyLimit = 20 * time.Second // a replica that is not ready by then has failed
	stepLimit  = time.Minute      // a version that has not answered enough by then has failed
	settle     = time.Second      // what was on its way when the shares changed is answered by then
	lookEvery  = 100 * time.Millisecond
)

// step is a stage of a release: the share of the requests that the new version
// gets, in percent, and how many replicas of it there are by then.
type step struct{ share, replicas int }

// As the Rollout of deploy/kubernetes has them.
var steps = []step{{10, 1}, {50, 2}, {100, 3}}

// mostOfBad is the share, in percent, that a bad version must never exceed. It is not read off the steps, which it is to judge.
const mostOfBad = 10

// release is what came of letting out a version.
type release struct {
	verdict       string        // why it was rolled back; empty: it was promoted
	noticed, took time.Duration // since the beginning, until the verdict and until the end
	steps         []observed    // the last one of a version that was rolled back is 0 %
	met           answers       // all that a version gave that was rolled back
}

// observed is what the replicas have answered during a step.
type observed struct {
	asked       int     // percent
	given       counts  // since the canaries were given the share; what they are judged by
	canary, all answers // since the share has settled; what it is measured by
}

// release lets out a version step by step. It is promoted when the analysis finds
// nothing wrong at any of them; the first verdict sends all traffic back.
func (f *fleet) release(ctx context.Context, binary string) (r release, err error) {
	begin := time.Now()
	defer func() { r.took = time.Since(begin).Round(lookEvery) }()
	for _, s := range steps {
		if r.verdict = f.startCanaries(ctx, s.replicas, binary); r.verdict == "" {
			r.verdict, err = f.analyse(ctx, s, &r)
		}
		if r.verdict != "" {
			r.noticed = time.Since(begin).Round(lookEvery)
			err = f.rollBack(ctx, &r)
		}
		if r.verdict != "" || err != nil { // a release that nobody watches any more goes back too
			return r, errors.Join(err, f.retireCanaries(context.WithoutCancel(ctx)))
		}
	}
	err = f.promote(ctx, binary)
	return r, err
}

// startCanaries starts replicas of the new version until there are n that the
// proxy knows to be ready. They get no requests by that.
func (f *fleet) startCanaries(ctx context.Context, n int, binary string) (verdict string) {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for len(f.canary) < n {
		server := f.front.canary[len(f.canary)]
		r, err := f.launch(ctx, server, binary)
		if err != nil {
			return "it does not start"
		}
		f.canary = append(f.canary, r)
		if err := errors.Join(r.AwaitReady(ctx), f.front.awaitUp(ctx, server)); err != nil {
			return "it does not become ready"
		}
	}
	return ""
}

// analyse gives the new version the step's share and judges what it answers.
func (f *fleet) analyse(ctx context.Context, s step, r *release) (verdict string, err error) {
	over := false
	o, err := f.observe(ctx, s.share, func(o observed) bool {
		verdict, over = judge(o.given.canary)
		over = over && (verdict != "" || o.canary.all >= enough) // a share is not measured by few
		return over
	})
	switch {
	case errors.Is(err, errSilent):
		return "it does not tell what it has answered", nil
	case err != nil:
		return "", err
	case !over:
		verdict = fmt.Sprintf("it has answered too little to be judged: %.0f requests", o.given.canary.all)
	}
	r.steps = append(r.steps, o)
	say("at %d %%: of %.0f requests the new version had %.0f; judged by %s: %s",
		s.share, o.all.all, o.canary.all, o.given.canary, cmp.Or(verdict, "nothing is wrong"))
	return verdict, nil
}

// observe gives the canaries the share and counts the answers until over says so, or the time is up.
func (f *fleet) observe(ctx context.Context, share int, over func(observed) bool) (observed, error) {
	o := observed{asked: share}
	before, err := f.counts(ctx)
	if err != nil {
		return o, err
	}
	if err := f.front.give(ctx, share, len(f.canary)); err != nil {
		return o, err
	}
	var settled *counts
	for begin := time.Now(); ; time.Sleep(lookEvery) {
		now, err := f.counts(ctx)
		if err != nil {
			return o, err
		}
		o.given = now.minus(before)
		if settled == nil && time.Since(begin) > settle {
			settled = &now
		}
		if settled != nil {
			since := now.minus(*settled)
			o.canary, o.all = since.canary, since.canary.plus(since.stable)
		}
		if over(o) || time.Since(begin) > stepLimit {
			return o, ctx.Err()
		}
	}
}

// rollBack takes all traffic from the canaries, at once, and sees that they get none.
func (f *fleet) rollBack(ctx context.Context, r *release) error {
	say("%q after %s: rolling back", r.verdict, r.noticed)
	if err := f.front.give(ctx, 0, len(f.canary)); err != nil {
		return err
	}
	o, err := f.observe(ctx, 0, func(o observed) bool { return o.all.all >= 2*enough })
	if errors.Is(err, errSilent) {
		return nil // it died, and answers nobody
	}
	if err != nil {
		return err
	}
	r.steps = append(r.steps, o)
	now, err := f.counts(ctx)
	r.met = now.canary
	return err
}

// promote puts the new version into the places of the old one, which has no
// traffic by now, so that what comes after a release is as it was before. When
// that fails, the canaries keep the traffic.
func (f *fleet) promote(ctx context.Context, binary string) error {
	say("promoted: the new version takes the places of the old one")
	if err := stopAll(ctx, f.stable); err != nil {
		return err
	}
	f.stable = f.stable[:0]
	if err := f.fillStable(ctx, binary); err != nil {
		return err
	}
	return f.retireCanaries(ctx)
}

// retireCanaries leaves all traffic to the stable replicas and stops the canaries, which end what they have begun.
func (f *fleet) retireCanaries(ctx context.Context) error {
	if err := f.front.give(ctx, 0, len(f.canary)); err != nil {
		return err
	}
	err := stopAll(ctx, f.canary)
	f.canary = nil
	return err
}

func (o observed) percent() float64 { return 100 * o.canary.all / max(o.all.all, 1) }

// off says how the measured share is not the one asked for; empty: it is. Four
// standard deviations of a binomial distribution are a generous band, since the
// proxy deals out in turn; five more requests may have been counted on the wrong side of a look.
func (o observed) off() string {
	p, n := float64(o.asked)/100, o.all.all
	if n > 0 && math.Abs(o.canary.all-p*n) <= spread(p, n) {
		return ""
	}
	return fmt.Sprintf("of %.0f requests the new version answered %.0f (%.1f %%), and should have %d %%", n, o.canary.all, o.percent(), o.asked)
}

func spread(p, n float64) float64 { return 4*math.Sqrt(n*p*(1-p)) + 5 }

// faultsOfGood says how the release of a version that is good went wrong.
func (r release) faultsOfGood(callers drill.Report) (faults []string) {
	if r.verdict != "" {
		faults = append(faults, "the good version was rolled back: "+r.verdict)
	} else if len(r.steps) != len(steps) {
		faults = append(faults, fmt.Sprintf("it was judged at %d of %d steps", len(r.steps), len(steps)))
	}
	if callers.Lost > 0 {
		faults = append(faults, "requests were lost")
	}
	return append(faults, sharesOff(r.steps)...)
}

// faultsOfBad says how the release of a version that is bad went wrong: it must
// hurt nobody but those who met it, and those may be a tenth of the callers while it lasts.
func (r release) faultsOfBad(callers drill.Report) (faults []string) {
	if r.verdict == "" {
		faults = append(faults, "it was not noticed")
	}
	for _, o := range r.steps {
		if o.asked > mostOfBad {
			faults = append(faults, fmt.Sprintf("it came to the step of %d %%", o.asked))
		}
	}
	if all, p := r.met.all+r.others(), float64(mostOfBad)/100; r.met.all > p*all+spread(p, all) {
		faults = append(faults, fmt.Sprintf("%.0f of %.0f requests met it, more than %d %%", r.met.all, all, mostOfBad))
	}
	if float64(callers.Lost) > r.met.failed {
		faults = append(faults, fmt.Sprintf("%d requests were lost, and it failed %.0f", callers.Lost, r.met.failed))
	}
	// The step that it failed at was over too soon to measure a share by.
	return append(faults, sharesOff(r.steps[max(0, len(r.steps)-1):])...)
}

// others is how many requests the stable replicas answered while the new version had a share.
func (r release) others() (n float64) {
	for _, o := range r.steps {
		if o.asked > 0 {
			n += o.given.stable.all
		}
	}
	return n
}

func sharesOff(list []observed) (faults []string) {
	for _, o := range list {
		if off := o.off(); off != "" {
			faults = append(faults, off)
		}
	}
	return faults
}

// shares are the steps for people: what was asked, and what was measured where that took long enough.
func (r release) shares() string {
	var list []string
	for _, o := range r.steps {
		measured := "cut short"
		if o.all.all > 0 {
			measured = fmt.Sprintf("%.1f", o.percent())
		}
		list = append(list, fmt.Sprintf("%d %% (%s)", o.asked, measured))
	}
	return strings.Join(list, ", ")
}
