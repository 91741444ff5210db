package migrationlint

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// file is a migration in goose's format, as far as the rules look at it: what
// `migrate down` does is not judged, since a release is rolled back by its program
// and never by its schema.
type file struct {
	transaction bool   // goose runs it in one, unless -- +goose NO TRANSACTION
	contract    string // the release of -- contract: since …, or empty
	up          [][]token
}

var (
	gooseLine    = regexp.MustCompile(`^\s*--\s*\+goose\s+(.*?)\s*$`)
	contractLine = regexp.MustCompile(`^\s*--\s*contract:\s*(.*?)\s*$`)
	sinceRelease = regexp.MustCompile(`^since ([0-9a-z.+-]{1,60})$`)
)

// parse reads a migration. A file that goose or PostgreSQL would read differently from this is an error.
func parse(src string) (file, error) {
	f := file{transaction: true}
	section, upFrom := "", 0
	var up strings.Builder
	for i, line := range strings.Split(src, "\n") {
		if m := contractLine.FindStringSubmatch(line); m != nil {
			since := sinceRelease.FindStringSubmatch(m[1])
			if since == nil {
				return file{}, fmt.Errorf("line %d: write -- contract: since <commit of the release that no longer uses what goes>", i+1)
			}
			f.contract = since[1]
		}
		m := gooseLine.FindStringSubmatch(line)
		if m == nil {
			if section == "Up" {
				up.WriteString(line)
			}
		} else {
			switch strings.ToUpper(m[1]) {
			case "NO TRANSACTION":
				f.transaction = false
			case "UP":
				if section != "" {
					return file{}, fmt.Errorf("line %d: one -- +goose Up, and before Down", i+1)
				}
				section, upFrom = "Up", i+2
			case "DOWN":
				section = "Down"
			case "STATEMENTBEGIN", "STATEMENTEND":
			default:
				return file{}, fmt.Errorf("line %d: +goose %s is not known here", i+1, m[1])
			}
		}
		if section == "Up" && i+1 >= upFrom {
			up.WriteString("\n")
		}
	}
	if upFrom == 0 {
		return file{}, errors.New("there is no -- +goose Up")
	}
	list, err := tokens(up.String(), upFrom)
	f.up = statements(list)
	return f, err
}
