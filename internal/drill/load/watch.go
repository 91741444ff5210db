package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const watchEvery = 2 * time.Second

// reading is what the replicas' /metrics say, summed.
type reading struct {
	at                                           time.Time
	cpu, memory, goroutines, poolWait, abandoned float64
}

var scraper = &http.Client{Timeout: 5 * time.Second}

// read sums over the replicas; what cannot be read now counts as 0.
func (t *target) read(ctx context.Context) reading {
	r := reading{at: time.Now()}
	names := map[string]*float64{
		"process_cpu_seconds_total": &r.cpu, "process_resident_memory_bytes": &r.memory, "go_goroutines": &r.goroutines,
		"db_pool_wait_seconds_total": &r.poolWait, "db_pool_abandoned_total": &r.abandoned,
	}
	for _, replica := range t.fleet.Replicas() {
		text, err := scrape(ctx, replica.Ops)
		if err != nil {
			continue // the next look may succeed
		}
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), " ")
			if into := names[name]; into != nil {
				n, _ := strconv.ParseFloat(value, 64)
				*into += n
			}
		}
	}
	return r
}

func scrape(ctx context.Context, ops string) (text []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ops+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := scraper.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	return io.ReadAll(resp.Body)
}

// watch samples until the function that it returns is called with the end of k6; that gives a line for people.
func (t *target) watch(ctx context.Context) func(k6 *os.ProcessState) string {
	ctx, cancel := context.WithCancel(ctx)
	first := t.read(ctx)
	done := make(chan []reading, 1)
	go func() {
		var list []reading
		for {
			select {
			case <-ctx.Done():
				done <- list
				return
			case <-time.After(watchEvery):
				list = append(list, t.read(ctx))
			}
		}
	}()
	return func(k6 *os.ProcessState) string {
		last := t.read(ctx)
		cancel()
		return describe(first, append(<-done, last), k6)
	}
}

func describe(first reading, list []reading, k6 *os.ProcessState) string {
	last := list[len(list)-1]
	seconds := last.at.Sub(first.at).Seconds()
	most := first
	for _, r := range list {
		most.memory, most.goroutines = max(most.memory, r.memory), max(most.goroutines, r.goroutines)
	}
	const mebi = 1 << 20
	line := fmt.Sprintf("the program used %.2f of %d cores, at most %.0f MiB and %.0f goroutines (at the end %.0f MiB, %.0f); ",
		(last.cpu-first.cpu)/seconds, runtime.NumCPU(), most.memory/mebi, most.goroutines, last.memory/mebi, last.goroutines)
	line += fmt.Sprintf("waits for the pool %.1f s in all, %.0f given up", last.poolWait-first.poolWait, last.abandoned-first.abandoned)
	if k6 != nil {
		line += fmt.Sprintf("; k6 %.2f cores", (k6.UserTime()+k6.SystemTime()).Seconds()/seconds)
	}
	return line
}
