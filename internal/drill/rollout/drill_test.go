package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/drill"
	"github.com/profile-api/profile-api/internal/process"
)

const tree = "../../.."

// The race detector otherwise lets each program that it watches sleep for a second at its end.
var quickEnd = drill.Settings{"GORACE": "atexit_sleep_ms=0"}

// The releases of the drill, with the real proxy and more callers, on replicas that start at once. make rollout-drill is the long form.
func TestTheShortReleases(t *testing.T) {
	if _, found := process.Find("haproxy"); !found {
		t.Skip("no haproxy here; internal/tools/prerequisites says so before a run")
	}
	t.Run("a good version", func(t *testing.T) {
		t.Parallel()
		f := shortFleet(t)
		nothing := func(context.Context, string) error { return nil }
		if err := f.goodRelease(t.Context(), standInNamed(t, "v2"), nothing); err != nil {
			t.Fatal(err)
		}
		f.tell(t)
	})
	t.Run("bad ones", func(t *testing.T) {
		t.Parallel()
		f := shortFleet(t)
		for _, name := range []string{"fails", "slow"} {
			if err := f.badRelease(t.Context(), name, standInNamed(t, name)); err != nil {
				t.Fatal(err)
			}
		}
		f.tell(t)
		aCanaryThatDies(t, f)
	})
}

// What a replica with much to do may take to say that it is ready must not put it out: all have much to do at once.
func TestReplicasThatAreSlowToSayTheyAreReadyStay(t *testing.T) {
	if _, found := process.Find("haproxy"); !found {
		t.Skip("no haproxy here; internal/tools/prerequisites says so before a run")
	}
	t.Parallel()
	f := fleetOf(t, "ponders")
	stop := f.traffic.Start(t.Context())
	defer stop()
	time.Sleep(3 * time.Second) // some checks of each
	if r := stop(); r.Lost > 0 || r.Sent < f.traffic.Rate {
		t.Errorf("%s", r)
	}
}

func (f *fleet) tell(t *testing.T) {
	t.Log(strings.Join(f.rows, "\n"))
	for _, fault := range f.faults {
		t.Error(fault)
	}
}

// aCanaryThatDies takes with it what it was about to answer, and must not stay a canary.
func aCanaryThatDies(t *testing.T, f *fleet) {
	stop := f.traffic.Start(t.Context())
	defer stop()
	r, err := f.release(t.Context(), standInNamed(t, "dies"))
	if err != nil || r.verdict != "it does not tell what it has answered" {
		t.Errorf("the verdict is %q: %v", r.verdict, err)
	}
	stop()
	after := f.traffic.Start(t.Context())
	if _, err := f.observe(t.Context(), 0, func(o observed) bool { return o.all.all >= enough }); err != nil {
		t.Error(err)
	}
	if r := after(); r.Lost > 0 {
		t.Errorf("after it was rolled back: %s", r)
	}
}

// shortFleet is one of the old version, which has the traffic.
func shortFleet(t *testing.T) *fleet { return fleetOf(t, "v1") }

