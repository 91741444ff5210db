package clerk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
)

const (
	keySetPath      = "/jwks"
	maxKeySetBytes  = 256 << 10
	maxIgnoredBytes = 4 << 10 // read of a refused answer, so that its connection can be used again
)

// rawKeySet lets one strange entry pass by instead of spoiling the whole set,
// as decoding into the SDK's own type would.
type rawKeySet struct {
	clerksdk.APIResource
	Keys []json.RawMessage `json:"keys"`
}

var errNoUsableKey = errors.New("the key set holds no usable key")

// fetcher asks Clerk's Backend API for the key set through the SDK.
type fetcher struct{ backend clerksdk.Backend }

func newFetcher(apiURL, secretKey string, client *http.Client) *fetcher {
	guarded := http.Client{}
	if client != nil {
		guarded = *client
	}
	guarded.Transport = plainAnswers{next: guarded.Transport}
	config := &clerksdk.BackendConfig{HTTPClient: &guarded, Key: &secretKey}
	if apiURL != "" {
		config.URL = &apiURL
	}
	return &fetcher{backend: clerksdk.NewBackend(config)}
}

// fetch returns the usable keys by kid; a set without any is an error.
func (f *fetcher) fetch(ctx context.Context) (map[string]*publicKey, error) {
	var set rawKeySet
	if err := f.backend.Call(ctx, clerksdk.NewAPIRequest(http.MethodGet, keySetPath), &set); err != nil {
		return nil, err
	}
	keys := usableKeys(set.Keys)
	if len(keys) == 0 {
		return nil, errNoUsableKey
	}
	return keys, nil
}

// plainAnswers lets only 200s of a bounded size through. The SDK takes every
// status below 400 for success, reads bodies of any size and puts the body of
// an error into its error text. A redirect ends here too: it would carry the
// secret key, or our trust, to where nobody meant it to go.
type plainAnswers struct{ next http.RoundTripper }

func (t plainAnswers) RoundTrip(req *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport //nolint:forbidigo // the fetch itself has a timeout, by its context
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, resp.Body, maxIgnoredBytes)
		_ = resp.Body.Close()
		return nil, fmt.Errorf("clerk answered with status %d", resp.StatusCode)
	}
	resp.Body = &cappedBody{ReadCloser: resp.Body, left: maxKeySetBytes}
	return resp, nil
}

// cappedBody fails, rather than ends, when there is more than it may hold.
type cappedBody struct {
	io.ReadCloser
	left int
}

var errBodyTooLarge = errors.New("the answer is too large")

func (b *cappedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errBodyTooLarge
	}
	return n, err
}
