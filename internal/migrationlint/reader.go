package migrationlint

import (
	"slices"
	"strings"
)

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
	n := r.part()
	for r.words(".") {
		if last := r.part(); n == "public" {
			n = last
		} else {
			n += "." + last
		}
	}
	return n
}

// part reads one part of a name; a dot inside of quotes is not the one between parts.
func (r *reader) part() string { return strings.ReplaceAll(r.take().text, ".", `"."`) }

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

// top is where the words come outside of brackets, from here on, one behind the other; -1 when they do not.
func (r *reader) top(list ...string) int {
	depth := 0
	for at := r.at; at < len(r.list); at++ {
		switch t := r.list[at]; {
		case t.is("(", "["):
			depth++
		case t.is(")", "]"):
			depth--
		case depth == 0 && (&reader{r.list, at}).words(list...):
			return at
		}
	}
	return -1
}

// notValid tells whether a constraint is said to be NOT VALID, behind its condition and not inside of it.
func (r *reader) notValid() bool { return r.top("not", "valid") >= 0 }

// inBrackets passes over a pair of brackets and returns what is inside.
func (r *reader) inBrackets() *reader {
	begin, depth := r.at+1, 0
	for !r.end() {
		switch t := r.take(); {
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		}
		if depth == 0 {
			return &reader{list: r.list[begin : r.at-1]}
		}
	}
	return &reader{list: r.list[begin:]}
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
