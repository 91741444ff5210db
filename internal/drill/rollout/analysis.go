package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/profile-api/profile-api/internal/drill"
)

// What a canary may do, as in the AnalysisTemplate of deploy/kubernetes: at most
// 1 % of its answers fail, and the p95 is at most 500 ms, which is to say that at
// most 5 % are slower. Fewer than enough answers say nothing good of a version.
const (
	mostFailed = 0.01 // share of answers with status 500 and above
	mostSlow   = 0.05 // share of answers slower than
	slow       = 0.5  // seconds, a bound of the histogram's buckets
	enough     = 100
)

// answers are what replicas have answered under /v1, as their metrics tell: neither probes nor scanners prove a version good.
type answers struct{ all, failed, slow float64 }

func (a answers) plus(b answers) answers {
	return answers{a.all + b.all, a.failed + b.failed, a.slow + b.slow}
}

func (a answers) minus(b answers) answers {
	return answers{a.all - b.all, a.failed - b.failed, a.slow - b.slow}
}

func (a answers) String() string {
	return fmt.Sprintf("%.0f answers, %.0f failed, %.0f slower than %g s", a.all, a.failed, a.slow, slow)
}

// judge says what is wrong with a version that has answered so; empty: nothing so
// far. It is over when it has answered enough, or as soon as what is bad would be
// too much even if all that it still has to answer were good: nobody
// more should be hurt in order to know it better.
func judge(a answers) (verdict string, over bool) {
	seen := max(a.all, enough)
	switch {
	case a.failed > mostFailed*seen:
		return "it fails too often", true
	case a.slow > mostSlow*seen:
		return "it is too slow", true
	}
	return "", a.all >= enough
}

var sample = regexp.MustCompile(`^http_request_duration_seconds_(bucket|count)\{(.*)\} ([0-9.e+]+)$`)

// scrape reads what a replica has answered since it started.
func scrape(ctx context.Context, r *drill.Replica) (a answers, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Ops+"/metrics", http.NoBody)
	if err != nil {
		return a, err
	}
	resp, err := reader.Do(req)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	quick := 0.0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		m := sample.FindStringSubmatch(lines.Text())
		if len(m) < 4 || !strings.Contains(m[2], `route="/v1/`) {
			continue
		}
		n, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return a, err
		}
		switch {
		case m[1] == "count":
			a.all += n
			if strings.Contains(m[2], `status="5`) {
				a.failed += n
			}
		case strings.Contains(m[2], fmt.Sprintf("le=%q", strconv.FormatFloat(slow, 'g', -1, 64))):
			quick += n
		}
	}
	a.slow = a.all - quick
	return a, nil
}

// counts are what the replicas of either kind have answered.
type counts struct{ stable, canary answers }

func (c counts) minus(d counts) counts {
	return counts{c.stable.minus(d.stable), c.canary.minus(d.canary)}
}

// errSilent says that a canary does not tell what it has answered: it may have died.
var errSilent = errors.New("a replica of the new version does not tell what it has answered")

func (f *fleet) counts(ctx context.Context) (c counts, err error) {
	for _, r := range f.stable {
		a, err := scrape(ctx, r)
		if err != nil {
			return c, fmt.Errorf("a stable replica does not tell what it has answered: %w", err)
		}
		c.stable = c.stable.plus(a)
	}
	for _, r := range f.canary {
		a, err := scrape(ctx, r)
		if err != nil {
			return c, fmt.Errorf("%w: %w", errSilent, err)
		}
		c.canary = c.canary.plus(a)
	}
	return c, nil
}
