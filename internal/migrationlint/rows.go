package migrationlint

import "strconv"

// insert judges INSERT: of values, which are as few as the file is long, or of a query's rows.
func (j *judge) insert() {
	s := j.s
	j.expand()
	table := s.table()
	if j.calls(s.list) {
		return
	}
	if s.next().is("(") {
		s.inBrackets()
	}
	query := !s.words("values") && !s.words("default", "values")
	if !query && !s.has("select", "table", "union") {
		return
	}
	if !j.made[table] || j.linked[table] || s.hasRow("for", "update") || s.hasRow("for", "no") || s.hasRow("for", "share") || s.hasRow("for", "key") {
		n := 0
		if at := s.top("limit"); at >= 0 && query {
			n = (&reader{list: s.list, at: at + 1}).limit()
		}
		j.takesRows(n)
		j.waits(longestWait)
	}
	j.filled[table] = true
	j.worksOnRows()
}

// change judges UPDATE and DELETE; behind is the word that follows the table's name.
func (j *judge) change(behind string) {
	s := j.s
	j.expand()
	s.words("only")
	table := s.table()
	if j.calls(s.list) {
		return
	}
	if j.made[table] {
		if j.filled[table] || s.has("select", "from", "using") {
			j.worksOnRows()
		}
		return
	}
	n := 0
	if s.next().is(behind) { // no other name, so that the inner query's table is not the outer one
		n = s.bound(table)
	}
	j.takesRows(n)
	j.waits(longestWait)
	j.worksOnRows()
}

// calls tells whether a function made here is called, which was not looked into.
func (j *judge) calls(list []token) bool {
	for n := 0; n+1 < len(list); n++ {
		if list[n+1].is("(") && j.functions[list[n].text] {
			j.refuse(Hidden)
			return true
		}
	}
	return false
}

// takesRows wants a bound on the rows in use that a statement touches, 0 being none, and all its transaction's statements.
func (j *judge) takesRows(n int) {
	if j.transaction {
		j.rows += n
	}
	if n <= 0 || n > mostRows || j.rows > mostRows {
		j.refuse(UnboundedRows)
	}
}

// bound reads the end WHERE id IN (SELECT id FROM table … LIMIT n) and returns n, or 0
// for anything else. It must be just that: another column has many rows for a value, another
// table or name lets the inner query depend on the outer row, FROM may have another
// column of that name, and with FOR UPDATE a plan may run the inner query again.
func (r *reader) bound(table string) int {
	if r.top("from") >= 0 {
		return 0
	}
	at := r.top("where")
	if at < 0 {
		return 0
	}
	r.at = at + 1
	key := r.take()
	if !key.is("id", "ctid") || !r.words("in") || !r.next().is("(") {
		return 0
	}
	in := r.inBrackets()
	if !r.end() || !in.words("select", key.text, "from") || in.table() != table || !in.next().is("where", "order", "limit") {
		return 0
	}
	if at = in.top("limit"); at < 0 {
		return 0
	}
	in.at = at + 1
	return in.limit()
}

// limit reads the number behind LIMIT, with nothing behind it but ON CONFLICT. 0 is anything else.
func (r *reader) limit() int {
	n, err := strconv.Atoi(r.take().text)
	if err != nil || !r.end() && !r.next().is("on") {
		return 0
	}
	return n
}
