package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

func progress(message string) { fmt.Fprintln(os.Stderr, "local:", message) }

// banner is what a newcomer needs to make the first call.
type banner struct {
	API, Ops, Clerk string
	Server          *clerkstandin.Server
}

// announce waits until the API may be called and prints the banner once.
func announce(ctx context.Context, b banner) {
	for !answers(ctx, b.API+"/health/ready") {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	token, err := b.Server.Token("ada")
	if err != nil {
		progress("no token for ada: " + err.Error())
		return
	}
	fmt.Printf(`
  profile-api is ready; Ctrl-C stops it, the data stays.

  API       %s     health: /health
  docs      %s/docs     read it and try it; paste a token under Authorize
  metrics   %s/metrics
  sign-in   %s     stand-in for Clerk: pick a person, copy a token

  tokens    go run ./cmd/local token ada       (admin; or grace, alan, barbara)

  Your first call, as ada:

  %s

`, b.API, b.API, b.Ops, b.Clerk, clerkstandin.CurlLine(b.API, token))
}

func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	res, err := (&http.Client{}).Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusOK
}
