package migrationlint

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// longestWait bounds lock_timeout: whoever waits for a table's lock makes everybody after it wait as well.
const longestWait = 5 * time.Second

// longestQuietWait bounds it where nobody has to wait behind: the lock of CONCURRENTLY
// and of VALIDATE lets readers and writers by, and their waiting for open transactions
// too. It leaves time for three tries in the migration job's half hour.
const longestQuietWait = 5 * time.Minute

// mostRows bounds what one transaction may change.
const mostRows = 10_000

// judge goes through a migration's statements in order.
type judge struct {
	file
	found     []Finding
	earlier   map[string]bool   // what the migrations before made; see remember
	made      map[string]bool   // tables made here, and so empty and unknown to others
	filled    map[string]bool   // those of them that got rows from elsewhere
	linked    map[string]bool   // those of them that refer to a table in use, or to one that does
	required  map[string]bool   // table.column of theirs that is never null
	fresh     map[string]bool   // table.column added here → whether it is null until somebody knows it
	types     map[string]bool   // made by CREATE TYPE, which makes no domains
	functions map[string]bool   // functions made here, which may do anything
	dropped   map[string]int    // index or table.constraint → line, until it is made again
	unshown   map[string]int    // table.constraint → line, of a check that a default may not pass, until it is validated
	checks    map[string]string // table.constraint → column of a CHECK (column IS NOT NULL) NOT VALID
	proven    map[string]string // table.column that a validated check keeps from being null → the check
	wait      time.Duration     // lock_timeout, 0 without
	told      bool              // that it is missing was said
	held      []string          // tables in use that this transaction has locked
	rows      int               // that this transaction changed in tables in use
	worked    bool              // whether this transaction changed or copied rows
	s         *reader
}

func newJudge(f file, earlier map[string]bool) *judge {
	set := func() map[string]bool { return map[string]bool{} }
	return &judge{
		file: f, earlier: earlier, made: set(), filled: set(), linked: set(), required: set(), fresh: set(), types: set(), functions: set(),
		dropped: map[string]int{}, unshown: map[string]int{}, checks: map[string]string{}, proven: map[string]string{},
	}
}

func (j *judge) refuse(rule Rule) { j.refuseAt(j.s.line(), rule) }

func (j *judge) refuseAt(line int, rule Rule) {
	if f := (Finding{Line: line, Rule: rule}); !slices.Contains(j.found, f) {
		j.found = append(j.found, f)
	}
}

func (j *judge) run() {
	for _, s := range j.up {
		j.s = &reader{list: s}
		if !j.transaction && j.together[j.s.line()] {
			j.refuse(SentTogether)
		}
		j.statement()
	}
	for _, line := range j.dropped {
		j.contractAt(line)
	}
	for _, line := range j.unshown {
		j.refuseAt(line, Narrows)
	}
	slices.SortStableFunc(j.found, func(a, b Finding) int { return a.Line - b.Line })
}

// statement knows the statements that are safe; what it does not know it refuses.
func (j *judge) statement() {
	s := j.s
	switch {
	case s.words("set"):
		j.set()
	case s.words("reset", "lock_timeout"):
		j.wait = 0
	case s.words("comment", "on"), s.words("grant"), s.words("create", "sequence"):
		j.expand()
	case s.words("create", "type"):
		j.expand()
		j.types[s.table()] = true
	case s.words("create", "function"):
		j.expand()
		j.functions[s.table()] = true
	case s.words("analyze"):
		j.expand()
		j.worksOnRows()
	case s.words("create", "table"):
		j.createTable()
	case s.words("create", "unique", "index"):
		j.createIndex(true)
	case s.words("create", "index"):
		j.createIndex(false)
	case s.words("create", "trigger"):
		j.expand()
		j.createTrigger()
	case s.words("drop", "index"):
		j.dropIndex()
	case s.words("alter", "table"):
		j.alterTable()
	case s.words("insert", "into"):
		j.insert()
	case s.words("update"):
		j.change("set")
	case s.words("delete", "from"):
		j.change("where")
	case s.words("drop"):
		j.drop()
	case s.words("revoke"):
		j.contractStep()
	case s.words("do"), s.words("call"), s.words("execute"):
		j.refuse(Hidden)
	case s.words("lock"), s.words("cluster"), s.words("truncate"), s.words("reindex"), s.words("refresh"), s.words("vacuum"):
		j.refuse(LocksTable)
	default:
		j.refuse(Unknown)
	}
}

// expand marks a step forward, which has no place among contract steps: they go out a release later.
func (j *judge) expand() {
	if j.contract != "" {
		j.refuse(Mixed)
	}
}

// contractStep marks a step that only releases survive which no longer use what goes.
func (j *judge) contractStep() {
	j.waits(longestWait)
	j.contractAt(j.s.line())
}

func (j *judge) contractAt(line int) {
	if j.contract == "" {
		j.refuseAt(line, Contract)
	}
}

