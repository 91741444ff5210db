package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	minKeyLength   = 50
	minKeyDistinct = 16
)

// exampleMarks are what the keys of examples, tutorials and generators of
// projects hold, in lower case. They are phrases rather than common words or runs
// of characters, which a key that somebody chose with care may hold too.
var exampleMarks = []string{
	"change-me", "changeme", "change_me", "change-this", "change_this", "changethis",
	"replace-me", "replaceme", "replace_me", "replace-this", "replace_this",
	"insecure", "example", "placeholder",
	"secret-key", "secret_key", "secretkey", "your-secret", "your_secret", "yoursecret",
	"my-secret", "my_secret", "super-secret", "super_secret", "supersecret",
	"not-secret", "not-so-secret", "keyboard-cat", "keyboard cat", "correct-horse", "lorem ipsum",
}

func (c *checker) secretKeys() {
	seen := map[string]string{}
	if key := c.s.SecretKey.Reveal(); key != "" {
		if problem := keyProblem(key); problem != "" {
			c.fault("SECRET_KEY", "%s", problem)
		}
		seen[key] = "SECRET_KEY"
	}
	for i, fallback := range c.s.SecretKeyFallbacks {
		key, place := fallback.Reveal(), fmt.Sprintf("key %d of the list", i+1)
		if problem := keyProblem(key); problem != "" {
			c.fault("SECRET_KEY_FALLBACKS", "%s (%s)", problem, place)
		}
		if twin, twice := seen[key]; twice {
			c.fault("SECRET_KEY_FALLBACKS", "must not repeat a key: %s is the same as %s", place, twin)
			continue
		}
		seen[key] = place
	}
}

// keyProblem says what is wrong with a signing key, empty when nothing is.
func keyProblem(key string) string {
	if n := utf8.RuneCountInString(key); n < minKeyLength {
		return fmt.Sprintf("must have at least %d characters; for instance the output of: openssl rand -base64 48", minKeyLength)
	}
	distinct := map[rune]struct{}{}
	for _, r := range key {
		distinct[r] = struct{}{}
	}
	if len(distinct) < minKeyDistinct {
		return fmt.Sprintf("must have at least %d distinct characters; for instance the output of: openssl rand -base64 48", minKeyDistinct)
	}
	lower := strings.ToLower(key)
	for _, m := range exampleMarks {
		if strings.Contains(lower, m) {
			return "must not be an example value; for instance the output of: openssl rand -base64 48"
		}
	}
	return ""
}
