// Package testhooks signs webhooks with Svix's own library, as Clerk does: the
// oracle of the tests.
package testhooks

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	svix "github.com/svix/svix-webhooks/go"
)

// Secret is a webhook secret as Clerk's dashboard shows it.
const Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // #nosec G101 -- opens nothing

// OtherSecret is one that nobody has set.
const OtherSecret = "whsec_b3RoZXItc2VjcmV0LW9mLXRoZS10ZXN0cw==" // #nosec G101 -- opens nothing

// Header gives the three headers of a delivery signed at that moment.
func Header(tb testing.TB, secret, id string, at time.Time, body []byte) http.Header {
	tb.Helper()
	signer, err := svix.NewWebhook(secret)
	if err != nil {
		tb.Fatal(err)
	}
	signature, err := signer.Sign(id, at, body)
	if err != nil {
		tb.Fatal(err)
	}
	return http.Header{
		"Svix-Id": {id}, "Svix-Timestamp": {strconv.FormatInt(at.Unix(), 10)}, "Svix-Signature": {signature},
	}
}

// Accepts tells whether the library takes these headers with the body, now.
func Accepts(tb testing.TB, secret, id, timestamp, signatures string, body []byte) bool {
	tb.Helper()
	verifier, err := svix.NewWebhook(secret)
	if err != nil {
		tb.Fatal(err)
	}
	return verifier.Verify(body, http.Header{"Svix-Id": {id}, "Svix-Timestamp": {timestamp}, "Svix-Signature": {signatures}}) == nil
}
