package domain

import (
	"errors"
	"testing"
	"time"
)

func TestCursorsHoldForOneListAndFilter(t *testing.T) {
	c := NewCursors(NewSealer("key"))
	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	filter := AuditFilter{ProfileID: "p", Since: &since}
	want := AuditPosition{OccurredAt: since.Add(time.Microsecond), ID: "id"}
	cursor, err := c.Seal("list", filter, want)
	if err != nil {
		t.Fatal(err)
	}
	same := since
	for name, open := range map[string]Cursors{"same key": c, "after a rotation": NewCursors(NewSealer("new", "key"))} {
		var got AuditPosition
		if err := open.Open("list", AuditFilter{ProfileID: "p", Since: &same}, cursor, &got); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	later := since.Add(time.Second)
	for name, err := range map[string]error{
		"other list":        c.Open("other", filter, cursor, &AuditPosition{}),
		"other filter":      c.Open("list", AuditFilter{ProfileID: "q", Since: &since}, cursor, &AuditPosition{}),
		"other time":        c.Open("list", AuditFilter{ProfileID: "p", Since: &later}, cursor, &AuditPosition{}),
		"other filter type": c.Open("list", ProfileFilter{}, cursor, &AuditPosition{}),
		"other key":         NewCursors(NewSealer("new")).Open("list", filter, cursor, &AuditPosition{}),
		"not one":           c.Open("list", filter, "abc", &AuditPosition{}),
	} {
		if !errors.Is(err, Malformed) || !HasCode(err, CodeMalformedRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
