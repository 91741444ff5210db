package migrationlint

import "slices"

// addColumn judges ADD COLUMN, which is a moment's work when every row has the same value in it, or none.
func (j *judge) addColumn(table string, a *reader) {
	a.words("column")
	maybe := a.words("if", "not", "exists")
	column := table + "." + a.table()
	if serial := a.next().text; slices.Contains([]string{"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"}, serial) {
		j.refuse(RewritesTable)
		return
	}
	if !j.columnType(a) {
		j.refuse(Unknown) // a domain's check or default is computed for each row
		return
	}
	null, notNull := true, false
	for !a.end() {
		switch {
		case a.words("not", "null"):
			notNull = true
		case a.words("null"):
		case a.words("collate"), a.words("constraint"):
			a.table()
		case a.words("default"):
			constant, nothing := j.constant(a)
			if null = nothing; !constant {
				j.refuse(VolatileDefault)
				return
			}
		default:
			j.refuse(columnFault(a))
			return
		}
	}
	if notNull && null {
		j.refuse(NotNullWithoutDefault)
	}
	if !maybe || !j.earlier["column "+column] {
		j.fresh[column] = null
	}
}

// columnFault is why a column may not have what comes next.
func columnFault(a *reader) Rule {
	switch {
	case a.next().is("references", "check"):
		return ConstraintScans
	case a.next().is("primary", "unique"):
		return IndexLocks
	case a.next().is("generated"):
		return RewritesTable
	}
	return Unknown
}

// types are PostgreSQL's own by their usual names (its documentation, chapter 8). None is a domain.
var types = []string{
	"smallint", "int2", "integer", "int", "int4", "bigint", "int8", "real", "float4", "float", "float8", "numeric", "decimal", "boolean", "bool",
	"text", "varchar", "char", "character", "bytea", "uuid", "json", "jsonb", "date", "time", "timetz", "timestamp", "timestamptz", "interval",
	"inet", "cidr", "macaddr", "bit", "varbit", "xml", "tsvector", "tsquery", "int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange",
}

// columnType passes over a type, when it is one of PostgreSQL's or was made by a CREATE TYPE.
func (j *judge) columnType(a *reader) bool {
	t := a.next()
	double := a.words("double", "precision")
	if !double {
		a.take()
	}
	if !double && !j.types[t.text] && !j.earlier["type "+t.text] && (t.kind != word || !slices.Contains(types, t.text)) || a.next().is(".") {
		return false
	}
	a.words("varying")
	if a.next().is("(") {
		a.inBrackets()
	}
	_ = a.words("with", "time", "zone") || a.words("without", "time", "zone")
	for a.words("[") {
		a.skipTo("]")
	}
	return true
}

// constant passes over a value that is computed once and not for each row: a literal,
// signed or cast, or the time of the transaction. null tells that it is no value.
func (j *judge) constant(a *reader) (ok, null bool) {
	a.words("-")
	switch t := a.take(); {
	case t.kind == text, t.kind == number, t.is("true", "false", "current_timestamp"):
	case t.is("null"):
		null = true
	case t.is("now") && a.words("(", ")"):
	default:
		return false, false
	}
	for a.words("::") {
		if !j.columnType(a) {
			return false, false
		}
	}
	return a.end() || a.next().is("not", "null", "collate", "constraint", "references", "check", "primary", "unique", "generated"), null
}
