package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/profile-api/profile-api/internal/drill"
)

// fault is what is wrong with a bad build: text that goes to the beginning of a function.
type fault struct{ file, function, insert string }

const (
	profiles = "delivery/rest/profiles.go"
	me       = "func (h profileHandlers) me(c echo.Context) error {"
)

var (
	neverReady = fault{"delivery/rest/health.go", "func (h healthHandlers) ready(c echo.Context) error {", `return c.NoContent(503)`}
	oftenFails = fault{profiles, me, `if time.Now().UnixNano()%3 == 0 { return errors.New("bad build") }`}
	tooSlow    = fault{profiles, me, `time.Sleep(700 * time.Millisecond)`}
)

// expandStep is the migration that the good build brings with it.
const expandStep = `-- +goose NO TRANSACTION
-- +goose Up
SET lock_timeout = '3s';
ALTER TABLE profiles ADD COLUMN drill text, ADD COLUMN drilled boolean NOT NULL DEFAULT false;
DROP INDEX CONCURRENTLY IF EXISTS profiles_drill_idx;
CREATE INDEX CONCURRENTLY profiles_drill_idx ON profiles (drill);
-- +goose Down
`

// builder compiles this tree, with files of it replaced for the compiler alone.
type builder struct {
	stage *drill.Stage
	tree  string
}

func (b builder) good(ctx context.Context, version string, migration bool) (string, error) {
	if !migration {
		return b.stage.Build(ctx, b.tree, version, version)
	}
	return b.build(ctx, version, "migrations/99999_drill.sql", expandStep)
}

func (b builder) bad(ctx context.Context, version string, f fault) (string, error) {
	src, err := os.ReadFile(filepath.Join(b.tree, f.file)) // #nosec G304 -- one of the faults' files
	if err != nil {
		return "", err
	}
	if strings.Count(string(src), f.function) != 1 {
		return "", fmt.Errorf("%s has not the function that the bad build changes: %s", f.file, f.function)
	}
	text := strings.Replace(string(src), f.function, f.function+"\n\t"+f.insert, 1)
	for _, name := range []string{"errors", "time"} {
		if strings.Contains(f.insert, name+".") && !strings.Contains(text, "\t\""+name+"\"\n") {
			text = strings.Replace(text, "import (\n", "import (\n\t\""+name+"\"\n", 1)
		}
	}
	return b.build(ctx, version, f.file, text)
}

// build compiles the tree with the file replaced or added by the compiler's -overlay.
func (b builder) build(ctx context.Context, version, file, text string) (string, error) {
	dir := filepath.Join(b.stage.Dir(), "overlay-"+version)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	replacement, list := filepath.Join(dir, "file"), filepath.Join(dir, "overlay.json")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(b.tree, file): replacement}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(replacement, []byte(text), 0o600); err != nil { // #nosec G703 -- below the drill's own directory
		return "", err
	}
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	before := os.Getenv("GOFLAGS")
	defer func() { _ = os.Setenv("GOFLAGS", before) }()
	if err := os.Setenv("GOFLAGS", strings.TrimSpace(before+" -overlay="+list)); err != nil {
		return "", err
	}
	return b.stage.Build(ctx, b.tree, version, version)
}
