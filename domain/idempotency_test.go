package domain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/domain"
)

func TestIdempotencyKeyRule(t *testing.T) {
	for key, valid := range map[string]bool{
		"a": true, "!": true, "~": true, `"8e03978e-40d5-43dd-bc93-6894a57f9324"`: true, strings.Repeat("x", 255): true,
		"": false, strings.Repeat("x", 256): false, "a b": false, " a": false, "a\t": false, "a\x7f": false, "a\x00b": false, "é": false, "a\n": false,
	} {
		if domain.ValidIdempotencyKey(key) != valid {
			t.Errorf("%q: valid is %v", key, !valid)
		}
	}
}

// What is kept shares no memory with the answer on its way, and is never null.
func TestRecordsAreCopies(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("x", 3600))
	resp := domain.KeptResponse{Status: 200, Header: map[string]string{"ETag": "a"}, Body: []byte("a")}
	r := domain.NewIdempotencyRecord("k", "r", resp, now)
	resp.Header["ETag"], resp.Body[0] = "b", 'b'
	if r.Header["ETag"] != "a" || string(r.Body) != "a" {
		t.Errorf("%+v", r)
	}
	if want := time.Date(2026, 3, 1, 11, 0, 0, 123456000, time.UTC); !r.CreatedAt.Equal(want) || !r.ExpiresAt.Equal(want.Add(24*time.Hour)) {
		t.Errorf("%s to %s", r.CreatedAt, r.ExpiresAt)
	}
	if r := domain.NewIdempotencyRecord("k", "r", domain.KeptResponse{Status: 204}, now); r.Header == nil || r.Body == nil {
		t.Errorf("%+v", r)
	}
}
