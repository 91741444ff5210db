package clerk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// document renders somebody as Clerk does, with members changed.
func document(t *testing.T, name string, change map[string]any) string {
	t.Helper()
	user := clerkstandin.UserJSON(clerkstandin.NewPerson(name, "A", "B", ""))
	for member, value := range change {
		user[member] = value
	}
	data, err := json.Marshal(user)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestUser(t *testing.T) {
	u, clerk := newUsers(t)
	got, err := u.User(t.Context(), deletable)
	if err != nil || got.ID != deletable || got.Email == nil || *got.Email != "grace@example.com" || got.UpdatedAt.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
	clerk.RemovePerson(deletable)
	_, err = u.User(t.Context(), deletable)
	wantFault(t, err, domain.NotFound, 0, "knows nobody")
}

// Only Clerk's own word says that somebody is gone, and only a document of that very person is theirs.
func TestUserJudgesAnswers(t *testing.T) {
	u, clerk := newUsers(t)
	now := newManualClock().Now()
	for _, c := range []struct {
		name  string
		fault clerkstandin.Fault
		kind  domain.Kind
		after time.Duration
	}{
		{"500", clerkstandin.Fault{Status: 500}, domain.Unavailable, 5 * time.Second},
		{"503 with seconds", clerkstandin.Fault{Status: 503, Header: header("120")}, domain.Unavailable, 2 * time.Minute},
		{"429", clerkstandin.Fault{Status: 429}, domain.Unavailable, 5 * time.Second},
		{"429 with one second", clerkstandin.Fault{Status: 429, Header: header("1")}, domain.Unavailable, time.Second},
		{"429 with zero", clerkstandin.Fault{Status: 429, Header: header("0")}, domain.Unavailable, 5 * time.Second},
		{"429 with a date", clerkstandin.Fault{Status: 429, Header: header(now.Add(time.Hour).Format("Mon, 02 Jan 2006 15:04:05 GMT"))}, domain.Unavailable, time.Hour},
		{"401", clerkstandin.Fault{Status: 401}, domain.Internal, 0},
		{"a proxy's 404", clerkstandin.Fault{Status: 404, Body: []byte("<html>no such page</html>")}, domain.Internal, 0},
		{"another 404 in JSON", clerkstandin.Fault{Status: 404}, domain.Internal, 0},
		{"410", clerkstandin.Fault{Status: 410, Body: []byte(`{"errors":[{"code":"resource_not_found"}]}`)}, domain.Internal, 0},
		{"a redirect", clerkstandin.Fault{Status: 307, Header: map[string]string{"Location": "/v1/users/" + deletable}}, domain.Internal, 0},
		{"nothing", clerkstandin.Fault{Body: []byte{}}, domain.Internal, 0},
		{"half of it", clerkstandin.Fault{Body: []byte(`{"id":"` + deletable)}, domain.Internal, 0},
		{"somebody else", clerkstandin.Fault{Body: []byte(document(t, "alan", nil))}, domain.Internal, 0},
		{"nobody", clerkstandin.Fault{Body: []byte(`{"deleted":true}`)}, domain.Invalid, 0},
		{"without its time", clerkstandin.Fault{Body: []byte(document(t, "grace", map[string]any{"updated_at": nil}))}, domain.Invalid, 0},
		{"too much", clerkstandin.Fault{Body: []byte(document(t, "grace", map[string]any{"x": strings.Repeat("x", maxUserBytes)}))}, domain.Internal, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			clerk.Break(c.fault)
			_, err := u.User(t.Context(), deletable)
			wantFault(t, err, c.kind, c.after, "")
			if limited := c.fault.Status == 429; domain.HasCode(err, domain.CodeRateLimited) != limited {
				t.Errorf("rate limited: %v", err)
			}
		})
	}
	asked := clerk.UserRequests()
	for _, id := range []string{"", "grace", "user_../x", deletable + "\n", "user_a?x=1"} {
		if _, err := u.User(t.Context(), id); !errors.Is(err, domain.Internal) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if clerk.UserRequests() != asked {
		t.Error("what is no id was asked for")
	}
}

func TestUsersGivesPages(t *testing.T) {
	u, clerk := newUsers(t)
	people := []clerkstandin.Person{}
	for i := range 7 {
		p := clerkstandin.NewPerson(fmt.Sprint("person", i), "A", "B", "")
		p.CreatedAt = p.CreatedAt.Add(time.Duration(7-i) * time.Minute)
		people = append(people, p)
		clerk.PutPerson(p)
	}
	for _, p := range clerkstandin.SamplePeople() {
		clerk.RemovePerson(p.ID)
	}
	var got []string
	for _, offset := range []int{0, 3, 6, 9} {
		page, err := u.Users(t.Context(), offset, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range page {
			if l.Err != nil || l.ID != l.User.ID {
				t.Errorf("%+v", l)
			}
			got = append(got, l.ID)
		}
	}
	slices.Reverse(people) // the oldest first
	for i, p := range people {
		if len(got) != 7 || got[i] != p.ID {
			t.Fatalf("got %v", got)
		}
	}
	for _, bad := range [][2]int{{-1, 3}, {0, 0}, {0, 101}} {
		if _, err := u.Users(t.Context(), bad[0], bad[1]); !errors.Is(err, domain.Internal) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// One strange entry is told of and keeps nobody else from being read.
func TestUsersReadsPastWhatIsStrange(t *testing.T) {
	u, clerk := newUsers(t)
	clerk.Break(clerkstandin.Fault{Body: []byte("[" + strings.Join([]string{
		document(t, "ada", nil),
		document(t, "grace", map[string]any{"updated_at": "yesterday", "email_addresses": "x@y.z"}),
		`{"id":"user_../../x","updated_at":1,"email_addresses":[]}`, `"grace@example.com"`, `null`, `{}`,
		document(t, "alan", nil),
	}, ",") + "]")})
	page, err := u.Users(t.Context(), 0, 10)
	if err != nil || len(page) != 7 {
		t.Fatalf("%d, %v", len(page), err)
	}
	want := []string{clerkstandin.UserID("ada"), deletable, "", "", "", "", clerkstandin.UserID("alan")}
	for i, l := range page {
		if l.ID != want[i] || (l.Err == nil) != (i == 0 || i == 6) {
			t.Errorf("%d: %+v", i, l)
		}
		wantNameless(t, l.Err)
		if l.Err != nil && strings.Contains(l.Err.Error(), "@") {
			t.Errorf("the error shows a value: %v", l.Err)
		}
	}
}

// What is no list must not pass for an empty one: everybody would have vanished.
func TestUsersTakesNothingElseForAnEmptyList(t *testing.T) {
	u, clerk := newUsers(t)
	for name, body := range map[string]string{
		"null": "null", "nothing": "", "an object": `{}`, "the deprecated object": `{"data":[],"total_count":0}`, "half": "[", "a page": "<html></html>", "text": `"[]"`,
		"more than asked for": "[{},{},{}]", "too much": `["` + strings.Repeat("x", maxPageBytes) + `"]`,
	} {
		clerk.Break(clerkstandin.Fault{Status: 200, Body: []byte(body)})
		if page, err := u.Users(t.Context(), 0, 2); !errors.Is(err, domain.Internal) || page != nil {
			t.Errorf("%s: %d people, %v", name, len(page), err)
		}
	}
	clerk.Break(clerkstandin.Fault{Status: 404, Body: []byte(`{"errors":[{"code":"resource_not_found"}]}`)})
	if _, err := u.Users(t.Context(), 0, 2); !errors.Is(err, domain.Internal) {
		t.Errorf("404: %v", err)
	}
	clerk.Break(clerkstandin.Fault{Body: []byte("[]")})
	if page, err := u.Users(t.Context(), 0, 2); err != nil || page == nil || len(page) != 0 {
		t.Errorf("an empty list: %v, %v", page, err)
	}
}

// The largest page there can be fits.
func TestUsersTakesAWholePageOfLargeUsers(t *testing.T) {
	u, clerk := newUsers(t)
	large := map[string]any{"a": strings.Repeat("x", 8<<10)}
	one := document(t, "ada", map[string]any{"public_metadata": large, "private_metadata": large, "unsafe_metadata": large, "external_accounts": strings.Repeat("x", 12<<10)})
	clerk.Break(clerkstandin.Fault{Body: []byte("[" + strings.Repeat(one+",", mostUsers-1) + one + "]")})
	if page, err := u.Users(t.Context(), 0, mostUsers); err != nil || len(page) != mostUsers || page[mostUsers-1].Err != nil {
		t.Errorf("%d, %v", len(page), err)
	}
}

func TestReadsWithoutClerk(t *testing.T) {
	hanging, clerk := newUsers(t, func(o *UsersOptions) { o.Timeout = 50 * time.Millisecond })
	clerk.Break(clerkstandin.Fault{Hang: true})
	_, err := hanging.Users(t.Context(), 0, 10)
	wantFault(t, err, domain.Unavailable, 5*time.Second, "in time")
	_, err = hanging.User(t.Context(), deletable)
	wantFault(t, err, domain.Unavailable, 5*time.Second, "in time")

	ctx, cancel := context.WithCancel(t.Context())
	waits, clerk := newUsers(t)
	clerk.Break(clerkstandin.Fault{Hang: true})
	result := make(chan error, 1)
	go func() {
		_, err := waits.User(ctx, deletable)
		result <- err
	}()
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
