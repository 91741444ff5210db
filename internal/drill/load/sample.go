package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// every is the time between two looks at the processes.
const every = time.Second

// clockTicks is USER_HZ, the unit of CPU times in /proc (proc(5)); 100 on every Linux of Go's.
const clockTicks = 100

// sample is one look at everything. Sums over replicas.
type sample struct {
	unread                bool          // a replica did not tell its metrics: what comes of them is 0 then, and no part of a sum
	goroutines, rss       float64       // rss in bytes
	waits, waited         float64       // for a connection of the pool since the start: how often, seconds
	program, k6, database float64       // CPU seconds since the start of each
	at                    time.Duration // since the first look
}

// watch looks until ctx ends.
func watch(ctx context.Context, s *stack, k6 int) []sample {
	var all []sample
	begin := time.Now()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		all = append(all, s.look(ctx, k6, time.Since(begin)))
		select {
		case <-ctx.Done():
			return all[:len(all)-min(1, len(all)-1)] // the last look may have been cut off
		case <-tick.C:
		}
	}
}

func (s *stack) look(ctx context.Context, k6 int, at time.Duration) sample {
	var addresses []string
	for _, r := range s.replicas {
		addresses = append(addresses, r.Ops)
	}
	l := told(ctx, addresses)
	l.at, l.k6 = at, cpu(k6)
	for _, r := range s.replicas {
		l.program += cpu(r.Pid())
	}
	if s.postgres != nil {
		l.database = cpu(s.postgres.Pid()) + cpuOfChildren(s.postgres.Pid())
	}
	return l
}

// told is what the metrics of replicas (host:port) tell together.
func told(ctx context.Context, addresses []string) (l sample) {
	for _, address := range addresses {
		m := scrape(ctx, "http://"+address+"/metrics")
		if _, whole := m["process_resident_memory_bytes"]; !whole { // they come in the order of their names
			return sample{unread: true}
		}
		l.goroutines += m["go_goroutines"]
		l.rss += m["process_resident_memory_bytes"]
		l.waits += m["db_pool_waits_total"]
		l.waited += m["db_pool_wait_seconds_total"]
	}
	return l
}

// looker asks for metrics.
var looker = &http.Client{Timeout: 5 * time.Second}

// scrape reads the metrics without labels.
func scrape(ctx context.Context, url string) map[string]float64 {
	found := map[string]float64{}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return found
	}
	resp, err := looker.Do(req)
	if err != nil {
		return found
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && !strings.ContainsAny(name, "#{") {
			found[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return found
}

// stat are the fields of /proc/PID/stat behind the name, so the state is the first.
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// cpu is what a process used so far and, for a parent, what its children had used when they ended; seconds.
func cpu(pid int) (seconds float64) {
	fields := stat(pid)
	if len(fields) < 15 {
		return 0
	}
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		ticks, _ := strconv.ParseFloat(field, 64)
		seconds += ticks / clockTicks
	}
	return seconds
}

func cpuOfChildren(parent int) (seconds float64) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if fields := stat(pid); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			seconds += cpu(pid)
		}
	}
	return seconds
}
