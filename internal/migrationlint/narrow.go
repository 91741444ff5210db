package migrationlint

import "slices"

// narrow marks a step after which less can be written, or deleted, than before it.
// The previous release does not know; so it is a contract step, unless it is
// harmless: where it does not touch what that release writes.
func (j *judge) narrow(harmless bool) {
	switch {
	case harmless:
		j.expand()
	case j.contract == "":
		j.refuse(Narrows)
	}
}

// operators of a condition, and functions, of which null makes null: and what is
// null, a CHECK lets pass. IS and COALESCE are not such.
var (
	operators = []string{"and", "or", "not", "in", "between", "symmetric", "like", "ilike", "similar", "to", "true", "false", "collate"}
	strict    = []string{"char_length", "length", "octet_length", "lower", "upper", "btrim", "jsonb_typeof", "jsonb_array_length", "cardinality"}
)

// onlyFresh tells whether a condition is on columns that were added here and on nothing
// else: then a row of the previous release, which leaves them out, fares as those
// do that are there already. Where they have a default, only VALIDATE shows that it fits.
func (j *judge) onlyFresh(table string, condition *reader) (harmless, shown bool) {
	list := condition.list
	shown = true
	for n, t := range list {
		call := n+1 < len(list) && list[n+1].is("(")
		switch {
		case t.kind != word && t.kind != name:
		case t.kind == word && slices.Contains(operators, t.text):
		case call && slices.Contains(strict, t.text):
		case n > 0 && list[n-1].is("::", "collate"):
		default:
			null, fresh := j.fresh[table+"."+t.text]
			if !fresh || call {
				return false, false
			}
			harmless, shown = true, shown && null
		}
	}
	return harmless, shown
}

// someFresh tells whether one of the columns listed was added here without a value:
// the previous release's rows have none in it, and so neither equal others nor refer to any.
func (j *judge) someFresh(table string, columns *reader) bool {
	return slices.ContainsFunc(columns.actions(), func(c []token) bool {
		return j.fresh[table+"."+c[0].text] && (len(c) == 1 || !c[1].is("(", "."))
	})
}

// mayStayUnique tells whether what follows the table's name in CREATE UNIQUE INDEX is harmless.
func (j *judge) mayStayUnique(table string) bool {
	s := j.s
	if s.words("using") {
		s.take()
	}
	if !s.next().is("(") {
		return false
	}
	return j.someFresh(table, s.inBrackets()) && !s.hasRow("nulls", "not", "distinct")
}

// remember notes in earlier what a migration leaves behind: indexes by their names,
// "table.constraint", "column table.column" and "type name".
func remember(f file, earlier map[string]bool) {
	for _, list := range f.up {
		s := &reader{list: list}
		switch {
		case s.words("create", "table"):
			s.words("if", "not", "exists")
			table := s.table()
			earlier[table+"."+table+"_pkey"] = true
			if s.next().is("(") {
				for _, part := range s.inBrackets().actions() {
					earlier["column "+table+"."+part[0].text] = true
					rememberConstraints(table, part, earlier)
				}
			}
		case s.words("create", "unique", "index"), s.words("create", "index"):
			s.words("concurrently")
			s.words("if", "not", "exists")
			earlier[s.table()] = true
		case s.words("create", "type"):
			earlier["type "+s.table()] = true
		case s.words("alter", "table"):
			s.words("if", "exists")
			s.words("only")
			rememberAlter(s.table(), s.actions(), earlier)
		}
	}
}

func rememberAlter(table string, actions [][]token, earlier map[string]bool) {
	for _, action := range actions {
		a := &reader{list: action}
		rememberConstraints(table, action, earlier)
		if a.words("add") && !a.next().is("constraint") {
			a.words("column")
			a.words("if", "not", "exists")
			earlier["column "+table+"."+a.table()] = true
		}
	}
}

// rememberConstraints notes the names behind ADD CONSTRAINT, or CONSTRAINT in a definition.
func rememberConstraints(table string, part []token, earlier map[string]bool) {
	for n := 0; n+1 < len(part); n++ {
		if part[n].is("constraint") && (n == 0 || !part[n-1].is("drop", "validate")) {
			earlier[table+"."+part[n+1].text] = true
		}
	}
}
