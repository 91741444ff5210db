package rotation_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	svix "github.com/svix/svix-webhooks/go"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/drill"
)

// callers are the people of a rotation: each call is one of them doing one
// thing, and comes back with an error when anything but the right answer comes.
type callers struct {
	base   string
	clerk  *clerkstandin.Server
	client *http.Client

	mu            sync.Mutex
	webhookSecret string
	repeats       []repeat // requests that were answered, to be sent again

	repeating sync.Mutex

	people  []string // Clerk ids; all have a profile
	ids     []string // their profiles
	handles []string
	erased  string // Clerk id of somebody who is erased, and whose token lives on
	cursor  string // of the admin's audit list, from before the rotation
}

// repeat is a request with an idempotency key and the answer that it got.
type repeat struct{ path, key, answer string }

const crowd = 8

// newCallers makes the people and what must outlive the rotation: an erased
// person, a cursor, an answer under an idempotency key.
func newCallers(t *testing.T, base string, clerk *clerkstandin.Server) *callers {
	t.Helper()
	c := &callers{base: base, clerk: clerk, webhookSecret: drill.WebhookSecret, client: &http.Client{
		Timeout: 20 * time.Second, Transport: drill.Once{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}}
	for i := range crowd + 1 {
		id := "user_2" + rand.Text()
		clerk.PutPerson(clerkstandin.Person{ID: id, FirstName: "Person", CreatedAt: time.Now()})
		var p struct{ ID, Handle string }
		if err := c.call(t.Context(), http.MethodGet, "/v1/profiles/me", c.token(id), "", nil, 200, &p); err != nil {
			t.Fatal(err)
		}
		if i == crowd {
			c.erased = id
			break
		}
		c.people, c.ids, c.handles = append(c.people, id), append(c.ids, p.ID), append(c.handles, p.Handle)
	}
	if err := c.call(t.Context(), http.MethodDelete, "/v1/profiles/me", c.token(c.erased), "", nil, 202, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.page(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if err := c.suspend(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *callers) token(id string) string { return c.clerk.Mint(clerkstandin.WithUser(id)) }

func (c *callers) admin() string {
	return c.clerk.Mint(clerkstandin.WithUser(c.people[crowd-1]), clerkstandin.WithRole("admin"))
}

// call is the n-th of the traffic.
func (c *callers) do(ctx context.Context, n int) error {
	who := n / 8 % (crowd - 2)
	switch n % 8 {
	case 0:
		return c.call(ctx, http.MethodGet, "/v1/profiles/me", c.token(c.people[who]), "", nil, 200, nil)
	case 1:
		return c.patch(ctx, n, who)
	case 2:
		return c.page(ctx, c.cursor)
	case 3:
		return c.suspend(ctx, crowd-2)
	case 4:
		return c.again(ctx, n)
	case 5:
		if err := c.call(ctx, http.MethodGet, "/v1/profiles/me", c.token(c.erased), "", nil, 401, nil); err != nil {
			return fmt.Errorf("somebody erased: %w", err)
		}
		return nil
	case 6:
		return c.deliver(ctx, c.people[who])
	default:
		return c.call(ctx, http.MethodGet, "/v1/profiles/"+c.handles[who], "", "", nil, 200, nil)
	}
}

func (c *callers) patch(ctx context.Context, n, who int) error {
	var p struct{ Location string }
	want := fmt.Sprintf("place %d", n)
	err := c.call(ctx, http.MethodPatch, "/v1/profiles/me", c.token(c.people[who]), `{"location":"`+want+`"}`, nil, 200, &p)
	if err == nil && p.Location != want {
		err = errors.New("a patch answers with another value")
	}
	return err
}

// page follows the cursor given, and the one that comes with that page; from "" it keeps the first.
func (c *callers) page(ctx context.Context, cursor string) error {
	for range 2 {
		path := "/v1/admin/audit-events?limit=2"
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		var list struct {
			Next string `json:"next_cursor"`
		}
		if err := c.call(ctx, http.MethodGet, path, c.admin(), "", nil, 200, &list); err != nil {
			return fmt.Errorf("a page: %w", err)
		}
		if list.Next == "" {
			return errors.New("a page has no cursor")
		}
		cursor = list.Next
		if c.cursor == "" {
			c.cursor = cursor
			return nil
		}
	}
	return nil
}

// suspend keeps its request, to be sent again under the same idempotency key.
func (c *callers) suspend(ctx context.Context, who int) error {
	r := repeat{path: "/v1/admin/profiles/" + c.ids[who] + "/reactivate", key: rand.Text()}
	var p json.RawMessage
	if err := c.call(ctx, http.MethodPost, r.path, c.admin(), "{}", http.Header{"Idempotency-Key": {r.key}}, 200, &p); err != nil {
		return err
	}
	r.answer = string(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.repeats = append(c.repeats, r)
	return nil
}

// again sends the first request once more, or a later one, and wants the very same answer.
func (c *callers) again(ctx context.Context, n int) error {
	c.repeating.Lock() // two at once would be told that the first still runs
	defer c.repeating.Unlock()
	c.mu.Lock()
	r := c.repeats[0]
	if n%16 == 4 {
		r = c.repeats[len(c.repeats)-1]
	}
	c.mu.Unlock()
	var p json.RawMessage
	headers := http.Header{}
	req := http.Header{"Idempotency-Key": {r.key}}
	if err := c.callFor(ctx, http.MethodPost, r.path, c.admin(), "{}", req, 200, &p, headers); err != nil {
		return err
	}
	if headers.Get("Idempotency-Replayed") == "" && string(p) != r.answer {
		return errors.New("a repeat was done again")
	}
	if string(p) != r.answer {
		return errors.New("a repeat gets another answer")
	}
	return nil
}

// deliver sends a webhook as Clerk does, signed with the secret of the moment.
func (c *callers) deliver(ctx context.Context, id string) error {
	c.mu.Lock()
	secret := c.webhookSecret
	c.mu.Unlock()
	now := time.Now()
	body := clerkstandin.Event("user.updated", clerkstandin.Person{ID: id, FirstName: "Person", CreatedAt: now}, now)
	signer, err := svix.NewWebhook(secret)
	if err != nil {
		return err
	}
	msg := "msg_" + rand.Text()
	signature, err := signer.Sign(msg, now, body)
	if err != nil {
		return err
	}
	err = c.call(ctx, http.MethodPost, "/v1/webhooks/clerk", "", string(body), http.Header{
		"Svix-Id": {msg}, "Svix-Timestamp": {fmt.Sprint(now.Unix())}, "Svix-Signature": {signature},
	}, 202, nil)
	if err != nil {
		return fmt.Errorf("a delivery: %w", err)
	}
	return nil
}

// signWith changes what Clerk signs its webhooks with.
func (c *callers) signWith(secret string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.webhookSecret = secret
}

func (c *callers) call(ctx context.Context, method, path, token, body string, headers http.Header, status int, into any) error {
	return c.callFor(ctx, method, path, token, body, headers, status, into, nil)
}

// callFor makes a request and wants the status; its error names no id, so that equal losses count as one kind.
func (c *callers) callFor(ctx context.Context, method, path, token, body string, headers http.Header, status int, into any, got http.Header) (err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for name, values := range headers {
		req.Header[name] = values
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	for name := range resp.Header {
		if got != nil {
			got.Set(name, resp.Header.Get(name))
		}
	}
	if resp.StatusCode != status {
		var problem struct{ Code string }
		_ = json.Unmarshal(answer, &problem) // a balancer's answer is none
		return fmt.Errorf("%s gets %d %s instead of %d", method, resp.StatusCode, problem.Code, status)
	}
	if raw, ok := into.(*json.RawMessage); ok {
		*raw = bytes.Clone(answer)
		return nil
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
