package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"
)

// BenchmarkListingPages reads the first and the 10,000th page of each listing in
// turn, over a million people. Their ratio, ×first, is what can be compared between machines.
func BenchmarkListingPages(b *testing.B) {
	db := seeded(b)
	for _, p := range db.paged(b) {
		b.Run(strings.ReplaceAll(p.name, " ", "_"), func(b *testing.B) {
			pages := []func(context.Context) (int, error){p.at(1), p.at(10_000)}
			var took [2]time.Duration
			for b.Loop() {
				for i, run := range pages {
					start := time.Now()
					if _, err := run(b.Context()); err != nil {
						b.Fatal(err)
					}
					took[i] += time.Since(start)
				}
			}
			first, far := took[0].Seconds()*1e3/float64(b.N), took[1].Seconds()*1e3/float64(b.N)
			b.ReportMetric(first, "first-ms")
			b.ReportMetric(far, "10000th-ms")
			b.ReportMetric(far/first, "×first")
		})
	}
}
