// Package eventsink brings events to the HTTP endpoints of other services.
package eventsink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/profile-api/profile-api/domain"
)

const (
	userAgent      = "profile-api"
	connectTimeout = 5 * time.Second
	idleTimeout    = 60 * time.Second
	idleConns      = 16      // kept for one endpoint: as many as are sent at once, and some
	maxAnswerBytes = 4 << 10 // read of an answer, so that its connection serves again; what it says is nobody's business
	maxHeaderBytes = 16 << 10
)

// Clock tells the time.
type Clock interface {
	Now() time.Time
}

// HTTP posts events to one endpoint, signed as Standard Webhooks. The URL may
// hold a token, and net/http puts the URL into the text of every error, so no
// error of the transport leaves this type.
type HTTP struct {
	url     string
	secrets domain.WebhookSecrets
	clock   Clock
	client  *http.Client
}

// NewHTTP makes the sink of a URL; it connects to nothing yet. Redirects are not
// followed: an endpoint is where the operator says it is.
func NewHTTP(endpoint string, secrets domain.WebhookSecrets, clock Clock) (*HTTP, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("event sink: the endpoint must be an absolute http or https URL") // err quotes it
	}
	return &HTTP{endpoint, secrets, clock, &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: connectTimeout}).DialContext, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: connectTimeout, IdleConnTimeout: idleTimeout, MaxIdleConns: idleConns, MaxIdleConnsPerHost: idleConns,
			MaxResponseHeaderBytes: maxHeaderBytes, DisableCompression: true,
		},
	}}, nil
}

// KeyOf names the sink of a URL in the outbox: 16 hexadecimal digits of its
// SHA-256, so that the database holds no token of somebody else's.
func KeyOf(endpoint string) string {
	sum := sha256.Sum256([]byte(endpoint))
	return hex.EncodeToString(sum[:8])
}

// Deliver posts the event once; every 2xx means that it was taken. Errors: kind
// Unavailable, with the time that Retry-After names for the whole endpoint: beside
// 429 (RFC 6585, section 4) and 503 (RFC 9110, section 10.2.3). ctx bounds it.
func (s *HTTP) Deliver(ctx context.Context, e domain.PendingEvent) error {
	now := s.clock.Now()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(e.Payload))
	if err != nil {
		return refused("The endpoint cannot be asked.", 0)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", userAgent)
	r.Header.Set("Webhook-Id", e.EventID)
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set("Webhook-Signature", s.secrets.Sign(e.EventID, now, e.Payload))
	resp, err := s.client.Do(r)
	switch {
	case ctx.Err() != nil && err != nil:
		return refused("The endpoint did not answer in time.", 0)
	case err != nil:
		return refused("The endpoint could not be reached.", 0)
	}
	defer resp.Body.Close()                                               //nolint:errcheck // the answer is here
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswerBytes)) // the status has said all
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return nil
	}
	wait := time.Duration(0)
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		wait = retryAfter(resp.Header.Get("Retry-After"), now)
	}
	return refused(fmt.Sprintf("The endpoint answered with status %d.", resp.StatusCode), wait)
}

// retryAfter reads the header of RFC 9110, section 10.2.3: seconds or a date.
func retryAfter(header string, now time.Time) time.Duration {
	const longest = 24 * time.Hour // what a duration holds without doubt
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(min(max(seconds, 0), int(longest/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(date.Sub(now), 0), longest)
	}
	return 0
}

func refused(message string, retryAfter time.Duration) error {
	return domain.NewError(domain.Unavailable, domain.CodeUnavailable, message).WithRetryAfter(retryAfter)
}
