package migrationlint

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// longestWait bounds lock_timeout: whoever waits for a table's lock makes everybody after it wait as well.
const longestWait = 5 * time.Second

// mostRows bounds what one statement may change.
const mostRows = 10_000

// judge goes through a migration's statements in order.
type judge struct {
	file
	found   []Finding
	made    map[string]bool   // tables made here, and so empty and unknown to others
	dropped map[string]int    // index or table.constraint → line, until it is made again
	checks  map[string]string // table.constraint → column of a CHECK (column IS NOT NULL) NOT VALID
	proven  map[string]bool   // table.column that a validated check keeps from being null
	waits   bool              // lock_timeout was set
	s       *reader
}

func (j *judge) refuse(rule Rule) { j.refuseAt(j.s.line(), rule) }

func (j *judge) refuseAt(line int, rule Rule) {
	j.found = append(j.found, Finding{Line: line, Rule: rule})
}

func (j *judge) run() {
	for _, s := range j.up {
		j.s = &reader{list: s}
		j.statement()
	}
	for _, line := range j.dropped {
		j.contractAt(line)
	}
	slices.SortStableFunc(j.found, func(a, b Finding) int { return a.Line - b.Line })
}

// statement knows the statements that are safe; what it does not know it refuses.
func (j *judge) statement() {
	s := j.s
	switch {
	case s.words("set"):
		j.set()
	case s.words("reset", "lock_timeout"), s.words("comment", "on"), s.words("analyze"), s.words("grant"),
		s.words("create", "sequence"), s.words("create", "type"), s.words("create", "function"):
		j.expand()
	case s.words("create", "table"):
		j.createTable()
	case s.words("create", "unique", "index"), s.words("create", "index"):
		j.createIndex()
	case s.words("create", "trigger"):
		j.expand()
		j.createTrigger()
	case s.words("drop", "index"):
		j.dropIndex()
	case s.words("alter", "table"):
		j.alterTable()
	case s.words("insert", "into"):
		j.expand()
		if !s.has("values") || s.has("select") {
			j.rowsOf(s.table())
		}
	case s.words("update"), s.words("delete", "from"):
		j.expand()
		s.words("only")
		j.rowsOf(s.table())
	case s.words("drop"):
		j.contractStep()
		if s.has("cascade") {
			j.refuse(Hidden)
		}
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
	j.locks("")
	j.contractAt(j.s.line())
}

func (j *judge) contractAt(line int) {
	if j.contract == "" {
		j.refuseAt(line, Contract)
	}
}

// locks marks a statement that waits for a lock of a table that is in use.
func (j *judge) locks(table string) {
	if !j.made[table] && !j.waits {
		j.refuse(LockTimeout)
		j.waits = true // said once
	}
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
	if !ok || d <= 0 || d > longestWait || local != j.transaction {
		j.refuse(LockTimeout)
	}
	j.waits = true
}

// duration reads PostgreSQL's milliseconds, with or without a unit.
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
	s.words("if", "not", "exists")
	table := s.table()
	if !s.next().is("(") || s.has("inherits") || s.words("partition", "of") {
		j.refuse(Unknown) // CREATE TABLE … AS, OF and PARTITION OF
		return
	}
	if s.has("references") { // takes a lock of the other table, for a moment
		j.locks(s.after("references"))
	}
	j.made[table] = true
}

func (j *judge) createIndex() {
	s := j.s
	j.expand()
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
	switch {
	case j.made[table] && !concurrently:
	case !concurrently:
		j.refuse(IndexLocks)
	case j.transaction:
		j.refuse(ConcurrentlyInTransaction)
	case again || !rebuilt:
		j.refuse(IndexStaysInvalid)
	default:
		j.locks(table)
	}
}

func (j *judge) createTrigger() {
	j.s.skipTo("on")
	if !j.made[j.s.table()] {
		j.refuse(Unknown)
	}
}

func (j *judge) dropIndex() {
	s := j.s
	if !s.words("concurrently") {
		j.refuse(IndexLocks)
	} else if j.transaction {
		j.refuse(ConcurrentlyInTransaction)
	}
	s.words("if", "exists")
	index := s.table()
	if !s.end() { // a list, or CASCADE
		j.refuse(Unknown)
	}
	j.locks("")
	j.dropped[index] = s.line()
}

// rowsOf wants a bound on the rows that a statement touches: … WHERE id IN (SELECT … LIMIT 1000).
func (j *judge) rowsOf(table string) {
	if j.made[table] {
		return
	}
	n, err := strconv.Atoi(j.s.after("limit"))
	if err != nil || n > mostRows {
		j.refuse(UnboundedRows)
	}
	j.locks(table)
}
