package drill

import (
	"io"
	"net/http"
	"strings"
)

// Once sends each request once. By itself net/http sends a read again when a
// kept connection ends without an answer (http.Transport: "retries the request"
// if it is idempotent and has no body or a GetBody), and so it does with whatever
// has an Idempotency-Key: a drill would not see what a server has swallowed.
type Once struct{ Transport *http.Transport }

// RoundTrip gives a request without a body one that is empty and cannot be had
// again. What a GET or DELETE sends stays the same by that; a POST without a body
// would go out chunked.
func (o Once) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := r.Clone(r.Context())
	if sent.Body == nil || sent.Body == http.NoBody {
		sent.Body = io.NopCloser(strings.NewReader(""))
	}
	sent.GetBody = nil
	return o.Transport.RoundTrip(sent)
}
