package domain_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/profile-api/profile-api/domain"
)

const (
	webhookSecret      = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherWebhookSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// The public library of Standard Webhooks says whether a signature is right.
func TestSignaturesAreThoseOfStandardWebhooks(t *testing.T) {
	both, err := domain.NewWebhookSecrets([]string{webhookSecret, otherWebhookSecret})
	if err != nil {
		t.Fatal(err)
	}
	const id = "019c0000-0000-7000-8000-000000000000"
	now := time.Now()
	for _, body := range []string{`{"a":"é"}`, "", "a.b\nc", strings.Repeat("x", 100_000)} {
		headers := map[string][]string{
			"Webhook-Id": {id}, "Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)}, "Webhook-Signature": {both.Sign(id, now, []byte(body))},
		}
		for _, secret := range []string{webhookSecret, otherWebhookSecret} { // receivers know one of them while secrets rotate
			oracle, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := oracle.Verify([]byte(body), headers); err != nil {
				t.Errorf("%.20q is refused: %v", body, err)
			}
			if err := oracle.Verify([]byte(body+" "), headers); err == nil {
				t.Errorf("%.20q: another body passes too", body)
			}
		}
		stranger, err := standardwebhooks.NewWebhook("whsec_AAEC")
		if err != nil {
			t.Fatal(err)
		}
		if stranger.Verify([]byte(body), headers) == nil {
			t.Errorf("%.20q passes under a key that did not sign it", body)
		}
	}
}
