package domain

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths are counted in characters (Unicode code points).
const (
	maxDisplayName = 100
	maxBio         = 500
	maxLocation    = 100
	maxLinks       = 10
	maxLabel       = 50
	maxURL         = 2048
	maxReason      = 500
	maxLocale      = 100 // RFC 5646 sets none; the longest useful tags have about 35
)

func handleFault(handle, current string) *fault {
	switch {
	case HandleKey(handle) == HandleKey(current) && ValidHandle(handle): // only the case changes
		return nil
	case ReservedHandle(handle): // before the form: me is reserved, and too short as well
		return &fault{FieldReserved, "This handle is reserved."}
	case !ValidHandle(handle):
		return handleFormFault(handle)
	}
	return nil
}

// HandleFault gives the [FieldError] code of the rule that a new handle breaks;
// empty when it breaks none. Whether somebody has it is another question.
func HandleFault(handle string) string {
	if f := handleFault(handle, ""); f != nil {
		return f.code
	}
	return ""
}

func handleFormFault(handle string) *fault {
	f := lengthFault(handle, 3, 30)
	for i := range len(handle) {
		if !isAlphanum(handle[i]) && handle[i] != '_' {
			f = &fault{FieldInvalidFormat, "Only the letters a to z, digits and underscores."}
		}
	}
	return f
}

func cleanDisplayName(s string) (string, *fault) {
	if f := textFault(s); f != nil { // before trimming: a line break at the end is not overlooked
		return "", f
	}
	s = strings.TrimSpace(s)
	return s, lengthFault(s, 1, maxDisplayName)
}

func cleanBio(s string) (string, *fault) {
	oneLine := strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", ""), "\n", "")
	if f := textFault(oneLine); f != nil {
		return "", f
	}
	return s, lengthFault(s, 0, maxBio)
}

func cleanLocation(s string) (string, *fault) {
	if f := textFault(s); f != nil {
		return "", f
	}
	return s, lengthFault(s, 0, maxLocation)
}

func cleanLabel(s string) (string, *fault) {
	if f := textFault(s); f != nil {
		return "", f
	}
	if strings.TrimSpace(s) == "" {
		return "", lengthFault("", 1, maxLabel)
	}
	return s, lengthFault(s, 1, maxLabel)
}

// cleanThemeColor keeps the case as given.
func cleanThemeColor(s string) (string, *fault) {
	ok := len(s) == 7 && s[0] == '#'
	for i := 1; ok && i < len(s); i++ {
		ok = isDigit(s[i]) || s[i]|0x20 >= 'a' && s[i]|0x20 <= 'f'
	}
	if !ok {
		return "", &fault{FieldInvalidFormat, "Must be a colour such as #1e90ff."}
	}
	return s, nil
}

// cleanLocale keeps the case as given: RFC 5646 gives it no meaning.
func cleanLocale(s string) (string, *fault) {
	if f := lengthFault(s, 0, maxLocale); f != nil {
		return "", f
	}
	if !wellFormedLanguageTag(s) {
		return "", &fault{FieldInvalidFormat, "Must be a language tag such as en or pt-BR (BCP 47)."}
	}
	return s, nil
}

func cleanTimeZone(s string) (string, *fault) {
	if !knownTimeZone(s) {
		return "", &fault{FieldUnknown, "Must be a time zone of the IANA database, such as Europe/Paris."}
	}
	return s, nil
}

// textFault refuses what no text of ours may hold: bytes that are not UTF-8
// and control characters, which forge log lines and which PostgreSQL refuses in part.
func textFault(s string) *fault {
	if !utf8.ValidString(s) {
		return &fault{FieldInvalidUTF8, "Must be valid UTF-8."}
	}
	if strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return &fault{FieldControlCharacters, "Must not hold control characters."}
	}
	return nil
}

func lengthFault(s string, least, most int) *fault {
	switch n := utf8.RuneCountInString(s); {
	case n < least:
		return &fault{FieldTooShort, "At least " + characters(least) + "."}
	case n > most:
		return &fault{FieldTooLong, "At most " + characters(most) + "."}
	}
	return nil
}

func characters(n int) string {
	if n == 1 {
		return "1 character"
	}
	return strconv.Itoa(n) + " characters"
}
