package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/profile-api/profile-api/internal/drill"
)

// What the canary may do, as in the AnalysisTemplate of deploy/kubernetes.
const (
	mostErrors    = 0.01                   // share of answers with status 500 and above
	slowest       = 500 * time.Millisecond // p95
	fewestAnswers = 40                     // fewer say nothing
	canaryLimit   = 20 * time.Second       // a replica that is not ready by then has failed
)

// answers are what a replica has answered outside of /health, as its metrics tell.
type answers struct {
	all, failed float64
	buckets     map[float64]float64 // answers no slower than so many seconds
}

var sample = regexp.MustCompile(`^http_request_duration_seconds_(bucket|count)\{(.*)\} ([0-9.e+]+)$`)

func scrape(ctx context.Context, r *drill.Replica) (a answers, err error) {
	a.buckets = map[float64]float64{}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Ops+"/metrics", http.NoBody)
	if err != nil {
		return a, err
	}
	resp, err := reader.Do(req)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		m := sample.FindStringSubmatch(lines.Text())
		if len(m) < 4 || strings.Contains(m[2], `route="/health`) {
			continue
		}
		n, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return a, err
		}
		if m[1] == "count" {
			a.all += n
			if strings.Contains(m[2], `status="5`) {
				a.failed += n
			}
			continue
		}
		_, bound, _ := strings.Cut(m[2], `le="`)
		bound, _, _ = strings.Cut(bound, `"`)
		le, err := strconv.ParseFloat(bound, 64) // +Inf too
		if err != nil {
			return a, err
		}
		a.buckets[le] += n
	}
	return a, lines.Err()
}

// p95 is the upper bound of the bucket in which the answer lies that 95 % are no slower than.
func (a answers) p95() time.Duration {
	best := math.Inf(1)
	for le, n := range a.buckets {
		if n >= 0.95*a.all && le < best {
			best = le
		}
	}
	if math.IsInf(best, 1) {
		return time.Hour
	}
	return time.Duration(best * float64(time.Second))
}

func (a answers) String() string {
	return fmt.Sprintf("%.0f answers, %.1f %% failed, p95 at most %s", a.all, 100*a.failed/max(a.all, 1), a.p95())
}

// judge watches a canary until it has answered enough, and says what is wrong with it; empty: nothing.
// The stable replica's figures are the reason to believe that the canary and not the database is at fault.
func judge(ctx context.Context, canary, stable *drill.Replica) (verdict, figures string, err error) {
	for ctx.Err() == nil {
		c, err := scrape(ctx, canary)
		if err != nil {
			return "it does not tell its metrics", "", nil //nolint:nilerr // that is the verdict
		}
		if c.all < fewestAnswers {
			time.Sleep(200 * time.Millisecond)
			continue
		}
		s, err := scrape(ctx, stable)
		if err != nil {
			return "", "", err
		}
		figures = fmt.Sprintf("canary: %s; stable: %s", c, s)
		switch {
		case c.failed/c.all > mostErrors && c.failed/c.all > 2*s.failed/max(s.all, 1):
			return "it fails too often", figures, nil
		case c.p95() > slowest && c.p95() > s.p95():
			return "it is too slow", figures, nil
		}
		return "", figures, nil
	}
	return "", "", ctx.Err()
}
