package clerk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/user"

	"github.com/profile-api/profile-api/domain"
)

const (
	usersTimeout    = 10 * time.Second // of one call
	maxUserBytes    = 16 << 10         // of one answer
	askAgainAfter   = 5 * time.Second  // while Clerk does not say when
	askAgainAtMost  = 24 * time.Hour   // whatever Clerk says
	codeNobodyThere = "resource_not_found"
)

// UsersOptions say where Clerk's Backend API is.
type UsersOptions struct {
	APIURL     string        // CLERK_API_URL; empty is Clerk's own
	SecretKey  string        // CLERK_SECRET_KEY; required
	HTTPClient *http.Client  // nil is a plain one; redirects are never followed
	Timeout    time.Duration // of one call; 10 s
	Clock      Clock         // required
}

// Users asks Clerk's Backend API about users. The API's paths hold Clerk ids,
// and net/http puts the URL into the text of every error, so no error of the
// transport or of the SDK leaves this type: what does is written here.
type Users struct {
	client  *user.Client
	timeout time.Duration
	clock   Clock
}

// NewUsers touches no network.
func NewUsers(opts UsersOptions) (*Users, error) {
	if opts.SecretKey == "" || opts.Clock == nil {
		return nil, errors.New("clerk users: a secret key and a clock are required")
	}
	guarded := http.Client{}
	if opts.HTTPClient != nil {
		guarded = *opts.HTTPClient
	}
	guarded.Transport = judgedAnswers{next: guarded.Transport}
	config := clerksdk.BackendConfig{HTTPClient: &guarded, Key: &opts.SecretKey}
	if opts.APIURL != "" {
		config.URL = &opts.APIURL
	}
	u := &Users{client: user.NewClient(&clerksdk.ClientConfig{BackendConfig: config}), timeout: opts.Timeout, clock: opts.Clock}
	if u.timeout == 0 {
		u.timeout = usersTimeout
	}
	return u, nil
}

// DeleteUser deletes the person at Clerk; nil also when Clerk knows nobody of
// that id. Errors: kind Unavailable with the time to wait when Clerk cannot be
// reached, is too slow or answers 429 or 5xx; kind Internal for an answer that
// waiting does not mend; the context's own error when that has ended. None holds the id.
func (u *Users) DeleteUser(ctx context.Context, clerkUserID string) error {
	if !userIDForm.MatchString(clerkUserID) { // it becomes a part of the path
		return unusable("What is to be deleted at Clerk is no id of a user.")
	}
	bounded, cancel := context.WithTimeout(ctx, u.timeout)
	defer cancel()
	deleted, err := u.client.Delete(bounded, clerkUserID)
	var answer *answerError
	switch {
	case err == nil && deleted.Deleted:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("delete a user at Clerk: %w", ctx.Err())
	case err == nil:
		return unusable("Clerk's answer does not say that the user was deleted.")
	case errors.As(err, &answer):
		return u.judge(answer)
	case errors.Is(err, errBodyTooLarge) || isDecodingError(err):
		return unusable("Clerk's answer cannot be read.")
	}
	return away("Clerk could not be reached in time.", askAgainAfter)
}

func (u *Users) judge(a *answerError) error {
	switch {
	case a.nobodyThere:
		return nil
	case a.status == http.StatusTooManyRequests || a.status >= http.StatusInternalServerError:
		return away(a.Error(), u.retryAfter(a.retryAfter))
	}
	return unusable(a.Error())
}

// retryAfter reads the header of RFC 9110, section 10.2.3: seconds or a date.
func (u *Users) retryAfter(header string) time.Duration {
	wait := askAgainAfter
	if seconds, err := strconv.Atoi(header); err == nil {
		wait = time.Duration(min(seconds, int(askAgainAtMost/time.Second))) * time.Second
	} else if date, err := http.ParseTime(header); err == nil {
		wait = date.Sub(u.clock.Now())
	}
	return min(max(wait, askAgainAfter), askAgainAtMost)
}

func away(message string, retryAfter time.Duration) error {
	return domain.NewError(domain.Unavailable, domain.CodeUnavailable, message).WithRetryAfter(retryAfter)
}

func unusable(message string) error {
	return domain.NewError(domain.Internal, domain.CodeInternal, message)
}

func isDecodingError(err error) bool {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	return errors.As(err, &syntax) || errors.As(err, &kind)
}

// answerError is an answer other than 200.
type answerError struct {
	status      int
	retryAfter  string
	nobodyThere bool // 404 of the API's own; a proxy's 404 must not pass for a deletion
}

func (e *answerError) Error() string { return fmt.Sprintf("Clerk answered with status %d.", e.status) }

// judgedAnswers lets only 200s of a bounded size through, as plainAnswers does,
// and says of the others what DeleteUser has to know. Redirects end here too.
type judgedAnswers struct{ next http.RoundTripper }

func (t judgedAnswers) RoundTrip(req *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport //nolint:forbidigo // each call has a timeout, by its context
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &cappedBody{ReadCloser: resp.Body, left: maxUserBytes}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	body, _ := io.ReadAll(resp.Body) // what cannot be read says nothing
	_ = resp.Body.Close()
	return nil, &answerError{
		status: resp.StatusCode, retryAfter: resp.Header.Get("Retry-After"),
		nobodyThere: resp.StatusCode == http.StatusNotFound && hasCode(body, codeNobodyThere),
	}
}

func hasCode(body []byte, code string) bool {
	var document clerksdk.APIErrorResponse
	if json.NewDecoder(bytes.NewReader(body)).Decode(&document) != nil {
		return false
	}
	for _, e := range document.Errors {
		if e.Code == code {
			return true
		}
	}
	return false
}
