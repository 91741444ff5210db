package rest

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/profile-api/profile-api/domain"
)

// patchReader takes the members of a merge patch apart and collects every fault
// of shape, so that a client learns all of them at once. The rules of the values
// are the domain's.
type patchReader struct {
	faults []domain.FieldError
}

// maxFaults bounds the answer: a body can hold thousands of faults.
const maxFaults = 100

func (p *patchReader) fault(pointer, code, detail string) {
	if len(p.faults) == maxFaults {
		return
	}
	p.faults = append(p.faults, domain.FieldError{Pointer: pointer, Code: code, Detail: detail})
}

// fieldNotWritable is the code of a field that is unknown, or known but not the caller's to change.
const fieldNotWritable = "unknown_field"

func (p *patchReader) unknown(pointer string) {
	p.fault(pointer, fieldNotWritable, "This field is unknown or cannot be changed here.")
}

// text reads a string or null.
func (p *patchReader) text(pointer string, v jsontext.Value) domain.Opt[string] {
	switch v.Kind() {
	case 'n':
		return domain.Null[string]()
	case '"':
		var s string
		if err := json.Unmarshal(v, &s); err == nil {
			return domain.Some(s)
		}
	}
	p.fault(pointer, domain.FieldInvalidType, "This must be a string or null.")
	return domain.Opt[string]{}
}

// object reads an object or null, as sent.
func (p *patchReader) object(pointer string, v jsontext.Value) domain.Opt[json.RawMessage] {
	switch v.Kind() {
	case 'n':
		return domain.Null[json.RawMessage]()
	case '{':
		return domain.Some(json.RawMessage(v))
	}
	p.fault(pointer, domain.FieldInvalidType, "This must be an object or null.")
	return domain.Opt[json.RawMessage]{}
}

// links reads an array of {label, url} or null. The error is for a name that
// varies by case, which makes the whole body malformed.
func (p *patchReader) links(pointer string, v jsontext.Value) (domain.Opt[[]domain.Link], error) {
	switch v.Kind() {
	case 'n':
		return domain.Null[[]domain.Link](), nil
	case '[':
	default:
		p.fault(pointer, domain.FieldInvalidType, "This must be an array or null.")
		return domain.Opt[[]domain.Link]{}, nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(v, &items); err != nil {
		return domain.Opt[[]domain.Link]{}, malformed("The body cannot be read.").WithCause(err)
	}
	links := make([]domain.Link, 0, len(items))
	for i, item := range items {
		link, err := p.link(pointer+"/"+strconv.Itoa(i), jsontext.Value(item))
		if err != nil {
			return domain.Opt[[]domain.Link]{}, err
		}
		links = append(links, link)
	}
	return domain.Some(links), nil
}

var linkFields = []string{"label", "url"}

// linkRequest is one link as sent; nil stands for a member that was not.
type linkRequest struct {
	Label *string `json:"label" validate:"required"`
	URL   *string `json:"url" validate:"required"`
}

func (p *patchReader) link(pointer string, v jsontext.Value) (domain.Link, error) {
	if v.Kind() != '{' {
		p.fault(pointer, domain.FieldInvalidType, "This must be an object with label and url.")
		return domain.Link{}, nil
	}
	list, err := members(v, linkFields)
	if err != nil {
		return domain.Link{}, err
	}
	var label, url string
	var request linkRequest
	for _, m := range list {
		at := pointer + "/" + escapePointer(m.name)
		switch m.name {
		case "label":
			label = p.requiredText(at, m.value)
			request.Label = &label
		case "url":
			url = p.requiredText(at, m.value)
			request.URL = &url
		default:
			p.unknown(at)
		}
	}
	p.checkShape(pointer, request)
	return domain.Link{Label: label, URL: url}, nil
}

// requiredText reads a string; null is none.
func (p *patchReader) requiredText(pointer string, v jsontext.Value) string {
	if v.Kind() != '"' {
		p.fault(pointer, domain.FieldInvalidType, "This must be a string.")
		return ""
	}
	return p.text(pointer, v).Value
}

// escapePointer writes a name as a token of a JSON Pointer (RFC 6901, section 3).
func escapePointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}
