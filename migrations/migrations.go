// Package migrations embeds the numbered schema changes, in goose's format.
//
// Each must let the release before and after it work at once (expand, then
// contract): add columns that are nullable or have a default, never rename, drop
// only what no running release reads.
package migrations

import "embed"

// FS holds the SQL files.
//
//go:embed *.sql
var FS embed.FS
