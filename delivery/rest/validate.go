package rest

import (
	"errors"
	"reflect"
	"strings"

	"github.com/go-playground/validator/v10"

	"github.com/profile-api/profile-api/domain"
)

// shape checks which members a request type must have, by its validate tags.
// What their values may be is for the domain's rules to say, in one place.
var shape = newShape()

func newShape() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string { // faults name members as the client does
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return name
	})
	return v
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
