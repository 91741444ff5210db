package clerk

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// deletable is somebody of the stand-in's, whose id must be in no error.
var deletable = clerkstandin.UserID("grace")

// newUsers talks to the stand-in over a real network.
func newUsers(t *testing.T, change ...func(*UsersOptions)) (*Users, *clerkstandin.Server) {
	t.Helper()
	clerk, err := clerkstandin.New(clerkstandin.Options{Key: keyA()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(clerk)
	t.Cleanup(server.Close)
	t.Cleanup(clerk.Heal)
	opts := UsersOptions{APIURL: server.URL + "/v1", SecretKey: clerk.SecretKey(), Clock: newManualClock()}
	for _, c := range change {
		c(&opts)
	}
	u, err := NewUsers(opts)
	if err != nil {
		t.Fatal(err)
	}
	return u, clerk
}

// wantFault checks kind, time to wait and text, and that nothing reachable from the error names the person.
func wantFault(t *testing.T, err error, kind domain.Kind, retryAfter time.Duration, text string) {
	t.Helper()
	var e *domain.Error
	if !errors.As(err, &e) || e.Kind() != kind || e.RetryAfter() != retryAfter || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %s with %q, to be tried again after %s", err, kind, text, retryAfter)
		return
	}
	wantNameless(t, err)
}

func wantNameless(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if strings.Contains(err.Error(), deletable) || strings.Contains(err.Error(), "http") {
		t.Errorf("an error shows whom or where: %v", err)
	}
	switch e := err.(type) { //nolint:errorlint // walks the tree itself
	case interface{ Unwrap() error }:
		wantNameless(t, e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			wantNameless(t, part)
		}
	}
}

func TestDeleteUser(t *testing.T) {
	u, clerk := newUsers(t)
	for range 2 { // the second time Clerk knows nobody of that id
		if err := u.DeleteUser(t.Context(), deletable); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, ok := clerk.Person(deletable); ok {
		t.Error("the person is still there")
	}
	if _, ok := clerk.Person("alan"); !ok || clerk.UserRequests() != 2 {
		t.Errorf("alan is there: %v, after %d requests", ok, clerk.UserRequests())
	}
}

func TestDeleteUserJudgesAnswers(t *testing.T) {
	u, clerk := newUsers(t)
	now := newManualClock().Now()
	for _, c := range []struct {
		name  string
		fault clerkstandin.Fault
		kind  domain.Kind
		after time.Duration
		text  string
	}{
		{"500", clerkstandin.Fault{Status: 500}, domain.Unavailable, 5 * time.Second, "status 500"},
		{"503 with seconds", clerkstandin.Fault{Status: 503, Header: header("120")}, domain.Unavailable, 2 * time.Minute, "status 503"},
		{"429 with seconds", clerkstandin.Fault{Status: 429, Header: header("30")}, domain.Unavailable, 30 * time.Second, "status 429"},
		{"429 with a date", clerkstandin.Fault{Status: 429, Header: header(now.Add(time.Hour).Format(http.TimeFormat))}, domain.Unavailable, time.Hour, "status 429"},
		{"429 with a date that is over", clerkstandin.Fault{Status: 429, Header: header(now.Add(-time.Hour).Format(http.TimeFormat))}, domain.Unavailable, 5 * time.Second, ""},
		{"429 with nothing", clerkstandin.Fault{Status: 429}, domain.Unavailable, 5 * time.Second, ""},
		{"429 with zero", clerkstandin.Fault{Status: 429, Header: header("0")}, domain.Unavailable, 5 * time.Second, ""},
		{"429 with less than nothing", clerkstandin.Fault{Status: 429, Header: header("-7")}, domain.Unavailable, 5 * time.Second, ""},
		{"429 with nonsense", clerkstandin.Fault{Status: 429, Header: header("soon")}, domain.Unavailable, 5 * time.Second, ""},
		{"429 with years", clerkstandin.Fault{Status: 429, Header: header("9999999999")}, domain.Unavailable, 24 * time.Hour, ""},
		{"400", clerkstandin.Fault{Status: 400, Body: []byte(deletable)}, domain.Internal, 0, "status 400"},
		{"401", clerkstandin.Fault{Status: 401}, domain.Internal, 0, "status 401"},
		{"403", clerkstandin.Fault{Status: 403, Header: header("30")}, domain.Internal, 0, "status 403"},
		{"a redirect", clerkstandin.Fault{Status: 307, Header: map[string]string{"Location": "/v1/users/" + deletable}}, domain.Internal, 0, "status 307"},
		{"a proxy's 404", clerkstandin.Fault{Status: 404, Body: []byte("<html>no such page</html>")}, domain.Internal, 0, "status 404"},
		{"another 404 in JSON", clerkstandin.Fault{Status: 404}, domain.Internal, 0, "status 404"},
		{"a proxy's page", clerkstandin.Fault{Body: []byte("<html>" + deletable + "</html>")}, domain.Internal, 0, "cannot be read"},
		{"half of it", clerkstandin.Fault{Body: []byte(`{"deleted":tr`)}, domain.Internal, 0, "cannot be read"},
		{"another type", clerkstandin.Fault{Body: []byte(`{"deleted":"` + deletable + `"}`)}, domain.Internal, 0, "cannot be read"},
		{"nothing said", clerkstandin.Fault{Body: []byte(`{"id":"` + deletable + `"}`)}, domain.Internal, 0, "does not say"},
		{"nothing", clerkstandin.Fault{Status: 200, Body: []byte{}}, domain.Internal, 0, "does not say"},
		{"too much", clerkstandin.Fault{Body: []byte(`{"deleted":true,"id":"` + strings.Repeat("x", 1<<20) + `"}`)}, domain.Internal, 0, "cannot be read"},
		{"an error of any size", clerkstandin.Fault{Status: 500, Body: []byte(strings.Repeat(deletable, 1<<16))}, domain.Unavailable, 5 * time.Second, "status 500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			clerk.Break(c.fault)
			wantFault(t, u.DeleteUser(t.Context(), deletable), c.kind, c.after, c.text)
			if _, ok := clerk.Person(deletable); !ok {
				t.Fatal("the person is gone")
			}
		})
	}
}

func header(retryAfter string) map[string]string { return map[string]string{"Retry-After": retryAfter} }

func TestDeleteUserWithoutClerk(t *testing.T) {
	gone, clerk := newUsers(t, func(o *UsersOptions) { o.Timeout = 50 * time.Millisecond })
	clerk.Break(clerkstandin.Fault{Hang: true})
	wantFault(t, gone.DeleteUser(t.Context(), deletable), domain.Unavailable, 5*time.Second, "in time")

	refused, _ := newUsers(t, func(o *UsersOptions) { o.APIURL = "http://127.0.0.1:1/v1" })
	wantFault(t, refused.DeleteUser(t.Context(), deletable), domain.Unavailable, 5*time.Second, "in time")

	cut, _ := newUsers(t, func(o *UsersOptions) {
		o.HTTPClient = &http.Client{Transport: failing{io.ErrUnexpectedEOF}}
	})
	if err := cut.DeleteUser(t.Context(), deletable); !errors.Is(err, domain.Unavailable) {
		t.Errorf("the connection broke: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	waits, clerk := newUsers(t)
	clerk.Break(clerkstandin.Fault{Hang: true})
	result := make(chan error, 1)
	go func() { result <- waits.DeleteUser(ctx, deletable) }()
	for clerk.UserRequests() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) || errors.Is(err, domain.Unavailable) {
		t.Errorf("who asked has gone: %v", err)
	} else {
		wantNameless(t, err)
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// The id becomes a part of the path: what is none reaches no other route of Clerk's.
func TestDeleteUserSendsIDsOnly(t *testing.T) {
	u, clerk := newUsers(t)
	for _, id := range []string{"", "grace", "user_", "user_../x", "user_a/profile_image", "user_a?x=1", "../users/" + deletable, deletable + "\n", "user_%2e%2e"} {
		if err := u.DeleteUser(t.Context(), id); !errors.Is(err, domain.Internal) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if n := clerk.UserRequests(); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func TestNewUsersNeeds(t *testing.T) {
	for name, opts := range map[string]UsersOptions{"no key": {Clock: wallClock{}}, "no clock": {SecretKey: "sk"}} {
		if _, err := NewUsers(opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
