package clerk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/user"
	"go.opentelemetry.io/otel/trace"

	"github.com/profile-api/profile-api/domain"
)

const (
	usersTimeout    = 10 * time.Second // of one call
	maxDeletedBytes = 16 << 10         // of the answer to a deletion
	askAgainAfter   = 5 * time.Second  // while Clerk does not say when
	leastPause      = time.Second      // before a question is repeated, when Clerk says how long
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
	Spans      trace.Tracer  // makes a span of each call; nil: none
}

// Users asks Clerk's Backend API about users. The API's paths hold Clerk ids,
// and net/http puts the URL into the text of every error, so no error of the
// transport or of the SDK leaves this type: what does is written here.
type Users struct {
	client  *user.Client     // deletes
	one     clerksdk.Backend // reads one person
	many    clerksdk.Backend // reads a page of them
	timeout time.Duration
	clock   Clock
}

// NewUsers touches no network.
func NewUsers(opts UsersOptions) (*Users, error) {
	if opts.SecretKey == "" || opts.Clock == nil {
		return nil, errors.New("clerk users: a secret key and a clock are required")
	}
	deletes, one, many := opts.backend(maxDeletedBytes), opts.backend(maxUserBytes), opts.backend(maxPageBytes)
	u := &Users{
		client: user.NewClient(&clerksdk.ClientConfig{BackendConfig: deletes}), one: clerksdk.NewBackend(&one), many: clerksdk.NewBackend(&many),
		timeout: opts.Timeout, clock: opts.Clock,
	}
	if u.timeout == 0 {
		u.timeout = usersTimeout
	}
	return u, nil
}

// backend takes answers of so many bytes at most.
func (o UsersOptions) backend(most int) clerksdk.BackendConfig {
	guarded := http.Client{}
	if client := traced(o.HTTPClient, o.Spans); client != nil {
		guarded = *client
	}
	guarded.Transport = judgedAnswers{next: guarded.Transport, most: most}
	key := o.SecretKey
	config := clerksdk.BackendConfig{HTTPClient: &guarded, Key: &key}
	if o.APIURL != "" {
		url := o.APIURL
		config.URL = &url
	}
	return config
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
	switch {
	case err == nil && deleted.Deleted:
		return nil
	case err == nil:
		return unusable("Clerk's answer does not say that the user was deleted.")
	}
	if err := u.fault(ctx, "delete a user at Clerk", err, askAgainAfter); !errors.Is(err, domain.NotFound) {
		return err
	}
	return nil
}

// fault turns what the transport or the SDK says into what may leave this type.
func (u *Users) fault(ctx context.Context, doing string, err error, least time.Duration) error {
	var answer *answerError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	case errors.As(err, &answer):
		return u.judge(answer, least)
	case errors.Is(err, errBodyTooLarge) || isDecodingError(err):
		return unusable("Clerk's answer cannot be read.")
	}
	return away("Clerk could not be reached in time.", askAgainAfter)
}

// judge says of an answer other than 200 whether to come back, and after least at the earliest.
func (u *Users) judge(a *answerError, least time.Duration) error {
	switch {
	case a.nobodyThere:
		return errNobodyThere
	case a.status == http.StatusTooManyRequests:
		return domain.NewError(domain.Unavailable, domain.CodeRateLimited, a.Error()).WithRetryAfter(u.retryAfter(a.retryAfter, least))
	case a.status >= http.StatusInternalServerError:
		return away(a.Error(), u.retryAfter(a.retryAfter, least))
	}
	return unusable(a.Error())
}

var errNobodyThere = domain.NewError(domain.NotFound, domain.CodeNotFound, "Clerk knows nobody of that id.")

// retryAfter reads the header of RFC 9110, section 10.2.3: seconds or a date.
func (u *Users) retryAfter(header string, least time.Duration) time.Duration {
	wait := askAgainAfter
	if seconds, err := strconv.Atoi(header); err == nil {
		wait = time.Duration(min(seconds, int(askAgainAtMost/time.Second))) * time.Second
	} else if date, err := http.ParseTime(header); err == nil {
		wait = date.Sub(u.clock.Now())
	}
	if wait <= 0 { // over, or nonsense
		wait = askAgainAfter
	}
	return min(max(wait, least), askAgainAtMost)
}
