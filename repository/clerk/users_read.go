package clerk

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"

	"github.com/profile-api/profile-api/domain"
)

// The size of a page and of its body belong together. Clerk keeps at most 8 KiB
// of each of three metadata with a user, which JSON's escapes may stretch, and a
// few KiB of e-mail addresses and accounts: 40 KiB is much for one, and of a page
// only few have that. One page is in memory at a time.
const (
	mostUsers    = 100 // what the reconciliation asks for; Clerk would give 500
	maxUserBytes = 256 << 10
	maxPageBytes = mostUsers * 40 << 10 // nearly 4 MiB
)

const usersPath = "/users"

// User gives a person as Clerk has it now. Errors: kind NotFound only when Clerk
// itself says that it knows nobody of that id, and not for a proxy's 404; kind
// Invalid when what it says of the person cannot be read; else as of DeleteUser,
// except that a Retry-After of less than five seconds is taken at its word.
func (u *Users) User(ctx context.Context, clerkUserID string) (domain.ClerkUser, error) {
	if !userIDForm.MatchString(clerkUserID) { // it becomes a part of the path
		return domain.ClerkUser{}, unusable("Whom Clerk is to be asked about is no id of a user.")
	}
	data, err := u.get(ctx, u.one, usersPath+"/"+clerkUserID, nil)
	if err != nil {
		return domain.ClerkUser{}, err
	}
	person, err := domain.ParseClerkUser(data)
	if err != nil {
		return domain.ClerkUser{}, err
	}
	if person.ID != clerkUserID {
		return domain.ClerkUser{}, unusable("Clerk answered with another user than was asked for.")
	}
	return person, nil
}

// Users gives up to limit people (1 to 100) behind the offset, in the order in
// which they came to Clerk, and none when there are no more. Who cannot be read is
// in the list too, with the error and the id if that much can be read. Errors as of
// User, without NotFound and Invalid.
func (u *Users) Users(ctx context.Context, offset, limit int) ([]domain.ListedClerkUser, error) {
	if offset < 0 || limit < 1 || limit > mostUsers {
		return nil, unusable("Clerk is asked for 1 to 100 users at a time.")
	}
	data, err := u.get(ctx, u.many, usersPath, query{
		"limit": {strconv.Itoa(limit)}, "offset": {strconv.Itoa(offset)}, "order_by": {"created_at"},
	})
	if errors.Is(err, domain.NotFound) {
		return nil, unusable("Clerk knows no list of users.")
	}
	if err != nil {
		return nil, err
	}
	var raw []json.RawMessage
	if json.Unmarshal(data, &raw) != nil || raw == nil || len(raw) > limit { // null is no empty list
		return nil, unusable("Clerk's list of users cannot be read.")
	}
	people := make([]domain.ListedClerkUser, len(raw))
	for i, one := range raw {
		people[i] = listed(one)
	}
	return people, nil
}

func listed(data []byte) (l domain.ListedClerkUser) {
	l.User, l.Err = domain.ParseClerkUser(data)
	var named struct {
		ID string `json:"id"`
	}
	if l.Err == nil {
		named.ID = l.User.ID
	} else if json.Unmarshal(data, &named) != nil {
		named.ID = ""
	}
	switch {
	case userIDForm.MatchString(named.ID):
		l.ID = named.ID
	case l.Err == nil:
		l.User, l.Err = domain.ClerkUser{}, unusable("A user in Clerk's list has no usable id.")
	}
	return l
}

// query is the part of the URL behind the question mark.
type query url.Values

// ToQuery implements the SDK's Params.
func (q query) ToQuery() url.Values { return url.Values(q) }

// ToMultipart implements the SDK's Params.
func (query) ToMultipart() ([]byte, string, error) {
	return nil, "", errors.New("a query has no parts")
}

// rawAnswer keeps the body as it came: one strange member must not spoil all.
type rawAnswer struct {
	clerksdk.APIResource
	body json.RawMessage
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *rawAnswer) UnmarshalJSON(data []byte) error {
	a.body = append(a.body, data...)
	return nil
}

func (u *Users) get(ctx context.Context, from clerksdk.Backend, path string, params query) ([]byte, error) {
	bounded, cancel := context.WithTimeout(ctx, u.timeout)
	defer cancel()
	request := clerksdk.NewAPIRequest(http.MethodGet, path)
	if params != nil {
		request.SetParams(params)
	}
	var answer rawAnswer
	if err := from.Call(bounded, request, &answer); err != nil {
		return nil, u.fault(ctx, "ask Clerk about users", err, leastPause)
	}
	if len(answer.body) == 0 {
		return nil, unusable("Clerk's answer cannot be read.")
	}
	return answer.body, nil
}
