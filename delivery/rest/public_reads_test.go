package rest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
)

// named gives the person a handle.
func (w *world) named(t *testing.T, handle string, more ...string) (p person, id string) {
	t.Helper()
	p = w.person()
	w.me(t, p)
	w.clock.Advance(time.Millisecond) // events of one moment are in no order
	body := `{"handle":"` + handle + `"` + strings.Join(append([]string{""}, more...), ",") + `}`
	return p, w.patch(t, p, body).want(t, 200).object(t)["id"].(string)
}

// data lists one member of each element of a list.
func (r reply) data(t *testing.T, member string) []string {
	t.Helper()
	m := r.want(t, 200).object(t)
	wantNames(t, m, "data", "next_cursor")
	list := []string{}
	for _, e := range m["data"].([]any) {
		list = append(list, fmt.Sprint(e.(map[string]any)[member]))
	}
	return list
}

// That it is one SQL statement whatever the number is in statements_test.go.
func TestBatch(t *testing.T) {
	w := newWorld(t)
	_, ada := w.named(t, "Ada_L", `"metadata":{"hidden":"x"}`, `"locale":"de"`)
	owner, hidden := w.named(t, "hidden_h", `"visibility":"private"`)
	_, suspended := w.named(t, "suspended_s")
	_, bob := w.named(t, "bob_b")
	w.sql(t, "UPDATE profiles SET status = 'suspended' WHERE id = $1", suspended)
	w.sql(t, "UPDATE profiles SET email = 'hidden@example.org'")

	handles := "bob_b,nobody,hidden_h,ADA_l,a,bob_b,suspended_s,'%20OR%201=1,me"
	got := w.do(t, "GET", "/v1/profiles?handles="+handles, nil)
	if names := got.data(t, "handle"); !slices.Equal(names, []string{"bob_b", "Ada_L"}) {
		t.Errorf("handles %v", names)
	}
	ids := strings.Join([]string{ada, "not-an-id", hidden, strings.ToUpper(bob), suspended, domain.NewID(time.Now()), ada}, ",")
	byID := w.do(t, "GET", "/v1/profiles?ids="+ids, nil)
	if list := byID.data(t, "id"); !slices.Equal(list, []string{ada, bob}) {
		t.Errorf("ids %v", list)
	}
	wantNames(t, got.object(t)["data"].([]any)[1].(map[string]any), slices.Clone(publicFields)...)
	if strings.Contains(got.body, "hidden") || got.object(t)["next_cursor"] != nil {
		t.Errorf("%s", got.body)
	}
	if got.header.Get("Cache-Control") != "public, max-age=5" {
		t.Errorf("Cache-Control %q", got.header.Get("Cache-Control"))
	}
	w.do(t, "GET", "/v1/profiles?handles="+handles, nil, header("If-None-Match", got.header.Get("ETag"))).want(t, 304)
	// The owner sees their own private one, and nobody caches that.
	own := w.do(t, "GET", "/v1/profiles?handles=hidden_h,bob_b", nil, owner.is())
	if names := own.data(t, "handle"); !slices.Equal(names, []string{"hidden_h", "bob_b"}) || own.header.Get("Cache-Control") != "no-store" {
		t.Errorf("to its owner: %v, %q", names, own.header.Get("Cache-Control"))
	}
	if none := w.do(t, "GET", "/v1/profiles?handles=nobody", nil).want(t, 200); none.body != `{"data":[],"next_cursor":null}`+"\n" {
		t.Errorf("of nobody: %s", none.body)
	}
}

func TestBatchesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	hundred := strings.TrimSuffix(strings.Repeat("aaa,", 100), ",")
	if list := w.do(t, "GET", "/v1/profiles?handles="+hundred, nil).data(t, "handle"); len(list) != 0 {
		t.Errorf("%v", list)
	}
	for _, query := range []string{
		"", "?", "?handles=", "?ids=", "?handles=&ids=", "?handles=a&ids=b", "?handles=abc&ids=", "?handles=&ids=" + domain.NobodysID, "?handles=a&handles=b", "?handle=a", "?handles=abc&limit=5",
		"?handles=" + hundred + ",aaa", "?handles=%ff", "?handles=%zz", "?handles=a;b",
	} {
		w.do(t, "GET", "/v1/profiles"+query, nil).problem(t, 400, domain.CodeMalformedRequest)
	}
	w.do(t, "GET", "/v1/profiles?handles=abc", nil, bearer("bad")).problem(t, 401, domain.CodeUnauthenticated)
}

func TestHandleAvailability(t *testing.T) {
	w := newWorld(t)
	owner, _ := w.named(t, "First_One")
	private, _ := w.named(t, "private_one", `"visibility":"private"`)
	w.patch(t, owner, `{"handle":"second_one"}`).want(t, 200)
	answer := func(handle string, as ...with) string {
		t.Helper()
		m := w.do(t, "GET", "/v1/handles/"+url.PathEscape(handle), nil, as...).want(t, 200).object(t)
		wantNames(t, m, "handle", "available", "reason")
		if m["handle"] != handle {
			t.Errorf("handle %v, asked for %q", m["handle"], handle)
		}
		return fmt.Sprint(m["available"], " ", m["reason"])
	}
	for handle, want := range map[string]string{
		"free_one": "true <nil>", "second_one": "false taken", "SECOND_one": "false taken", "private_one": "false taken",
		"first_one": "false taken", // kept for its last owner, and no telling from one that somebody has
		"admin":     "false reserved", "Me": "false reserved", "ab": "false too_short", strings.Repeat("a", 31): "false too_long",
		"a-b-c": "false invalid_format", "naïve": "false invalid_format", "a b": "false invalid_format", "a\x00bc": "false invalid_format",
	} {
		if got := answer(handle); got != want {
			t.Errorf("%q: %s, want %s", handle, got, want)
		}
		if got := answer(handle, private.is()); got != want {
			t.Errorf("%q, to somebody else: %s, want %s", handle, got, want)
		}
	}
	if got := answer("FIRST_one", owner.is()); got != "true <nil>" {
		t.Errorf("to its last owner: %s", got)
	}
	w.clock.Advance(domain.ReleasedHandleHold - time.Microsecond)
	if got := answer("first_one"); got != "false taken" {
		t.Errorf("just before the hold ends: %s", got)
	}
	w.clock.Advance(time.Microsecond)
	if got := answer("first_one"); got != "true <nil>" {
		t.Errorf("when the hold ends: %s", got)
	}
	anonymous, signedIn := w.do(t, "GET", "/v1/handles/free_one", nil), w.do(t, "GET", "/v1/handles/free_one", nil, w.person().is())
	if anonymous.header.Get("Cache-Control") != "public, max-age=5" || signedIn.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q, signed in %q", anonymous.header.Get("Cache-Control"), signedIn.header.Get("Cache-Control"))
	}
	w.do(t, "GET", "/v1/handles/free_one", nil, header("If-None-Match", anonymous.header.Get("ETag"))).want(t, 304)
	w.do(t, "HEAD", "/v1/handles/free_one", nil).want(t, 200)
}

// Looking at what is public makes nobody a profile.
func TestPublicReadsCreateNothing(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	w.do(t, "GET", "/v1/handles/free_one", nil, p.is()).want(t, 200)
	w.do(t, "GET", "/v1/profiles/free_one", nil, p.is()).problem(t, 404, domain.CodeNotFound)
	if n := w.count(t, "SELECT count(*) FROM profiles"); n != 0 {
		t.Errorf("%d profiles", n)
	}
}
