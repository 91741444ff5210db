package middleware

import (
	"net/http"

	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// MaxWebhookBytes is the largest body of a webhook, whatever other bodies may have.
const MaxWebhookBytes = 1 << 20

// SignedDelivery is a webhook that Clerk, or whoever holds the secret, has signed.
type SignedDelivery struct {
	ID   string // svix-id
	Body []byte
}

// verifiedDelivery reads the body, whose bytes are what was signed, and verifies
// it. Errors: 400 and, from reading, those of [ReadBody].
func verifiedDelivery(r *http.Request, secrets domain.WebhookSecrets, clock usecase.Clock) (*SignedDelivery, error) {
	var values [3]string
	for i, name := range [...]string{"svix-id", "svix-timestamp", "svix-signature"} {
		sent := r.Header.Values(name)
		if len(sent) != 1 || sent[0] == "" { // of two, another reader might take the other
			return nil, domain.NewError(domain.Malformed, domain.CodeMalformedRequest, "The header "+name+" must be given once.")
		}
		values[i] = sent[0]
	}
	body, err := ReadBody(r)
	if err != nil {
		return nil, err
	}
	if err := secrets.Verify(values[0], values[1], values[2], body, clock.Now()); err != nil {
		return nil, err
	}
	return &SignedDelivery{values[0], body}, nil
}
