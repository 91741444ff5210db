package rest

import (
	"errors"
	"reflect"
	"strings"
	"unicode"

	"github.com/go-playground/validator/v10"

	"github.com/profile-api/profile-api/domain"
)

// shape checks the request types by their validate tags: which members a body
// must have, and what query parameters may be. What the values of a body's
// members may be is for the domain's rules to say, in one place.
var shape = newShape()

func newShape() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(jsonName)
	for tag, holds := range map[string]func(string) bool{
		"rfc3339": validTimeParam,
		"id":      domain.ValidID,
		"line":    func(s string) bool { return strings.IndexFunc(s, unicode.IsControl) < 0 },
		"status": func(s string) bool {
			return s == string(domain.StatusActive) || s == string(domain.StatusSuspended)
		},
		"profile_sort": func(s string) bool {
			sort := domain.ProfileSort(s)
			return sort == domain.SortNewestFirst || sort == domain.SortOldestFirst || sort == domain.SortHandle
		},
		"audit_action": knownAction,
	} {
		if err := v.RegisterValidation(tag, func(fl validator.FieldLevel) bool { return holds(fl.Field().String()) }); err != nil {
			panic(err) // a tag's name is wrong: no program starts with that
		}
	}
	return v
}

// jsonName lets faults name members as the client does.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// checkShape reports each member of the request type that is missing, with its
// pointer below at.
func (p *patchReader) checkShape(at string, request any) {
	var missing validator.ValidationErrors
	if !errors.As(shape.Struct(request), &missing) {
		return
	}
	for _, m := range missing {
		p.fault(at+"/"+escapePointer(m.Field()), domain.FieldRequired, "This must be given.")
	}
}
