package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What docs/security.md names is there: tests, files and pages.
func TestTheSecurityPageNamesWhatExists(t *testing.T) {
	page, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	namesExist(t, string(page), 85)
	// A threat without a test is no row of these tables.
	_, threats, _ := strings.Cut(string(page), "## Ways in")
	threats, _, _ = strings.Cut(threats, "## OWASP API")
	for line := range strings.Lines(threats) {
		isRow := strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| threat ") && !strings.HasPrefix(line, "| --- ")
		if isRow && !strings.Contains(line, "`Test") {
			t.Errorf("no test shows it: %s", line)
		}
		if strings.HasPrefix(line, "| ") && strings.Count(line, " | ") != 3 {
			t.Errorf("not four columns, the last for what is left: %s", line)
		}
	}
}

func testsOfTheTree(t *testing.T) map[string]bool {
	t.Helper()
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() != ".." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path) // #nosec G122 -- our own tree
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			tests[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}
