// Package migrationlint refuses schema changes that stop the service or the
// release before (docs/adr/0029-expand-and-contract.md): statements that lock a table
// in use for longer than a moment, and such that take away what a running program
// uses. It knows the statements that are safe and refuses all others.
package migrationlint

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Rule is why a statement is refused: its name, and behind the colon what to do instead.
type Rule string

// The rules.
const (
	IndexLocks Rule = "index-locks-writes: make and drop indexes CONCURRENTLY under -- +goose NO TRANSACTION; add a " +
		"key by ADD CONSTRAINT … UNIQUE USING INDEX"
	IndexStaysInvalid Rule = "index-stays-invalid: a build that fails leaves an invalid index; write DROP INDEX CONCURRENTLY " +
		"IF EXISTS of it first, and no IF NOT EXISTS"
	ConcurrentlyInTransaction Rule = "concurrently-in-transaction: put -- +goose NO TRANSACTION into the file"
	SentTogether              Rule = "sent-together: goose sends this and the statement before as one, and PostgreSQL runs that in one " +
		"transaction in spite of NO TRANSACTION; end each statement at a line's end, and without StatementBegin around several"
	NotNullWithoutDefault Rule = "not-null-without-default: fails on rows that are there and on the previous release's inserts; " +
		"give a constant default or allow null"
	VolatileDefault Rule = "volatile-default: is computed for each row under the table's lock; add the column with a " +
		"constant or none, then fill it in batches"
	SetNotNullScans Rule = "set-not-null-scans: first ADD CONSTRAINT … CHECK (… IS NOT NULL) NOT VALID and VALIDATE it, in the same file"
	ConstraintScans Rule = "constraint-scans-table: ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT as a statement of " +
		"its own under -- +goose NO TRANSACTION"
	ValidateHoldsLocks Rule = "validate-holds-locks: validate by a statement that does nothing else, under -- +goose NO TRANSACTION, or the " +
		"locks of the rest are held all the while"
	HoldsLocks Rule = "holds-locks: a table that is in use stays locked till the transaction ends, while rows are changed or copied, " +
		"statistics gathered or another table waited for; write files of their own, or -- +goose NO TRANSACTION"
	RewritesTable Rule = "rewrites-table: add a new column, fill it in batches, and drop the old one a release later"
	Rename        Rule = "rename: no two releases can work at once; add the new name, write both, and drop the old one a release later"
	LocksTable    Rule = "locks-table: stops everybody for as long as it runs; there is no safe form in a migration"
	UnboundedRows Rule = "unbounded-rows: holds the rows' locks till the end; take at most 10000 in a transaction, by … WHERE id IN " +
		"(SELECT id FROM the same table … LIMIT 10000) to the letter (or ctid), or SELECT … LIMIT 10000; or fill from a job"
	LockTimeout Rule = "lock-timeout: begin with SET LOCAL lock_timeout = '3s' (SET without LOCAL under NO " +
		"TRANSACTION), at most 5s: who waits for a lock makes others wait; at most 5min where only CONCURRENTLY and VALIDATE follow"
	Contract Rule = "contract: takes away what the previous release may use; put it into a file of its own that " +
		"says -- contract: since <commit of the release that stopped>"
	Narrows Rule = "narrows: the previous release may write, or delete, what this refuses; put it into a file of its own that says " +
		"-- contract: since <commit of the release that keeps to it>, or limit it to columns added here; " +
		"REFERENCES: ON DELETE CASCADE, or SET NULL where null may be, and ON UPDATE CASCADE unless it is to id"
	Mixed       Rule = "mixed: a file of contract steps holds nothing else, because it goes out a release later"
	NotReleased Rule = "not-released: the release that -- contract: since names is not in deploy/releases/list, so an older one may still run"
	Hidden      Rule = "hidden: what it does cannot be seen here; write the statements themselves"
	NotSQL      Rule = "not-sql: a migration in Go cannot be judged; write it in SQL"
	Unknown     Rule = "unknown: not among the statements that are known to be safe; when it is, teach internal/migrationlint"
)

// Name is the rule without its explanation.
func (r Rule) Name() string { name, _, _ := strings.Cut(string(r), ":"); return name }

// Finding is a statement that is refused.
type Finding struct {
	File string
	Line int
	Rule Rule
}

func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Rule) }

// Source judges one migration by itself: what it drops IF EXISTS and makes anew is
// taken for the remains of an attempt of its own, which Dir knows better. releases are the commits that were released.
// The error says that the file cannot be read as goose and PostgreSQL would.
func Source(src string, releases []string) ([]Finding, error) {
	f, err := parse(src)
	if err != nil {
		return nil, err
	}
	return judged(f, releases, map[string]bool{}), nil
}

// judged judges a migration that has been read; earlier is what those before it made.
func judged(f file, releases []string, earlier map[string]bool) []Finding {
	j := newJudge(f, earlier)
	if f.contract != "" && !slices.Contains(releases, f.contract) {
		j.refuseAt(1, NotReleased)
	}
	j.run()
	return j.found
}

// Dir judges all migrations in a directory and takes the baseline off. Of the
// baseline nothing may be left over: an entry that excuses nothing is a fault too.
func Dir(dir fs.FS, releases []string, baseline map[string][]Rule) ([]Finding, error) {
	names, err := fs.Glob(dir, "[0-9]*_*.*")
	if err != nil {
		return nil, err
	}
	var found []Finding
	earlier := map[string]bool{}
	for _, name := range names { // in the order in which goose runs them
		if strings.HasSuffix(name, ".go") {
			found = append(found, Finding{name, 1, NotSQL})
			continue
		}
		src, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		parsed, err := parse(string(src))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, f := range judged(parsed, releases, earlier) {
			f.File = name
			found = append(found, f)
		}
		remember(parsed, earlier)
	}
	for name, rules := range baseline {
		for _, rule := range rules {
			if !slices.ContainsFunc(found, func(f Finding) bool { return f.File == name && f.Rule == rule }) {
				return nil, fmt.Errorf("the baseline excuses %s of %s, which does not occur", name, rule.Name())
			}
		}
	}
	return slices.DeleteFunc(found, func(f Finding) bool { return slices.Contains(baseline[f.File], f.Rule) }), nil
}

// Releases reads deploy/releases/list: a commit and what it was, one a line, the latest last. # begins a comment.
func Releases(text string) (commits []string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 0 {
			commits = append(commits, fields[0])
		}
	}
	return commits
}

// Baseline are the faults of the migrations that ran when every installation was
// empty, which are never edited since goose would not run them again; and of one
// that can say what it does only in a block: rights are taken from roles that may
// not exist. 00010's checks are on columns that the release before wrote unchecked.
func Baseline() map[string][]Rule {
	return map[string][]Rule{
		"00002_preferences.sql":    {LockTimeout},
		"00006_search_indexes.sql": {LockTimeout},
		"00009_river.go":           {NotSQL},
		"00010_clerk_mirror.sql":   {LockTimeout, Narrows},
		"00014_audit_rights.sql":   {Hidden},
	}
}
