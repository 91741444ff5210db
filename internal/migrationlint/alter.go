package migrationlint

import "slices"

func (j *judge) alterTable() {
	s := j.s
	s.words("if", "exists")
	s.words("only")
	table := s.table()
	if j.made[table] {
		j.expand()
		return
	}
	j.locks(table)
	for _, action := range s.actions() {
		j.action(table, &reader{list: action})
	}
}

// action judges one action on a table that is in use.
func (j *judge) action(table string, a *reader) {
	if !a.next().is("drop") && !a.next().is("alter") {
		j.expand()
	}
	switch {
	case a.words("rename"):
		j.refuse(Rename)
	case a.words("validate", "constraint"):
		j.validate(table, a)
	case a.words("add", "constraint"):
		j.addConstraint(table, a)
	case a.words("add", "check"), a.words("add", "foreign"), a.words("add", "unique"), a.words("add", "primary"), a.words("add", "exclude"):
		j.refuse(Unknown) // without a name nobody can drop or validate it
	case a.words("add"):
		j.addColumn(a)
	case a.words("drop", "constraint"):
		a.words("if", "exists")
		j.dropped[table+"."+a.table()] = j.s.line()
	case a.words("drop"):
		j.contractStep()
	case a.words("alter"):
		j.alterColumn(table, a)
	default:
		j.refuse(Unknown)
	}
	if a.has("cascade") && !a.has("references") {
		j.refuse(Hidden)
	}
}

func (j *judge) addColumn(a *reader) {
	a.words("column")
	a.words("if", "not", "exists")
	a.table() // the column's name
	notNull := a.hasRow("not", "null")
	switch {
	case a.has("references", "check"):
		j.refuse(ConstraintScans)
	case a.has("primary", "unique"):
		j.refuse(IndexLocks)
	case a.has("generated"), a.has("serial", "bigserial", "smallserial", "serial4", "serial8", "serial2"):
		j.refuse(RewritesTable)
	case !a.has("default") && notNull:
		j.refuse(NotNullWithoutDefault)
	case a.has("default") && !a.constantDefault():
		j.refuse(VolatileDefault)
	}
}

func (j *judge) addConstraint(table string, a *reader) {
	constraint := table + "." + a.table()
	delete(j.dropped, constraint)
	switch {
	case a.words("unique", "using", "index"):
	case a.next().is("unique", "primary", "exclude"):
		j.refuse(IndexLocks)
	case !a.next().is("check", "foreign"):
		j.refuse(Unknown)
	case !a.hasRow("not", "valid"):
		j.refuse(ConstraintScans)
	case a.words("check", "("):
		column := a.table()
		if a.words("is", "not", "null", ")", "not", "valid") && a.end() {
			j.checks[constraint] = table + "." + column
		}
	}
}

// validate reads the whole table, which hinders nobody unless the transaction holds other locks meanwhile.
func (j *judge) validate(table string, a *reader) {
	if j.transaction && len(j.up) > 2 {
		j.refuse(ValidateHoldsLocks)
	}
	if column, ok := j.checks[table+"."+a.table()]; ok {
		j.proven[column] = true
	}
}

func (j *judge) alterColumn(table string, a *reader) {
	a.words("column")
	column := table + "." + a.table()
	switch {
	case a.words("type"), a.words("set", "data", "type"):
		j.refuse(RewritesTable)
	case a.words("set", "not", "null"):
		if !j.proven[column] {
			j.refuse(SetNotNullScans)
		}
	case a.words("set", "default"), a.words("drop", "not", "null"), a.words("set", "statistics"):
		j.expand()
	case a.words("drop", "default"):
		j.contractStep()
	default:
		j.refuse(Unknown)
	}
}

// constantDefault tells whether the value is computed once and not for each row:
// a literal, signed or cast, or the time of the transaction.
func (r *reader) constantDefault() bool {
	r.skipTo("default")
	r.words("-")
	switch t := r.take(); {
	case t.kind == text, t.kind == number, t.is("true", "false", "null", "current_timestamp"):
	case t.is("now") && r.words("(", ")"):
	default:
		return false
	}
	for r.words("::") {
		if t := r.take(); t.kind != word || r.next().is("(", ".") {
			return false
		}
		r.words("[", "]")
	}
	if r.words("not", "null") || r.words("null") {
		return r.end()
	}
	return r.end()
}

// reader walks along the tokens of a statement or of a part of one.
type reader struct {
	list []token
	at   int
}

func (r *reader) line() int { return r.list[0].line }

func (r *reader) end() bool { return r.at >= len(r.list) }

func (r *reader) next() token {
	if r.end() {
		return token{kind: sign}
	}
	return r.list[r.at]
}

func (r *reader) take() token {
	t := r.next()
	r.at++
	return t
}

// words passes over these words when they come next.
func (r *reader) words(list ...string) bool {
	for i, w := range list {
		if r.at+i >= len(r.list) || !r.list[r.at+i].is(w) {
			return false
		}
	}
	r.at += len(list)
	return true
}

// table reads a name, qualified or not; public's are the same as unqualified ones.
func (r *reader) table() string {
	n := r.take().text
	for r.words(".") {
		if last := r.take().text; n == "public" {
			n = last
		} else {
			n += "." + last
		}
	}
	return n
}

// has tells whether one of the words comes anywhere from here on.
func (r *reader) has(list ...string) bool {
	return !r.end() && slices.ContainsFunc(r.list[r.at:], func(t token) bool { return t.is(list...) })
}

// hasRow tells whether the words come anywhere from here on, one behind the other.
func (r *reader) hasRow(list ...string) bool {
	for at := r.at; at < len(r.list); at++ {
		if (&reader{r.list, at}).words(list...) {
			return true
		}
	}
	return false
}

// skipTo moves behind the word, or to the end.
func (r *reader) skipTo(w string) {
	for !r.end() && !r.take().is(w) {
		continue
	}
}

// after is what follows the last such word; empty when there is none.
func (r *reader) after(w string) (found string) {
	for at := r.at; at+1 < len(r.list); at++ {
		if r.list[at].is(w) {
			found = (&reader{r.list, at + 1}).table()
		}
	}
	return found
}

// actions cuts what is left at the commas that are outside of brackets.
func (r *reader) actions() [][]token {
	var out [][]token
	depth, begin := 0, r.at
	for ; !r.end(); r.at++ {
		switch t := r.next(); {
		case t.is("(", "["):
			depth++
		case t.is(")", "]"):
			depth--
		case t.is(",") && depth == 0:
			out = append(out, r.list[begin:r.at])
			begin = r.at + 1
		}
	}
	if begin < r.at {
		out = append(out, r.list[begin:r.at])
	}
	return slices.DeleteFunc(out, func(a []token) bool { return len(a) == 0 })
}
