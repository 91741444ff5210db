package clerk_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/profile-api/profile-api/repository/clerk"
)

// A new outcome must be listed too: its counter would not begin at zero, and no alert would see its first.
func TestOutcomesListsAll(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("outcome.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, m := range regexp.MustCompile(`(?m)^\tOutcome\w+\s+Outcome = "([a-z_]+)"`).FindAllSubmatch(source, -1) {
		declared = append(declared, string(m[1]))
	}
	if listed := clerk.Outcomes(); len(declared) < 15 || !slices.Equal(listed, declared) {
		t.Errorf("declared are %q, listed %q", declared, listed)
	}
}
