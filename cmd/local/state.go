package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/profile-api/profile-api/internal/clerkstandin"
	"github.com/profile-api/profile-api/internal/pglauncher"
)

// state is what survives a restart: the stand-in's signing key, the API's
// SECRET_KEY and PostgreSQL's data.
type state struct{ dir, postgres string }

// findState takes PROFILE_API_LOCAL_DIR, or directories of the user's own.
func findState() (state, error) {
	if dir := os.Getenv("PROFILE_API_LOCAL_DIR"); dir != "" {
		dir, err := filepath.Abs(dir)
		return state{filepath.Join(dir, "keys"), filepath.Join(dir, "postgres")}, err
	}
	pg, err := pglauncher.DefaultDataDir()
	if err != nil {
		return state{}, fmt.Errorf("find a place for the data: %w", err)
	}
	config, err := os.UserConfigDir()
	if err != nil { // no home: a service account, say
		config = filepath.Join("/var/tmp", fmt.Sprintf("profile-api-%d", os.Getuid()))
	}
	return state{filepath.Join(config, "profile-api-local"), pg}, nil
}

// standin makes the stand-in for Clerk with the key that earlier tokens were signed with.
func (s state) standin(opts clerkstandin.Options) (*clerkstandin.Server, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep the stand-in's key: %w", err)
	}
	key, err := clerkstandin.LoadOrCreateKey(filepath.Join(s.dir, "clerk-signing-key.pem"))
	if err != nil {
		return nil, err
	}
	opts.Key = key
	return clerkstandin.New(opts)
}

// secretKey reads the API's SECRET_KEY, or makes one the first time: a constant
// would be an insecure default that somebody copies.
func (s state) secretKey() (string, error) {
	path := filepath.Join(s.dir, "secret-key")
	b, err := os.ReadFile(path) // #nosec G304 -- the user's own directory
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the secret key: %w", err)
	}
	random := make([]byte, 48)
	_, _ = rand.Read(random) // never fails: it ends the program instead
	key := base64.StdEncoding.EncodeToString(random)
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the secret key: %w", err)
	}
	return key, nil
}

// printToken prints a fresh token and nothing else.
func printToken(out io.Writer, name string) error {
	s, err := findState()
	if err != nil {
		return err
	}
	clerk, err := s.standin(clerkstandin.Options{})
	if err != nil {
		return err
	}
	token, err := clerk.Token(name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, token)
	return err
}
