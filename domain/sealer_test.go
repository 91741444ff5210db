package domain

import (
	"bytes"
	"strings"
	"testing"
)

func TestSealer(t *testing.T) {
	old, current := NewSealer("first key"), NewSealer("second key", "first key")
	text := []byte("user_2abc")
	sealed, err := old.Seal("a", text)
	if err != nil || strings.Contains(sealed, "user_2abc") {
		t.Fatalf("%q, %v", sealed, err)
	}
	for name, s := range map[string]Sealer{"the key": old, "a fallback": current} {
		if got, err := s.Open("a", sealed); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	again, err := old.Seal("a", text)
	if err != nil || again == sealed {
		t.Errorf("sealed twice alike: %v", err)
	}
	fresh, err := current.Seal("a", text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Open("a", fresh); err == nil {
		t.Error("the fallback seals")
	}
	if _, err := old.Open("b", sealed); err == nil {
		t.Error("opened for another purpose")
	}
	if _, err := NewSealer("other").Open("a", sealed); err == nil {
		t.Error("opened under another key")
	}
}

func TestSealerRefusesEveryChange(t *testing.T) {
	s := NewSealer("a key")
	sealed, err := s.Seal("a", []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		for _, c := range "Aa0_" {
			changed := sealed[:i] + string(c) + sealed[i+1:]
			if _, err := s.Open("a", changed); err == nil && changed != sealed {
				t.Fatalf("a change at %d is not noticed", i)
			}
		}
	}
	for _, bad := range []string{"", "A", "AAAA", sealed + "A", sealed + "=", sealed[1:], sealed + "\n", " " + sealed, strings.Repeat("A", 9000)} {
		if _, err := s.Open("a", bad); err == nil {
			t.Errorf("opened %q", bad)
		}
	}
}
