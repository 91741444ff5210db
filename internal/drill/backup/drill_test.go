package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/process"
)

// The whole drill with little traffic and a short archive_timeout. make backup-drill is the long form.
func TestTheShortDrill(t *testing.T) {
	if _, found := process.Find("pgbackrest"); !found {
		t.Skip("no pgbackrest here; internal/tools/prerequisites says so before a run")
	}
	source, err := sourceTree()
	if err != nil {
		t.Fatal(err)
	}
	for name, kubernetes := range map[string]bool{"as compose": false, "as Kubernetes": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options{source: source, archiveTimeout: "1s", people: 10, rate: 20, stretch: 200 * time.Millisecond, short: true, kubernetes: kubernetes}
			if err := rehearse(t.Context(), o, t.Logf); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Of a loss that is larger than what is promised the drill must not say that it passed, nor of one that met no delay.
func TestTheRecoveryPointHasABound(t *testing.T) {
	if err := bounded(85*time.Second, time.Minute); err != nil {
		t.Errorf("a minute and a push: %v", err)
	}
	if err := bounded(2*time.Minute, time.Minute); err == nil {
		t.Error("two minutes of writes lost with an archive_timeout of one pass")
	}
	if err := bounded(10*time.Second, time.Minute); err == nil {
		t.Error("a loss right after a segment was archived passes")
	}
}

func TestJudgeFindsWhatIsMissingTwiceOrTooLate(t *testing.T) {
	writes := func(names ...string) (list []write) {
		for _, n := range names {
			list = append(list, write{Request: n})
		}
		return list
	}
	for name, test := range map[string]struct {
		trail map[string]int
		want  []string
	}{
		"as it was":  {map[string]int{"a": 1, "b": 1, "unacknowledged": 1}, nil},
		"one lost":   {map[string]int{"a": 1}, []string{"1 writes acknowledged before the moment are not there"}},
		"one twice":  {map[string]int{"a": 2, "b": 1}, []string{"1 writes stand in the audit trail twice"}},
		"one later":  {map[string]int{"a": 1, "b": 1, "c": 1}, []string{"1 writes acknowledged after the moment are there"}},
		"another db": {map[string]int{"c": 1}, []string{"1 writes acknowledged after the moment are there", "2 writes acknowledged before the moment are not there"}},
	} {
		if got := judge(test.trail, writes("a", "b"), writes("c")); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestSnapshotsDifferByEveryRow(t *testing.T) {
	before := snapshot{"profiles": {"a", "b"}, "audit_events": {"x", "x"}}
	if found := before.differences(snapshot{"profiles": {"b", "a"}, "audit_events": {"x", "x"}}); len(found) != 0 {
		t.Errorf("the same: %q", found)
	}
	found := strings.Join(before.differences(snapshot{"profiles": {"a", "c"}, "audit_events": {"x"}}), "\n")
	for _, want := range []string{"profiles: 1 rows of before are missing, 1 are", "audit_events: 1 rows of before are missing, 0 are"} {
		if !strings.Contains(found, want) {
			t.Errorf("%q lacks %q", found, want)
		}
	}
}

func TestLossIsCountedFromTheOldestWriteThatIsGone(t *testing.T) {
	end := time.Now()
	acked := []write{{"kept", end.Add(-time.Minute)}, {"first", end.Add(-9 * time.Second)}, {"second", end.Add(-time.Second)}}
	if lost, window := loss(map[string]int{"kept": 1}, acked, end); lost != 2 || window != 9*time.Second {
		t.Errorf("%d lost, %s", lost, window)
	}
}
