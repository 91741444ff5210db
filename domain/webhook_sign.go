package domain

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// WebhookSecrets are the keys of messages between services, as Standard Webhooks
// (and Svix before it) has them. Several are for rotation: a message is signed
// with each, and one that matches is enough.
type WebhookSecrets struct{ keys [][]byte }

// NewWebhookSecrets reads secrets of the form whsec_ and base64, one at least. No
// error repeats any of a secret.
func NewWebhookSecrets(secrets []string) (WebhookSecrets, error) {
	var s WebhookSecrets
	for _, secret := range secrets {
		encoded, ok := strings.CutPrefix(secret, "whsec_")
		key, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if !ok || err != nil || len(key) == 0 {
			return WebhookSecrets{}, errWebhookSecret
		}
		s.keys = append(s.keys, key)
	}
	if len(s.keys) == 0 {
		return WebhookSecrets{}, errWebhookSecret
	}
	return s, nil
}

// Sign gives the value of the header webhook-signature: for each secret "v1," and
// the base64 of the HMAC-SHA-256 over id, Unix seconds and body joined by dots
// (Standard Webhooks, "Signature scheme"), separated by spaces. An id holds no dot.
func (s WebhookSecrets) Sign(id string, at time.Time, body []byte) string {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(s.keys))
	for i, key := range s.keys {
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(s.mac(key, id, timestamp, body))
	}
	return strings.Join(signatures, " ")
}

func (s WebhookSecrets) mac(key []byte, id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

var errWebhookSecret = NewError(Internal, CodeInternal, "A webhook secret must be whsec_ and base64, and there must be one.")
