package migrationlint

import "slices"

// link notes that a table made here refers to others, by parts of its definition or
// actions on it, and returns those of them that are in use.
func (j *judge) link(table string, parts [][]token) (others []string) {
	for _, part := range parts {
		others = append(others, j.references(table, &reader{list: part})...)
	}
	j.linked[table] = j.linked[table] || len(others) > 0
	return others
}

// references are the tables in use that a column or constraint refers to, whose lock
// it takes. Their rows are changed and deleted by releases that know nothing of the
// rows that refer to them; and so are those of tables made here that refer to them.
func (j *judge) references(table string, r *reader) (others []string) {
	columns := r.referring()
	for r.at = 0; !r.end(); r.at++ {
		if !r.next().is("references") {
			continue
		}
		clause := &reader{list: r.list, at: r.at + 1}
		if end := clause.top("references"); end >= 0 {
			clause.list = r.list[:end]
		}
		other := clause.table()
		if j.made[other] && !j.linked[other] {
			continue
		}
		if j.made[other] {
			j.linked[table] = true
		} else {
			others = append(others, other)
		}
		if clause.next().is("(") && !clause.words("(", "id", ")") && !clause.hasRow("on", "update", "cascade") {
			j.narrow(false) // refers to what may change
		}
		required := slices.ContainsFunc(columns, func(c string) bool { return j.required[table+"."+c] })
		if !clause.hasRow("on", "delete", "cascade") && (required || !clause.hasRow("on", "delete", "set", "null")) {
			j.narrow(false)
		}
	}
	return others
}

// referring are the columns that a definition or an action is about: those of FOREIGN KEY or PRIMARY KEY, or the one it begins with.
func (r *reader) referring() (columns []string) {
	a := &reader{list: r.list}
	if a.words("add") {
		a.words("column")
		a.words("if", "not", "exists")
	} else if a.words("alter") {
		a.words("column")
	}
	if a.words("constraint") {
		a.take()
	}
	if !a.words("foreign", "key") && !a.words("primary", "key") {
		return []string{a.take().text}
	}
	if a.next().is("(") {
		for _, c := range a.inBrackets().actions() {
			columns = append(columns, c[0].text)
		}
	}
	return columns
}

// require notes the columns of a table made here that are never null.
func (j *judge) require(table string, parts [][]token) {
	for _, part := range parts {
		r := &reader{list: part}
		if r.has("primary") || r.top("not", "null") >= 0 {
			for _, column := range r.referring() {
				j.required[table+"."+column] = true
			}
		}
	}
}
