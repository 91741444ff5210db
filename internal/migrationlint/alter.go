package migrationlint

func (j *judge) alterTable() {
	s := j.s
	s.words("if", "exists")
	s.words("only")
	table := s.table()
	if j.calls(s.list) {
		return
	}
	actions := s.actions()
	if j.made[table] {
		j.alterMade(table, actions)
		return
	}
	if len(actions) == 1 && (&reader{list: actions[0]}).words("validate", "constraint") {
		j.validate(table, &reader{list: actions[0]})
		return
	}
	tables := []string{table}
	for _, action := range actions {
		tables = append(tables, j.references(table, &reader{list: action})...)
	}
	j.locks(tables...)
	for _, first := range []bool{true, false} { // PostgreSQL drops first, whatever the order
		for _, action := range actions {
			if a := (&reader{list: action}); a.next().is("drop") == first {
				j.action(table, a)
			}
		}
	}
}

// alterMade judges an ALTER of a table that nobody knows yet, as far as it touches one that somebody does.
func (j *judge) alterMade(table string, actions [][]token) {
	j.expand()
	for _, action := range actions {
		a := &reader{list: action}
		if a.next().is("attach", "inherit") { // makes the other one part of this, or this of the other one
			j.refuse(Unknown)
		}
		if j.filled[table] && a.has("references") && !a.notValid() {
			j.refuse(ConstraintScans)
		}
	}
	j.require(table, actions)
	j.locks(j.link(table, actions)...)
}

// action judges one action on a table that is in use.
func (j *judge) action(table string, a *reader) {
	switch {
	case a.words("rename"):
		j.refuse(Rename)
	case a.words("validate"):
		j.refuse(ValidateHoldsLocks) // not the only action, and so under the lock of the others
	case a.words("add", "constraint"):
		j.addConstraint(table, a)
	case a.words("add", "check"), a.words("add", "foreign"), a.words("add", "unique"), a.words("add", "primary"), a.words("add", "exclude"):
		j.refuse(Unknown) // without a name nobody can drop or validate it
	case a.words("add"):
		j.expand()
		j.addColumn(table, a)
	case a.words("drop", "constraint"):
		j.dropConstraint(table, a)
	case a.words("drop"):
		j.contractStep()
	case a.words("alter"):
		j.alterColumn(table, a)
	default:
		j.refuse(Unknown)
	}
	if a.has("cascade") && !a.has("references") && !a.hasRow("on", "delete", "cascade") {
		j.refuse(Hidden)
	}
}

func (j *judge) addConstraint(table string, a *reader) {
	constraint := table + "." + a.table()
	delete(j.dropped, constraint)
	switch {
	case a.words("unique", "using", "index"):
		a.table()
		if !a.end() { // ON CONFLICT does not take a DEFERRABLE one
			j.refuse(Unknown)
		}
	case a.next().is("unique", "primary", "exclude"):
		j.refuse(IndexLocks)
	case !a.next().is("check", "foreign"):
		j.refuse(Unknown)
	case !a.notValid():
		j.refuse(ConstraintScans)
	case a.words("check"):
		condition := a.inBrackets()
		harmless, shown := j.onlyFresh(table, condition)
		if j.narrow(harmless); harmless && !shown {
			j.unshown[constraint] = j.s.line()
		}
		column := condition.table()
		if condition.words("is", "not", "null") && condition.end() && a.words("not", "valid") && a.end() {
			j.checks[constraint] = table + "." + column
		}
	case a.words("foreign", "key"):
		j.narrow(j.someFresh(table, a.inBrackets()) && !a.has("match"))
	}
}

// dropConstraint takes one that is made anew for the remains of a failed attempt, unless an earlier migration made it.
func (j *judge) dropConstraint(table string, a *reader) {
	remains := a.words("if", "exists")
	constraint := table + "." + a.table()
	if !remains || j.earlier[constraint] {
		j.contractAt(j.s.line())
	}
	j.dropped[constraint] = j.s.line()
	delete(j.checks, constraint)
	for column, by := range j.proven {
		if by == constraint {
			delete(j.proven, column)
		}
	}
}

// validate reads the whole table, which hinders nobody unless the transaction holds other locks meanwhile.
func (j *judge) validate(table string, a *reader) {
	a.words("validate", "constraint")
	j.waits(longestQuietWait)
	if j.transaction && len(j.up) > 2 {
		j.refuse(ValidateHoldsLocks)
	}
	constraint := table + "." + a.table()
	delete(j.unshown, constraint)
	if column, ok := j.checks[constraint]; ok {
		j.proven[column] = constraint
	}
}

func (j *judge) alterColumn(table string, a *reader) {
	a.words("column")
	column := table + "." + a.table()
	switch {
	case a.words("type"), a.words("set", "data", "type"):
		j.refuse(RewritesTable)
	case a.words("set", "not", "null"):
		j.narrow(false)
		if j.proven[column] == "" {
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