// waits marks a statement that waits for a lock, for no longer than that.
func (j *judge) waits(longest time.Duration) {
	if (j.wait <= 0 || j.wait > longest) && !j.told {
		j.refuse(LockTimeout)
		j.told = true
	}
}

// locks marks a statement that locks tables against others, those of them that are in use.
// The transaction keeps the lock, so that nothing slow may share it, and no other
// table's lock: that is waited for meanwhile, and the program may hold the two the other way round.
func (j *judge) locks(tables ...string) {
	tables = slices.DeleteFunc(tables, func(t string) bool { return j.made[t] })
	if len(tables) == 0 {
		return
	}
	j.waits(longestWait)
	if !j.transaction {
		return
	}
	more := slices.ContainsFunc(tables, func(t string) bool { return !slices.Contains(j.held, t) })
	if j.worked || len(j.held) > 0 && more {
		j.refuse(HoldsLocks)
	}
	j.held = append(j.held, tables...)
}

// worksOnRows marks a statement that may take its time.
func (j *judge) worksOnRows() {
	if j.transaction && len(j.held) > 0 {
		j.refuse(HoldsLocks)
	}
	j.worked = true
}

// set takes SET [LOCAL] lock_timeout = '3s'. LOCAL ends with the transaction, and
// does nothing outside of one.
func (j *judge) set() {
	s := j.s
	local := s.words("local")
	if !s.words("lock_timeout") || !s.words("=") && !s.words("to") {
		j.refuse(Unknown)
		return
	}
	d, ok := duration(s.take().text)
	if !ok || d < time.Millisecond || d > longestQuietWait || local != j.transaction || !s.end() {
		j.refuse(LockTimeout)
		j.told = true
	}
	j.wait = d
}

// duration reads PostgreSQL's milliseconds, with or without a unit; what is below one of them is 0 there: no bound.
func duration(text string) (time.Duration, bool) {
	if n, err := strconv.Atoi(text); err == nil {
		return time.Duration(n) * time.Millisecond, true
	}
	d, err := time.ParseDuration(strings.ReplaceAll(strings.ReplaceAll(text, " ", ""), "min", "m"))
	return d, err == nil
}

func (j *judge) createTable() {
	s := j.s
	j.expand()
	maybe := s.words("if", "not", "exists")
	table := s.table()
	if !s.next().is("(") || s.has("inherits") || s.words("partition", "of") {
		j.refuse(Unknown) // CREATE TABLE … AS, OF and PARTITION OF
		return
	}
	if !maybe { // else it may be one that is in use
		j.made[table] = true
	}
	parts := s.inBrackets().actions()
	j.require(table, parts)
	j.locks(j.link(table, parts)...)
}

func (j *judge) createIndex(unique bool) {
	s := j.s
	concurrently := s.words("concurrently")
	again := s.words("if", "not", "exists")
	index := ""
	if !s.next().is("on") {
		index = s.table()
	}
	s.words("on")
	s.words("only")
	table := s.table()
	_, rebuilt := j.dropped[index]
	delete(j.dropped, index)
	if unique && !j.made[table] {
		j.narrow(j.mayStayUnique(table))
	} else {
		j.expand()
	}
	switch {
	case j.made[table] && !concurrently:
	case !concurrently:
		j.refuse(IndexLocks)
	case j.transaction:
		j.refuse(ConcurrentlyInTransaction)
	case again || !rebuilt:
		j.refuse(IndexStaysInvalid)
	default:
		j.waits(longestQuietWait)
	}
}

func (j *judge) createTrigger() {
	j.s.skipTo("on")
	if !j.made[j.s.table()] {
		j.refuse(Unknown)
	}
}

// dropIndex takes an index that is made anew for the remains of a failed build, unless an earlier migration made it.
func (j *judge) dropIndex() {
	s := j.s
	if !s.words("concurrently") {
		j.refuse(IndexLocks)
	} else if j.transaction {
		j.refuse(ConcurrentlyInTransaction)
	}
	j.waits(longestQuietWait)
	remains := s.words("if", "exists")
	index := s.table()
	if !s.end() { // a list, or CASCADE
		j.refuse(Unknown)
	}
	if !remains || j.earlier[index] {
		j.contractAt(s.line())
	}
	j.dropped[index] = s.line()
}

// drop takes the kinds that go by themselves.
func (j *judge) drop() {
	s := j.s
	j.contractAt(s.line())
	switch {
	case s.words("table"):
		s.words("if", "exists")
		for _, one := range s.actions() {
			j.locks((&reader{list: one}).table())
		}
	case s.words("trigger"):
		s.skipTo("on")
		j.locks(s.table())
	case s.words("function"), s.words("type"), s.words("sequence"):
		j.waits(longestWait)
	default:
		j.refuse(Unknown) // OWNED BY, SCHEMA and the like
	}
	s.at = 0
	if s.has("cascade") {
		j.refuse(Hidden)
	}
}
