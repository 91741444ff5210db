package middleware

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// MaxWebhookBytes is the largest body of a webhook, whatever other bodies may have.
const MaxWebhookBytes = 1 << 20

// What a replica holds of bodies whose sender is not known yet: 16 MiB of small
// ones and 16 MiB of large ones. They have places of their own, so that nobody who
// sends large bodies slowly is in the way of Clerk, whose deliveries are small. All
// places of one kind can be held only by that many new connections every
// webhookBodyTime.
const (
	smallWebhookBytes = 64 << 10
	smallWebhooks     = 256
	largeWebhooks     = 16
	webhookBodyTime   = 5 * time.Second // from the moment that there is a place
)

// SignedDelivery is a webhook that Clerk, or whoever holds the secret, has signed.
type SignedDelivery struct {
	ID   string // svix-id
	Body []byte
}

// WebhookReader reads bodies whose bytes are what was signed, a bounded number at
// once, and verifies them.
type WebhookReader struct {
	secrets      domain.WebhookSecrets
	clock        usecase.Clock
	small, large chan struct{} // a place is what fits in
}

// NewWebhookReader makes one with all its places free.
func NewWebhookReader(secrets domain.WebhookSecrets, clock usecase.Clock) *WebhookReader {
	return &WebhookReader{secrets, clock, make(chan struct{}, smallWebhooks), make(chan struct{}, largeWebhooks)}
}

// read looks at the headers first, and reads nothing when they are at fault.
// Errors: 400, those of [ReadBody], and the deadline's own when no place is free
// until then.
func (w *WebhookReader) read(c echo.Context) (*SignedDelivery, error) {
	r := c.Request()
	var values [3]string
	for i, name := range [...]string{"svix-id", "svix-timestamp", "svix-signature"} {
		sent := r.Header.Values(name)
		if len(sent) != 1 || sent[0] == "" { // of two, another reader might take the other
			return nil, domain.NewError(domain.Malformed, domain.CodeMalformedRequest, "The header "+name+" must be given once.")
		}
		values[i] = sent[0]
	}
	if err := domain.CheckWebhookHeaders(values[0], values[1], values[2], w.clock.Now()); err != nil {
		return nil, err
	}
	free, err := w.place(r)
	if err != nil {
		return nil, err
	}
	defer free()
	hurryBody(c, webhookBodyTime)
	body, err := ReadBody(r)
	if err != nil {
		return nil, err
	}
	if err := w.secrets.Verify(values[0], values[1], values[2], body, w.clock.Now()); err != nil {
		return nil, err
	}
	return &SignedDelivery{values[0], body}, nil
}

// place waits for a place, as long as the request may take. A body of no declared
// length counts as large; Svix declares it.
func (w *WebhookReader) place(r *http.Request) (free func(), err error) {
	places := w.large
	if r.ContentLength >= 0 && r.ContentLength <= smallWebhookBytes {
		places = w.small
	}
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// hurryBody has the connection's reads fail when the body is not there in that
// time, or when the request's is over, if that is sooner. The end of the body lifts
// it; see boundBody.
func hurryBody(c echo.Context, limit time.Duration) {
	r := c.Request()
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	if end, ok := ctx.Deadline(); ok {
		_ = http.NewResponseController(c.Response()).SetReadDeadline(end) // a recorder in a test cannot
	}
}
