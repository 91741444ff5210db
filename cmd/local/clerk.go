package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/profile-api/profile-api/internal/clerkstandin"
)

// runClerk serves the stand-in alone, for docker compose:
//
//   - CLERK_STANDIN_ADDR: listening address (default 127.0.0.1:8081);
//   - CLERK_STANDIN_SECRET_KEY or …_FILE: what the Backend API asks for;
//   - CLERK_STANDIN_HOST: Frontend API host, from which issuer and publishable key follow;
//   - CLERK_STANDIN_DATA: directory of the signing key;
//   - API_URL: base of the API in the page's curl line.
func runClerk(ctx context.Context) (err error) {
	secret := os.Getenv("CLERK_STANDIN_SECRET_KEY")
	if path := os.Getenv("CLERK_STANDIN_SECRET_KEY_FILE"); path != "" {
		b, err := os.ReadFile(path) // #nosec G304 G703 -- the operator's own path
		if err != nil {
			return err
		}
		secret = strings.TrimSpace(string(b))
	}
	st, err := findState()
	if err != nil {
		return err
	}
	if dir := os.Getenv("CLERK_STANDIN_DATA"); dir != "" {
		st.dir = dir
	}
	clerk, err := st.standin(clerkstandin.Options{
		Host: os.Getenv("CLERK_STANDIN_HOST"), SecretKey: secret, APIBaseURL: os.Getenv("API_URL"),
	})
	if err != nil {
		return err
	}
	running, err := clerk.Start(env("CLERK_STANDIN_ADDR", "127.0.0.1:8081"))
	if err != nil {
		return err
	}
	progress("stand-in for Clerk on " + running.URL())
	<-ctx.Done()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(running.Close(bounded))
}
