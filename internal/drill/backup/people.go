package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/drill"
)

// client calls the API. A database that is gone must not hang a call for long.
var client = &http.Client{Timeout: 15 * time.Second}

// write is one write that the API acknowledged.
type write struct {
	Request string // its X-Request-ID, which the audit trail keeps
	At      time.Time
}

// person is somebody who writes. counter is what the last acknowledged write put into the profile.
type person struct {
	mu      sync.Mutex
	clerk   string
	token   string
	id      string // of the profile; empty before it exists
	counter int
	erased  bool
}

// state is what the API must answer of somebody.
type state struct {
	ID      string
	Counter int
	Erased  bool
}

// callers are the people and what was acknowledged to them.
type callers struct {
	stage  *drill.Stage
	api    string // host:port
	mu     sync.Mutex
	people []*person
	acked  []write
	calls  int
}

// add makes Clerk know one more person, and that person's first request makes the profile.
func (c *callers) add(ctx context.Context) error {
	c.mu.Lock()
	name := fmt.Sprintf("drill%04d", len(c.people))
	p := &person{clerk: clerkstandin.UserID(name)}
	c.people = append(c.people, p)
	c.mu.Unlock()
	c.stage.Clerk.PutPerson(clerkstandin.NewPerson(name, "Drill", "Person", ""))
	token, err := c.stage.Clerk.Token(p.clerk)
	if err != nil {
		return err
	}
	p.token = token
	answer, err := c.call(ctx, http.MethodGet, p, "", http.StatusOK)
	if err != nil {
		return err
	}
	p.id = answer.ID
	return nil
}

type profile struct {
	ID       string `json:"id"`
	Metadata struct {
		Counter int `json:"drill"`
	} `json:"metadata"`
	Code string `json:"code"`
}

// call makes one request of a person's own profile. What changed something is kept as acknowledged.
func (c *callers) call(ctx context.Context, method string, p *person, body string, want int) (answer profile, err error) {
	c.mu.Lock()
	c.calls++
	request := fmt.Sprintf("drill-%06d", c.calls)
	c.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.api+"/v1/profiles/me", strings.NewReader(body))
	if err != nil {
		return answer, err
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("X-Request-ID", request)
	if body != "" {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer, errors.New("no answer")
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		return answer, errors.New("half an answer")
	}
	if text.Len() > 0 {
		if err := json.Unmarshal(text.Bytes(), &answer); err != nil {
			return answer, errors.New("an answer that is no JSON")
		}
	}
	if resp.StatusCode != want {
		return answer, fmt.Errorf("%s %d %s", method, resp.StatusCode, answer.Code)
	}
	if method != http.MethodGet || p.id == "" {
		c.mu.Lock()
		c.acked = append(c.acked, write{request, time.Now()})
		c.mu.Unlock()
	}
	return answer, nil
}

// patch is the n-th call of the traffic: somebody counts one further.
func (c *callers) patch(ctx context.Context, n int) error {
	c.mu.Lock()
	p := c.people[n%len(c.people)]
	c.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.erased || p.id == "" {
		return nil
	}
	next := p.counter + 1
	if _, err := c.call(ctx, http.MethodPatch, p, fmt.Sprintf(`{"metadata":{"drill":%d}}`, next), http.StatusOK); err != nil {
		return err
	}
	p.counter = next
	return nil
}

func (c *callers) erase(ctx context.Context, p *person) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := c.call(ctx, http.MethodDelete, p, "", http.StatusAccepted); err != nil {
		return err
	}
	p.erased = true
	return nil
}

// remember gives what is true now: the acknowledged writes and, for everybody, the state. The states belong together only
// while nobody calls.
func (c *callers) remember() (writes []write, people map[*person]state) {
	c.mu.Lock()
	writes = slices.Clone(c.acked)
	everybody := slices.Clone(c.people)
	c.mu.Unlock() // a caller holds the person first
	people = map[*person]state{}
	for _, p := range everybody {
		p.mu.Lock()
		people[p] = state{p.id, p.counter, p.erased}
		p.mu.Unlock()
	}
	return writes, people
}

// differences asks the API about everybody and says where it differs from what was true.
func (c *callers) differences(ctx context.Context, people map[*person]state) (found []string) {
	wrong := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for p, want := range people {
		if want.Erased {
			if answer, err := c.call(ctx, http.MethodGet, p, "", http.StatusUnauthorized); err != nil || answer.Code != "account-erased" {
				wrong("somebody erased before the moment is not: %v %s", err, answer.Code)
			}
			continue
		}
		answer, err := c.call(ctx, http.MethodGet, p, "", http.StatusOK)
		if err != nil || answer.ID != want.ID || answer.Metadata.Counter != want.Counter {
			wrong("a profile answers %v with write %d of %s instead of %d of %s", err, answer.Metadata.Counter, answer.ID, want.Counter, want.ID)
		}
	}
	return found
}
