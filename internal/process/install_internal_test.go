package process

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteMissingLeavesTheMachinesOwnFileAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "policy")
	remove, err := writeMissing(path, "ours", 0o755)
	if err != nil {
		t.Fatal(err)
	}
	again, err := writeMissing(path, "theirs", 0o755)
	if err != nil {
		t.Fatal(err)
	}
	again() // must not remove what it did not write
	if text, err := os.ReadFile(path); err != nil || string(text) != "ours" {
		t.Errorf("got %q, %v", text, err)
	}
	remove()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}
