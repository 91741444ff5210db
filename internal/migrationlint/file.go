package migrationlint

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// file is a migration in goose's format, as far as the rules look at it: what
// `migrate down` does is not judged, since a release is rolled back by its program
// and never by its schema.
type file struct {
	transaction bool   // goose runs it in one, unless -- +goose NO TRANSACTION
	contract    string // the release of -- contract: since …, or empty
	up          [][]token
	together    map[int]bool // lines where a statement begins that goose sends along with the one before
}

var (
	gooseAny     = regexp.MustCompile(`^\s*--.*\+goose`) // goose finds its words anywhere in such a line
	gooseLine    = regexp.MustCompile(`^\s*--\s*\+goose\s+(.*?)\s*$`)
	contractLine = regexp.MustCompile(`^\s*--\s*contract:\s*(.*?)\s*$`)
	sinceRelease = regexp.MustCompile(`^since ([0-9a-z.+-]{1,60})$`)
)

// parser goes through a migration's lines as goose does.
type parser struct {
	file
	section string // what goose's last word began: Up, Down or nothing yet
	upFrom  int    // the first line of Up
	block   bool   // between StatementBegin and StatementEnd
	source  strings.Builder
	cuts    []int // lines behind which goose sends what it has
}

// parse reads a migration. A file that goose or PostgreSQL would read differently from this is an error.
func parse(src string) (file, error) {
	p := parser{file: file{transaction: true, together: map[int]bool{}}}
	for i, line := range strings.Split(src, "\n") {
		if err := p.line(i+1, line); err != nil {
			return file{}, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	if p.upFrom == 0 {
		return file{}, errors.New("there is no -- +goose Up")
	}
	list, err := tokens(p.source.String(), p.upFrom)
	if err != nil {
		return file{}, err
	}
	p.up = statements(list)
	for n, s := range p.up[min(1, len(p.up)):] {
		before := p.up[n]
		last, first := before[len(before)-1].line, s[0].line
		if !slices.ContainsFunc(p.cuts, func(cut int) bool { return last <= cut && cut < first }) {
			p.together[first] = true
		}
	}
	return p.file, nil
}

func (p *parser) line(number int, line string) error {
	if m := contractLine.FindStringSubmatch(line); m != nil {
		since := sinceRelease.FindStringSubmatch(m[1])
		if since == nil {
			return errors.New("write -- contract: since <commit of the release that no longer uses what goes>")
		}
		p.contract = since[1]
	}
	if gooseAny.MatchString(line) {
		m := gooseLine.FindStringSubmatch(line)
		if m == nil {
			return errors.New("write -- +goose and one word of goose's, and nothing else")
		}
		line = ""
		if err := p.annotation(number, m[1]); err != nil {
			return err
		}
	}
	if p.section == "Up" && number >= p.upFrom {
		p.source.WriteString(line + "\n")
		if !p.block && endsStatement(line) {
			p.cuts = append(p.cuts, number)
		}
	}
	return nil
}

func (p *parser) annotation(number int, said string) error {
	switch strings.ToUpper(said) {
	case "NO TRANSACTION":
		p.transaction = false
	case "UP":
		if p.section != "" {
			return errors.New("one -- +goose Up, and before Down")
		}
		p.section, p.upFrom = "Up", number+1
	case "DOWN":
		p.section = "Down"
	case "STATEMENTBEGIN":
		p.block = true
	case "STATEMENTEND":
		p.block = false
		p.cuts = append(p.cuts, number)
	default:
		return fmt.Errorf("+goose %s is not known here", said)
	}
	return nil
}

// endsStatement tells whether goose ends a statement with this line: its last word before -- ends in a semicolon.
func endsStatement(line string) bool {
	last := ""
	for _, w := range strings.Fields(line) {
		if strings.HasPrefix(w, "--") {
			break
		}
		last = w
	}
	return strings.HasSuffix(last, ";")
}
