package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/profile-api/profile-api/internal/drill"
)

const (
	people = 50
	rate   = 60 // calls a second
)

// reader asks metrics and is in nobody's way.
var reader = &http.Client{Timeout: 5 * time.Second}

// callers are people who read and write their profiles through the proxy. Half
// of them keep their connections, half open one for each call.
type callers struct {
	base        string
	tokens      []string
	kept, fresh *http.Client
	mu          sync.Mutex
	written     map[int][]string // by person, what was acknowledged
}

// newCallers takes where they call, and what makes a token for each person.
func newCallers(base string, mint func(who int) string) *callers {
	c := &callers{base: base, written: map[int][]string{}}
	for i := range people {
		c.tokens = append(c.tokens, mint(i))
	}
	// This side closes first what is idle: a proxy that closes a connection in the moment that a request is sent has nothing to do with a release.
	c.kept = &http.Client{Timeout: 30 * time.Second, Transport: drill.Once{Transport: &http.Transport{MaxIdleConnsPerHost: 50, IdleConnTimeout: 5 * time.Second}}}
	c.fresh = &http.Client{Timeout: 30 * time.Second, Transport: drill.Once{Transport: &http.Transport{DisableKeepAlives: true}}}
	return c
}

// call makes the n-th call: a third of them write a mark of their own. By chance,
// since a pattern would fall in step with the proxy's turns: one replica got all the writes.
func (c *callers) call(ctx context.Context, n int) error {
	who, client := n%people, c.kept
	if rand.IntN(2) == 0 { // #nosec G404 -- as below
		client = c.fresh
	}
	if rand.IntN(3) != 0 { // #nosec G404 -- spreads calls, guards nothing
		_, err := c.do(ctx, client, who, http.MethodGet, "")
		return err
	}
	mark := fmt.Sprint("m", time.Now().UnixNano()%1e9, "_", n)
	if _, err := c.do(ctx, client, who, http.MethodPatch, `{"metadata":{"`+mark+`":1}}`); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written[who] = append(c.written[who], mark)
	return nil
}

func (c *callers) do(ctx context.Context, client *http.Client, who int, method, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/v1/profiles/me", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.tokens[who])
	if body == "" {
		req.Body, req.ContentLength = http.NoBody, 0
	} else {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: no answer", method)
	}
	answer, err := io.ReadAll(resp.Body)
	if closing := resp.Body.Close(); err != nil || closing != nil {
		return nil, fmt.Errorf("%s: the answer is cut off", method)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", method, resp.StatusCode)
	}
	return answer, nil
}

// missing counts the acknowledged writes and those whose effect is not there.
func (c *callers) missing(ctx context.Context) (acknowledged, gone int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for who, marks := range c.written {
		answer, err := c.do(ctx, c.kept, who, http.MethodGet, "")
		if err != nil {
			return 0, 0, err
		}
		var p struct{ Metadata map[string]int }
		if err := json.Unmarshal(answer, &p); err != nil {
			return 0, 0, err
		}
		for _, mark := range marks {
			acknowledged++
			if p.Metadata[mark] != 1 {
				gone++
			}
		}
	}
	return acknowledged, gone, nil
}