func fleetOf(t *testing.T, version string) *fleet {
	// Not t.TempDir, whose name may be longer than the path of a socket can be.
	dir, err := process.TempDir(nil, "rollout")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	front, err := startProxy(t.Context(), tree, dir, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	people := newCallers("http://"+front.addr, strconv.Itoa)
	f := &fleet{dir: dir, front: front, env: quickEnd, traffic: drill.Traffic{Rate: 6 * rate, Call: people.call}}
	t.Cleanup(func() {
		f.killAll()
		if err := front.stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := f.fillStable(t.Context(), standInNamed(t, version)); err != nil {
		t.Fatal(err)
	}
	return f
}

// standInNamed is this test as a program of that name.
func standInNamed(t *testing.T, name string) string {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	return link
}

func TestWeightsGiveTheShare(t *testing.T) {
	for _, share := range []int{0, 1, 5, 10, 20, 25, 50, 75, 80, 90, 100} {
		for canaries := range slots + 1 {
			of, ofCanary := weights(share, slots, canaries)
			want := share
			if canaries == 0 {
				want = 0
			}
			if all := of*slots + ofCanary*canaries; all == 0 || 100*ofCanary*canaries != want*all || of > 256 || ofCanary > 256 {
				t.Errorf("%d %% for %d canaries: weights %d and %d", share, canaries, of, ofCanary)
			}
		}
	}
}

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		answers
		verdict string
		over    bool
	}{
		"nothing yet":                  {answers{}, "", false},
		"too little to be good":        {answers{99, 0, 0}, "", false},
		"good":                         {answers{100, 0, 0}, "", true},
		"as bad as it may be":          {answers{100, 1, 5}, "", true},
		"one in a hundred fails":       {answers{300, 3, 0}, "", true},
		"more fail":                    {answers{300, 4, 0}, "it fails too often", true},
		"it cannot be good any more":   {answers{2, 2, 0}, "it fails too often", true},
		"it cannot be quick any more":  {answers{6, 0, 6}, "it is too slow", true},
		"it may still be quick enough": {answers{6, 1, 5}, "", false},
	} {
		if verdict, over := judge(test.answers); verdict != test.verdict || over != test.over {
			t.Errorf("%s: %q, %v", name, verdict, over)
		}
	}
}

func seen(asked int, canary, all float64) observed {
	return observed{asked: asked, canary: answers{all: canary}, all: answers{all: all}}
}

func TestFaultsOfAGoodRelease(t *testing.T) {
	good := []observed{seen(10, 100, 1000), seen(50, 110, 210), seen(100, 100, 100)}
	for name, test := range map[string]struct {
		release
		lost int
		want []string
	}{
		"as it should be": {release{steps: good}, 0, nil},
		"rolled back":     {release{verdict: "slow", steps: good[:1]}, 0, []string{"the good version was rolled back: slow"}},
		"not judged":      {release{steps: good[:1]}, 0, []string{"it was judged at 1 of 3 steps"}},
		"lossy":           {release{steps: good}, 1, []string{"requests were lost"}},
		"a quarter": {
			release{steps: []observed{seen(10, 250, 1000), good[1], good[2]}}, 0,
			[]string{"of 1000 requests the new version answered 250 (25.0 %), and should have 10 %"},
		},
		"not measured": {
			release{steps: []observed{good[0], good[1], seen(100, 0, 0)}}, 0,
			[]string{"of 0 requests the new version answered 0 (0.0 %), and should have 100 %"},
		},
		"too little": {
			release{steps: []observed{good[0], seen(50, 30, 200), seen(100, 90, 100)}}, 0,
			[]string{"of 200 requests the new version answered 30 (15.0 %), and should have 50 %", "of 100 requests the new version answered 90 (90.0 %), and should have 100 %"},
		},
	} {
		if got := test.faultsOfGood(drill.Report{Lost: test.lost}); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestFaultsOfABadRelease(t *testing.T) {
	tenth := observed{asked: 10, given: counts{stable: answers{all: 90}}}
	half := observed{asked: 50, given: counts{stable: answers{all: 50}}}
	few, many := answers{10, 3, 0}, answers{60, 3, 0}
	none := seen(0, 0, 100)
	for name, test := range map[string]struct {
		verdict string
		steps   []observed
		met     answers
		lost    int
		want    []string
	}{
		"as it should be": {"fails", []observed{tenth, none}, few, 3, nil},
		"never ready":     {"not ready", []observed{none}, answers{}, 0, nil},
		"not noticed":     {"", []observed{tenth, none}, few, 3, []string{"it was not noticed"}},
		"went on":         {"fails", []observed{tenth, half, none}, many, 3, []string{"it came to the step of 50 %", "60 of 200 requests met it, more than 10 %"}},
		"others hurt":     {"fails", []observed{tenth, none}, few, 4, []string{"4 requests were lost, and it failed 3"}},
		"not back":        {"fails", []observed{tenth, seen(0, 10, 100)}, few, 3, []string{"of 100 requests the new version answered 10 (10.0 %), and should have 0 %"}},
		"not looked at":   {"fails", []observed{tenth, {}}, few, 3, []string{"of 0 requests the new version answered 0 (0.0 %), and should have 0 %"}},
	} {
		r := release{verdict: test.verdict, steps: test.steps, met: test.met}
		if got := r.faultsOfBad(drill.Report{Lost: test.lost}); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// One release process, two ways to run it: the drill rehearses what the cluster does.
func TestStepsAndLimitsAreThoseOfKubernetes(t *testing.T) {
	find := func(file, pattern string) (found []string) {
		text, err := os.ReadFile(filepath.Join(tree, "deploy/kubernetes/base", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			found = append(found, m[1])
		}
		return found
	}
	var shares []string
	for _, s := range steps {
		shares = append(shares, strconv.Itoa(s.share))
	}
	if there := find("rollout.yaml", `setWeight: (\d+)`); !slices.Equal(shares, there) {
		t.Errorf("the steps are %v here and %v there", shares, there)
	}
	limits := []string{strconv.FormatFloat(mostFailed, 'g', -1, 64), strconv.FormatFloat(slow, 'g', -1, 64)}
	if there := find("analysis.yaml", `failureCondition: .* > ([0-9.]+)`); !slices.Equal(limits, there) {
		t.Errorf("the limits are %v here and %v there", limits, there)
	}
}

func TestTheRunbookTakesAllTrafficFromCanaries(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(tree, "docs/runbooks/rollback.md"))
	if err != nil {
		t.Fatal(err)
	}
	var p proxy
	for i := range slots {
		p.stable = append(p.stable, server{name: "replica" + strconv.Itoa(i+1)})
		p.canary = append(p.canary, server{name: "canary" + strconv.Itoa(i+1)})
	}
	if want := `echo "` + p.commands(0, slots) + `" | socat`; !strings.Contains(string(text), want) {
		t.Errorf("the page lacks: %s", want)
	}
}

// Scanners get their 404 of any version, and probes their 200.
func TestOnlyTheAPIsOwnAnswersAreJudged(t *testing.T) {
	ops := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for route, status := range map[string]string{"/v1/profiles/me": "500", "unmatched": "404", "/health/ready": "200", "/openapi.json": "200"} {
			labels := fmt.Sprintf(`{method="GET",route=%q,status=%q`, route, status)
			_, _ = fmt.Fprintf(w, "http_request_duration_seconds_bucket%s,le=\"0.5\"} 40\nhttp_request_duration_seconds_count%s} 50\n", labels, labels)
		}
	}))
	t.Cleanup(ops.Close)
	got, err := scrape(t.Context(), &drill.Replica{Ops: strings.TrimPrefix(ops.URL, "http://")})
	if want := (answers{all: 50, failed: 50, slow: 10}); err != nil || got != want {
		t.Errorf("%+v, want %+v: %v", got, want, err)
	}
}
