package clerk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"

	"github.com/profile-api/profile-api/domain"
)

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
// and says of the others what Users has to know. Redirects end here too.
type judgedAnswers struct {
	next http.RoundTripper
	most int // bytes of one answer
}

func (t judgedAnswers) RoundTrip(req *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport //nolint:forbidigo // each call has a timeout, by its context
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &cappedBody{ReadCloser: resp.Body, left: t.most}
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
