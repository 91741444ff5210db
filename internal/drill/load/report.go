package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

const (
	// A soak must not end with more than these factors and this room above its beginning.
	maxGoroutines, roomGoroutines = 1.2, 50
	maxRSS, roomRSS               = 1.3, 32 << 20

	settled = 5 // samples at each end that are compared, at most
)

// result is what came of a plan.
type result struct {
	plan
	summary summary
	samples []sample
	crossed []string // thresholds
}

// ends are the medians at the beginning, after the first quarter (ramp and caches), and at the end, before the people leave.
func (r result) ends(of func(sample) float64) (begin, end float64) {
	n := len(r.samples)
	k := min(settled, n/4)
	if k == 0 {
		return 0, 0
	}
	median := func(some []sample) float64 {
		values := make([]float64, len(some))
		for i, s := range some {
			values[i] = of(s)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return median(r.samples[n/4 : n/4+k]), median(r.samples[n-k-1 : n-1])
}

// growth says what grew too much, if anything did; a soak that was not watched is not judged well.
func (r result) growth() string {
	begin, end := r.ends(func(s sample) float64 { return s.goroutines })
	rss, rssEnd := r.ends(func(s sample) float64 { return s.rss })
	if begin == 0 || end == 0 || rss == 0 || rssEnd == 0 {
		return "too short to judge memory and goroutines, or they could not be read"
	}
	if end > begin*maxGoroutines+roomGoroutines {
		return fmt.Sprintf("goroutines grew from %.0f to %.0f", begin, end)
	}
	if rssEnd > rss*maxRSS+roomRSS {
		return fmt.Sprintf("memory grew from %.0f to %.0f MiB", rss/(1<<20), rssEnd/(1<<20))
	}
	return ""
}

// bottleneck says who used the processors and whether the pool was waited for, in a line.
func (r result) bottleneck() string {
	samples := r.read()
	if len(samples) < 2 {
		return "too short to say what was the bottleneck, or nothing could be read"
	}
	first, last := samples[0], samples[len(samples)-1]
	seconds := (last.at - first.at).Seconds()
	share := func(begin, end float64) float64 { return (end - begin) / seconds }
	program, k6, database := share(first.program, last.program), share(first.k6, last.k6), share(first.database, last.database)
	line := fmt.Sprintf("processors used of %d: program %.2f, PostgreSQL %.2f, k6 %.2f; waits for the pool: %.0f, %.2f s in all",
		runtime.NumCPU(), program, database, k6, last.waits-first.waits, last.waited-first.waited)
	goroutines, goroutinesEnd := r.ends(func(s sample) float64 { return s.goroutines })
	rss, rssEnd := r.ends(func(s sample) float64 { return s.rss })
	line += fmt.Sprintf("; goroutines %.0f → %.0f, memory %.0f → %.0f MiB", goroutines, goroutinesEnd, rss/(1<<20), rssEnd/(1<<20))
	return line + "; " + full(samples)
}

// read are the samples that have everything.
func (r result) read() []sample {
	return slices.DeleteFunc(slices.Clone(r.samples), func(s sample) bool { return s.unread })
}

// full says what was full for how long: looks apart, since a run that is quiet in the mean may have stood still in its ramp.
func full(samples []sample) string {
	var processors, pool float64 // seconds
	for i, now := range samples[1:] {
		was := samples[i]
		seconds := (now.at - was.at).Seconds()
		used := (now.program + now.k6 + now.database - was.program - was.k6 - was.database) / (seconds * float64(runtime.NumCPU()))
		// A process of PostgreSQL's that ends during a look is missing there, and all that it ever used comes with the next.
		if used > 0.85 && used < 1.2 {
			processors += seconds
		}
		if now.waited-was.waited > seconds { // more than one request waiting at any time
			pool += seconds
		}
	}
	switch {
	case processors > 0 && pool > 0:
		return fmt.Sprintf("full were the processors for %.0f s, k6's share included, and the pool for %.0f s", processors, pool)
	case processors > 0:
		return fmt.Sprintf("full were the processors for %.0f s, k6's share included", processors)
	case pool > 0:
		return fmt.Sprintf("full was the pool for %.0f s", pool)
	}
	return "nothing was full in any second"
}

// row is a line of the table, without the run's name.
type row struct {
	route string
	cells []string
}

func (r result) rows() (rows []row) {
	const prefix = "http_req_duration"
	for _, name := range slices.Sorted(maps.Keys(r.summary.Metrics)) {
		route := strings.TrimSuffix(strings.TrimPrefix(name, prefix+"{route:"), "}")
		switch {
		case name == prefix:
			route = "all"
		case name == prefix+"{phase:recovered}":
			route = "all, after the spike"
		case !strings.HasPrefix(name, prefix+"{route:"):
			continue
		}
		v := r.summary.Metrics[name].Values
		cells := []string{fmt.Sprintf("%.0f", v["count"])}
		for _, key := range []string{"p(50)", "p(95)", "p(99)", "max"} {
			cells = append(cells, fmt.Sprintf("%.1f", v[key]))
		}
		rows = append(rows, row{route, cells})
	}
	return rows
}

// facts are the lines below a table.
func (r result) facts() []string {
	m := r.summary.Metrics
	return []string{
		fmt.Sprintf("%.1f requests/s over the whole run, failed: %.3f %%, checks passed: %.3f %%", m["http_reqs"].Values["rate"],
			100*m["http_req_failed"].Values["rate"], 100*m["checks"].Values["rate"]),
		r.bottleneck(),
		"thresholds crossed: " + cmpOr(strings.Join(r.crossed, "; "), "none"),
	}
}

func cmpOr(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// markdown is the part of docs/performance.md that a run decides.
func markdown(results []result, machine string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Machine: %s\n", machine)
	for _, r := range results {
		fmt.Fprintf(&b, "\n### %s\n\n`%s.js`, %d replica(s)%s\n\n"+
			"| route | requests | p50 ms | p95 ms | p99 ms | max ms |\n| --- | ---: | ---: | ---: | ---: | ---: |\n",
			r.name, r.script, r.replicas, strings.TrimRight(" "+strings.Join(r.settings, " "), " "))
		for _, row := range r.rows() {
			fmt.Fprintf(&b, "| %s | %s |\n", row.route, strings.Join(row.cells, " | "))
		}
		fmt.Fprintf(&b, "\n- %s\n", strings.Join(r.facts(), "\n- "))
	}
	return b.String()
}

// page is the same for a browser; it fetches nothing.
func page(results []result, machine string) string {
	var b strings.Builder
	b.WriteString("<!doctype html><html lang=en><meta charset=utf-8><title>Load tests</title><style>body{font:16px sans-serif;margin:2em}" +
		"td,th{padding:.2em .8em;text-align:right}td:first-child,th:first-child{text-align:left}</style><h1>Load tests</h1>")
	fmt.Fprintf(&b, "<p>Machine: %s</p>", html.EscapeString(machine))
	for _, r := range results {
		fmt.Fprintf(&b, "<h2>%s</h2><table><tr><th>route<th>requests<th>p50 ms<th>p95 ms<th>p99 ms<th>max ms</tr>", html.EscapeString(r.name))
		for _, row := range r.rows() {
			fmt.Fprintf(&b, "<tr><td>%s<td>%s</tr>", html.EscapeString(row.route), strings.Join(row.cells, "<td>"))
		}
		b.WriteString("</table><ul>")
		for _, fact := range r.facts() {
			fmt.Fprintf(&b, "<li>%s</li>", html.EscapeString(fact))
		}
		b.WriteString("</ul>")
	}
	return b.String()
}

func write(dir string, results []result, machine string) error {
	return errors.Join(os.WriteFile(filepath.Join(dir, "report.md"), []byte(markdown(results, machine)), 0o600),
		os.WriteFile(filepath.Join(dir, "report.html"), []byte(page(results, machine)), 0o600))
}

// machine describes where this was measured, without the machine's name.
func (s *stack) machine(ctx context.Context, k6 string) string {
	memory := "memory unknown"
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int
		if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib); err == nil {
			memory = fmt.Sprintf("%.1f GiB", float64(kib)/(1<<20))
		}
	}
	version, err := exec.CommandContext(ctx, k6, "version").Output() // #nosec G204 -- the pinned tool
	if err != nil {
		version = []byte("k6 of an unknown version")
	}
	return fmt.Sprintf("%d cores (%s), %s, %s, PostgreSQL %d, %s; everything on this one machine, k6 included", runtime.NumCPU(), runtime.GOARCH, memory,
		runtime.Version(), s.postgres.Programs().Major, strings.TrimSpace(string(version)))
}
