package domain

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// WebhookTolerance is how far the timestamp of a signed webhook may lie from
// now, in either direction and inclusive: a recorded request is worth nothing later.
const WebhookTolerance = 5 * time.Minute

// webhookV1 begins a signature of the one version that is known here.
const webhookV1 = "v1,"

// maxWebhookID is the greatest length of a message's id, in characters.
const maxWebhookID = 255

// WebhookSecrets are shared secrets of the Standard Webhooks scheme, which Svix
// and so Clerk use (https://www.standardwebhooks.com, version 1 signatures):
// HMAC-SHA-256 over id, timestamp and body, joined by dots. Several are for a
// rotation: a message is signed with each, and one that matches is enough.
type WebhookSecrets struct{ keys [][]byte }

// NewWebhookSecrets takes secrets of the form whsec_ and base64 with its padding.
// The error never holds one.
func NewWebhookSecrets(secrets []string) (WebhookSecrets, error) {
	var s WebhookSecrets
	for _, secret := range secrets {
		encoded, ok := strings.CutPrefix(secret, "whsec_")
		key, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if !ok || err != nil || len(key) == 0 {
			return WebhookSecrets{}, NewError(Internal, CodeInternal, "A webhook secret is not whsec_ and base64.")
		}
		s.keys = append(s.keys, key)
	}
	return s, nil
}

// Any tells whether there is a secret at all. Without one nothing verifies.
func (s WebhookSecrets) Any() bool { return len(s.keys) > 0 }

// CheckWebhookHeaders tells whether the headers of a message are in order, as far as
// that shows without its body: the form of the id, a time within [WebhookTolerance] of now,
// and a signature of version v1. Whoever may not read a body for nothing asks this
// first. Errors: those of [WebhookSecrets.Verify].
func CheckWebhookHeaders(id, timestamp, signatures string, now time.Time) error {
	if !ValidWebhookID(id) {
		return errWebhookID
	}
	if err := checkWebhookTime(timestamp, now); err != nil {
		return err
	}
	for entry := range strings.SplitSeq(signatures, " ") {
		if strings.HasPrefix(entry, webhookV1) {
			return nil
		}
	}
	return errNoWebhookSignature
}

// Verify tells whether the message was signed under one of the secrets within
// [WebhookTolerance] of now. signatures is a list, separated by spaces, of
// version, comma and signature; versions other than v1 are passed over. The
// time it takes does not depend on how much of a signature is right. The error
// is of kind [Malformed] and says which header is at fault, never a value.
func (s WebhookSecrets) Verify(id, timestamp, signatures string, body []byte, now time.Time) error {
	if err := CheckWebhookHeaders(id, timestamp, signatures, now); err != nil {
		return err
	}
	want := s.signatures(id, timestamp, body) // once: a hostile header has thousands of entries
	for entry := range strings.SplitSeq(signatures, " ") {
		signature, versionOne := strings.CutPrefix(entry, webhookV1)
		if !versionOne {
			continue
		}
		for _, w := range want {
			if hmac.Equal([]byte(signature), []byte(w)) {
				return nil
			}
		}
	}
	return errWebhookSignature
}

// Sign gives the value of the header webhook-signature: for each secret "v1," and
// a signature over id, Unix seconds and body, separated by spaces. An id holds no dot.
func (s WebhookSecrets) Sign(id string, at time.Time, body []byte) string {
	entries := s.signatures(id, strconv.FormatInt(at.Unix(), 10), body)
	for i := range entries {
		entries[i] = webhookV1 + entries[i]
	}
	return strings.Join(entries, " ")
}

// signatures are those of a message under each secret, as base64.
func (s WebhookSecrets) signatures(id, timestamp string, body []byte) []string {
	list := make([]string, len(s.keys))
	for i, key := range s.keys {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(id + "." + timestamp + "."))
		h.Write(body)
		list[i] = base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	return list
}

// ValidWebhookID tells whether the id of a message may be one: 1 to 255 visible
// ASCII characters.
func ValidWebhookID(id string) bool {
	for i := range len(id) {
		if id[i] < 0x21 || id[i] > 0x7e {
			return false
		}
	}
	return len(id) >= 1 && len(id) <= maxWebhookID
}

// checkWebhookTime takes whole Unix seconds, written in the one way that the
// signature is made of: another spelling of the same number was never signed.
func checkWebhookTime(timestamp string, now time.Time) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || strconv.FormatInt(seconds, 10) != timestamp {
		return errWebhookTimeForm
	}
	newest := now.Add(WebhookTolerance).Unix()
	if seconds > newest || seconds < newest-int64(3*WebhookTolerance/time.Second) { // first, so that no sum below can overflow
		return errWebhookTime
	}
	if now.Sub(time.Unix(seconds, 0)) > WebhookTolerance {
		return errWebhookTime
	}
	return nil
}

var (
	errWebhookID          = NewError(Malformed, CodeMalformedRequest, "The header svix-id must hold 1 to 255 visible ASCII characters.")
	errWebhookTimeForm    = NewError(Malformed, CodeMalformedRequest, "The header svix-timestamp must be whole Unix seconds.")
	errWebhookTime        = NewError(Malformed, CodeMalformedRequest, "The header svix-timestamp is more than five minutes from now.")
	errNoWebhookSignature = NewError(Malformed, CodeMalformedRequest, "The header svix-signature holds no signature of version v1.")
	errWebhookSignature   = NewError(Malformed, CodeMalformedRequest, "No signature in the header svix-signature matches.")
)
