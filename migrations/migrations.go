// Package migrations embeds the numbered schema changes, in goose's format.
//
// Each must let the release before and after it work at once (expand, then
// contract): add columns that are nullable or have a default, never rename, drop
// only what no running release reads.
package migrations

import (
	"embed"

	"github.com/pressly/goose/v3"
)

// FS holds the SQL files, and the source of the migrations in Go: their file
// names are what a migration is called.
//
//go:embed *.sql 00009_river.go
var FS embed.FS

// Go makes the migrations that are written in Go; goose wants fresh ones for each provider.
func Go() []*goose.Migration { return []*goose.Migration{river()} }
