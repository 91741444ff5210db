package rest

import (
	"errors"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-playground/validator/v10"
	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
)

// readQuery fills the request type's string and int fields from the query
// parameters of their json names and checks its validate tags. A parameter that
// is unknown, given twice or breaks its rule is refused with 400: a misspelt
// filter that is passed over would show everybody.
func readQuery(c echo.Context, request any) error {
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return malformed("The query string cannot be read.").WithCause(err)
	}
	fields := queryFields(reflect.ValueOf(request).Elem())
	for name, given := range values {
		field, known := fields[name]
		switch {
		case !known:
			return malformed("The query string has a parameter that this route does not know.")
		case len(given) > 1:
			return malformed("The query parameter " + name + " is given more than once.")
		case given[0] == "" && name != "q": // an empty search box asks for all; an empty filter is a mistake
			return malformed("The query parameter " + name + " is empty.")
		case !utf8.ValidString(given[0]):
			return malformed("The query parameter " + name + " must be valid UTF-8.")
		}
		if err := setField(field, name, given[0]); err != nil {
			return err
		}
	}
	var broken validator.ValidationErrors
	if errors.As(shape.Struct(request), &broken) {
		return malformed("The query parameter " + broken[0].Field() + " " + expectations[broken[0].Tag()] + ".")
	}
	return nil
}

// queryFields lists the fields by their names; embedded structs count as their fields.
func queryFields(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for _, f := range reflect.VisibleFields(v.Type()) {
		if !f.Anonymous {
			fields[jsonName(f)] = v.FieldByIndex(f.Index)
		}
	}
	return fields
}

func setField(field reflect.Value, name, value string) error {
	if field.Kind() == reflect.String {
		field.SetString(value)
		return nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || strconv.Itoa(n) != value { // no sign, space or leading zero
		return malformed("The query parameter " + name + " must be a whole number.")
	}
	field.SetInt(int64(n))
	return nil
}

// expectations completes the sentence about a parameter, by the tag it breaks.
var expectations = map[string]string{
	"min":          "is out of range",
	"max":          "is out of range",
	"status":       "must be active or suspended",
	"profile_sort": "must be created_at, -created_at or handle",
	"audit_action": "must be the name of an action, such as profile.updated",
	"rfc3339":      "must be a time such as 2026-03-01T12:00:00Z (RFC 3339; a + is written %2B)",
	"id":           "must be a UUID",
	"line":         "must not hold control characters",
}

// pageRequest is what every list takes.
type pageRequest struct {
	Limit  int    `json:"limit" validate:"min=1,max=200"` // domain.MaxPageSize
	Cursor string `json:"cursor" validate:"max=2048"`
}

func firstPage() pageRequest { return pageRequest{Limit: domain.DefaultPageSize} }

// listResponse is what every list answers.
type listResponse[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"` // null on the last page
}

func listOf[S, T any](page domain.Page[S], view func(*S) T) listResponse[T] {
	out := listResponse[T]{Data: make([]T, len(page.Items))}
	for i := range page.Items {
		out.Data[i] = view(&page.Items[i])
	}
	if page.Next != "" {
		out.NextCursor = &page.Next
	}
	return out
}

// timeParam reads a time that was checked already; nil for an empty one. In UTC
// the same moment is the same filter, to which cursors are bound, however it is written.
func timeParam(value string) *time.Time {
	t, err := parseTime(value)
	if err != nil {
		return nil
	}
	t = t.UTC()
	return &t
}

// timeForm is RFC 3339's, section 5.6, as far as [time.Parse] is not strict: that
// takes a comma, an hour of one digit, and offsets of 24 hours, which no time can
// be encoded with again.
var timeForm = regexp.MustCompile(`^.{10}T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):\d\d)$`)

func parseTime(value string) (time.Time, error) {
	if !timeForm.MatchString(value) {
		return time.Time{}, errNoTime
	}
	return time.Parse(time.RFC3339, value)
}

var errNoTime = errors.New("not a time of RFC 3339")

// validTimeParam tells whether the time can be a filter: within the years 0 to
// 9999 (RFC 3339, section 1) in UTC too.
func validTimeParam(value string) bool {
	t, err := parseTime(value)
	return err == nil && t.UTC().Year() >= 0 && t.UTC().Year() <= 9999
}

func knownAction(value string) bool {
	return slices.Contains(domain.AuditActions(), domain.AuditAction(value))
}
