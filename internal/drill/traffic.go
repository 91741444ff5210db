package drill

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Traffic calls at a constant rate, whether or not earlier calls have been
// answered: an open model, in which a server that stalls is not spared.
type Traffic struct {
	Rate int // calls a second, at least 1
	// Call makes the n-th call, counted from 0, and judges its answer: what it
	// returns is a lost request. It must end by itself.
	Call func(ctx context.Context, n int) error
}

// Report is what came of a stretch of traffic.
type Report struct {
	Sent, Lost int
	Reasons    map[string]int  // each kind of loss and how often; the text of the errors
	latencies  []time.Duration // sorted
	Took       time.Duration   // from the first call to the last answer
	Late       time.Duration   // the most that a call was made after its time
}

// Run calls until ctx ends, waits for the last answers and reports. Calls go on
// with a context of their own, so that the end cuts none of them off. Each call
// has its time since the beginning, and all whose time has come are made, late
// if need be: when this machine stalls nothing is left out, as a ticker would.
func (t Traffic) Run(ctx context.Context) Report {
	var mu sync.Mutex
	var wg sync.WaitGroup
	report := Report{Reasons: map[string]int{}}
	call := func(n int) {
		sent := time.Now()
		err := t.Call(context.WithoutCancel(ctx), n)
		mu.Lock()
		defer mu.Unlock()
		report.latencies = append(report.latencies, time.Since(sent))
		if err != nil {
			report.Lost++
			report.Reasons[err.Error()]++
		}
	}
	begin := time.Now()
	for ended := false; !ended; {
		ended = ctx.Err() != nil
		due := t.due(time.Since(begin))
		if due > report.Sent {
			report.Late = max(report.Late, time.Since(begin)-t.at(report.Sent))
		}
		for ; report.Sent < due; report.Sent++ {
			n := report.Sent
			wg.Go(func() { call(n) })
		}
		if !ended {
			pause(ctx, t.at(due)-time.Since(begin))
		}
	}
	wg.Wait()
	report.Took = time.Since(begin)
	slices.Sort(report.latencies)
	return report
}

// at is the time of the n-th call, since the beginning.
func (t Traffic) at(n int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(t.Rate)
}

// due is how many calls have had their time after so long.
func (t Traffic) due(since time.Duration) int {
	return int(since*time.Duration(t.Rate)/time.Second) + 1
}

// pause waits so long, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Start runs the traffic in the background; the function that it returns ends it and reports.
func (t Traffic) Start(ctx context.Context) (stop func() Report) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan Report, 1)
	go func() { done <- t.Run(ctx) }()
	return sync.OnceValue(func() Report { cancel(); return <-done })
}

// Percentile is the latency that p percent (0 to 100) of the calls did not exceed; 0 when there was none.
func (r Report) Percentile(p float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	at := int(float64(len(r.latencies))*p/100+0.5) - 1
	return r.latencies[min(max(at, 0), len(r.latencies)-1)]
}

// String is one line for people, with the commonest reasons of losses.
func (r Report) String() string {
	line := fmt.Sprintf("%d requests in %.1f s, %d lost; p50 %s, p95 %s, p99 %s", r.Sent, r.Took.Seconds(), r.Lost,
		r.Percentile(50).Round(time.Microsecond*100), r.Percentile(95).Round(time.Microsecond*100), r.Percentile(99).Round(time.Microsecond*100))
	if r.Late > time.Second {
		line += fmt.Sprintf("; calls were made up to %.1f s late, as this machine stalled", r.Late.Seconds())
	}
	reasons := slices.SortedFunc(maps.Keys(r.Reasons), func(a, b string) int { return r.Reasons[b] - r.Reasons[a] })
	for _, reason := range reasons[:min(len(reasons), 3)] {
		line += fmt.Sprintf("\n  %d times: %s", r.Reasons[reason], strings.TrimSpace(reason))
	}
	return line
}
