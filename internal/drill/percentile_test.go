package drill

import (
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	var r Report
	if p := r.Percentile(95); p != 0 {
		t.Errorf("of nothing: %s", p)
	}
	for i := range 200 {
		r.latencies = append(r.latencies, time.Duration(i+1)*time.Millisecond)
	}
	for p, want := range map[float64]int{0: 1, 50: 100, 95: 190, 99: 198, 100: 200} {
		if got := r.Percentile(p); got != time.Duration(want)*time.Millisecond {
			t.Errorf("p%v is %s, want %d ms", p, got, want)
		}
	}
}
