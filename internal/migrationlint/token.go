package migrationlint

import (
	"errors"
	"fmt"
	"strings"
)

// kind says what a token is.
type kind int

const (
	word   kind = iota // an unquoted name or keyword, in lower case
	name               // a quoted name, as written inside of its quotes
	text               // a string, of whatever quotes; what is in it is kept
	number             // begins with a digit
	sign               // one character of punctuation, or ::
)

// token is one piece of SQL.
type token struct {
	kind kind
	text string
	line int // from 1
}

func (t token) is(words ...string) bool {
	if t.kind != word && t.kind != sign {
		return false
	}
	for _, w := range words {
		if t.text == w {
			return true
		}
	}
	return false
}

// lexer cuts SQL as PostgreSQL's does (its documentation, chapter 4.1), with
// standard_conforming_strings on. It knows every kind of quote and nested comments.
type lexer struct {
	src  []rune
	at   int
	line int
}

// tokens cuts SQL into tokens. The error names the line of a quote or comment that does not end.
func tokens(src string, firstLine int) ([]token, error) {
	l := &lexer{src: []rune(src), line: firstLine}
	var list []token
	for {
		if err := l.skipBlank(); err != nil {
			return nil, err
		}
		if l.at >= len(l.src) {
			return list, nil
		}
		line := l.line
		k, s, err := l.next()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		list = append(list, token{k, s, line})
	}
}

func (l *lexer) peek(ahead int) rune {
	if l.at+ahead >= len(l.src) {
		return 0
	}
	return l.src[l.at+ahead]
}

// take moves on by n characters and returns them.
func (l *lexer) take(n int) string {
	s := string(l.src[l.at:min(l.at+n, len(l.src))])
	l.at = min(l.at+n, len(l.src))
	l.line += strings.Count(s, "\n")
	return s
}

// skipBlank passes over white space and comments.
func (l *lexer) skipBlank() error {
	for l.at < len(l.src) {
		switch {
		case strings.ContainsRune(" \t\n\r\f\v", l.peek(0)): // to PostgreSQL other blanks are letters
			l.take(1)
		case l.peek(0) == '-' && l.peek(1) == '-':
			for l.at < len(l.src) && l.peek(0) != '\n' && l.peek(0) != '\r' {
				l.take(1)
			}
		case l.peek(0) == '/' && l.peek(1) == '*':
			if err := l.skipComment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

func (l *lexer) skipComment() error {
	begin, depth := l.line, 0
	for l.at < len(l.src) {
		switch {
		case l.peek(0) == '/' && l.peek(1) == '*':
			l.take(2)
			depth++
		case l.peek(0) == '*' && l.peek(1) == '/':
			l.take(2)
			if depth--; depth == 0 {
				return nil
			}
		default:
			l.take(1)
		}
	}
	return fmt.Errorf("line %d: the comment does not end", begin)
}

func (l *lexer) next() (kind, string, error) {
	c := l.peek(0)
	switch {
	case c == '\'':
		s, err := l.quoted('\'', false)
		return text, s, err
	case c == '"':
		s, err := l.quoted('"', false)
		return name, s, err
	case c == '$' && l.dollarTag() != "":
		s, err := l.dollarQuoted(l.dollarTag())
		return text, s, err
	case isNameStart(c):
		return l.word()
	case isDigit(c):
		return number, l.while(func(r rune) bool { return isNamePart(r) || r == '.' }), nil
	case c == ':' && l.peek(1) == ':':
		return sign, l.take(2), nil
	}
	return sign, l.take(1), nil
}

// word reads a name, or a string whose prefix (E, B, X, N, U&) looks like one.
func (l *lexer) word() (kind, string, error) {
	w := strings.Map(lower, l.while(isNamePart))
	switch {
	case l.peek(0) == '\'' && (w == "e" || w == "b" || w == "x" || w == "n"):
		s, err := l.quoted('\'', w == "e")
		return text, s, err
	case w == "u" && l.peek(0) == '&' && (l.peek(1) == '\'' || l.peek(1) == '"'):
		l.take(1)
		quote := l.peek(0)
		s, err := l.quoted(quote, false)
		if quote == '"' { // its escapes are not read here, so it could be any other name
			return name, "U&" + s, errors.Join(err, errors.New(`write the name without U&""`))
		}
		return text, s, err
	}
	return word, w, nil
}

func (l *lexer) while(ok func(rune) bool) string {
	n := 0
	for l.at+n < len(l.src) && ok(l.src[l.at+n]) {
		n++
	}
	return l.take(n)
}

// quoted reads up to the closing quote; a doubled one stands for itself, and in E” strings a backslash protects what follows.
func (l *lexer) quoted(quote rune, backslash bool) (string, error) {
	l.take(1)
	var s strings.Builder
	for l.at < len(l.src) {
		switch c := l.peek(0); {
		case c == quote && l.peek(1) == quote:
			s.WriteString(l.take(2)[:1])
		case c == quote:
			l.take(1)
			return s.String(), nil
		case backslash && c == '\\':
			s.WriteString(l.take(2))
		default:
			s.WriteString(l.take(1))
		}
	}
	return "", fmt.Errorf("a quote %c does not end", quote)
}

// dollarTag is the opening $tag$ here, or empty.
func (l *lexer) dollarTag() string {
	n := 1
	for isNamePart(l.peek(n)) && l.peek(n) != '$' && (n > 1 || !isDigit(l.peek(n))) {
		n++
	}
	if l.peek(n) != '$' {
		return ""
	}
	return string(l.src[l.at : l.at+n+1])
}

func (l *lexer) dollarQuoted(tag string) (string, error) {
	l.take(len([]rune(tag)))
	rest := string(l.src[l.at:])
	end := strings.Index(rest, tag)
	if end < 0 {
		return "", fmt.Errorf("the quote %s does not end", tag)
	}
	s := l.take(len([]rune(rest[:end])))
	l.take(len([]rune(tag)))
	return s, nil
}

// To PostgreSQL all that is not ASCII is a letter, and has no lower case.
func isNameStart(r rune) bool {
	return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80
}

func isNamePart(r rune) bool { return isNameStart(r) || isDigit(r) || r == '$' }

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func lower(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// statements cuts tokens at the semicolons.
func statements(list []token) [][]token {
	var out [][]token
	begin := 0
	for i, t := range list {
		if t.is(";") {
			if i > begin {
				out = append(out, list[begin:i])
			}
			begin = i + 1
		}
	}
	if begin < len(list) {
		out = append(out, list[begin:])
	}
	return out
}
