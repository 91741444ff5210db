package domain

import "strings"

// irregularTags are the grandfathered tags that the grammar does not cover
// (RFC 5646, section 2.1, production irregular).
var irregularTags = setOf(
	"en-gb-oed", "i-ami", "i-bnn", "i-default", "i-enochian", "i-hak", "i-klingon", "i-lux", "i-mingo", "i-navajo",
	"i-pwn", "i-tao", "i-tay", "i-tsu", "sgn-be-fr", "sgn-be-nl", "sgn-ch-de",
)

// wellFormedLanguageTag checks the grammar of RFC 5646, section 2.1, and that
// no variant or extension repeats (section 2.2.9). Languages of four to eight
// letters fit the grammar, but none was ever registered: they are refused.
// Whether the other subtags are registered is not looked at.
func wellFormedLanguageTag(tag string) bool {
	tag = strings.ToLower(tag)
	if irregularTags[tag] {
		return true
	}
	t := subtags(strings.Split(tag, "-"))
	for _, s := range t {
		if len(s) < 1 || len(s) > 8 || !all(s, isAlphanum) {
			return false
		}
	}
	if t[0] == "x" {
		return len(t) > 1
	}
	if !t.next(2, 3, isAlpha) {
		return false
	}
	for range 3 { // extended languages
		if len(t) == 0 || !t.next(3, 3, isAlpha) {
			break
		}
	}
	t.next(4, 4, isAlpha)                              // script
	_ = t.next(2, 2, isAlpha) || t.next(3, 3, isDigit) // region
	return t.variants() && t.extensions() && (len(t) == 0 || t[0] == "x" && len(t) > 1)
}

// subtags are what is left of a tag to read.
type subtags []string

// next takes one subtag when it has such a length and such characters.
func (t *subtags) next(least, most int, class func(byte) bool) bool {
	if len(*t) == 0 || len((*t)[0]) < least || len((*t)[0]) > most || !all((*t)[0], class) {
		return false
	}
	*t = (*t)[1:]
	return true
}

func (t *subtags) variants() bool {
	seen := map[string]bool{}
	for len(*t) > 0 {
		v := (*t)[0]
		if len(v) < 4 || len(v) == 4 && !isDigit(v[0]) {
			break
		}
		if seen[v] {
			return false
		}
		seen[v] = true
		*t = (*t)[1:]
	}
	return true
}

func (t *subtags) extensions() bool {
	seen := map[string]bool{}
	for len(*t) > 0 && len((*t)[0]) == 1 && (*t)[0] != "x" {
		singleton := (*t)[0]
		*t = (*t)[1:]
		if seen[singleton] || !t.next(2, 8, isAlphanum) {
			return false
		}
		seen[singleton] = true
		for t.next(2, 8, isAlphanum) {
		}
	}
	return true
}

func all(s string, class func(byte) bool) bool {
	for i := range len(s) {
		if !class(s[i]) {
			return false
		}
	}
	return true
}
