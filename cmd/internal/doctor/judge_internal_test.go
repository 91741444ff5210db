package doctor

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/repository/postgres"
	"github.com/profile-api/profile-api/repository/valkey"
)

// Judgements of servers that a test cannot have: old ones, and those beyond this machine.
func TestJudgements(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	late := func(shown time.Duration, grain time.Duration) Finding {
		return skew("clock", "its", now.Add(shown), grain, now, now.Add(time.Second))
	}
	for _, c := range []struct {
		what string
		got  Finding
		want Status
		says string
	}{
		{"PostgreSQL 13", databaseVersion(&postgres.Inspection{Version: 130014}), Fail, "PostgreSQL 13.14"},
		{"PostgreSQL 14", databaseVersion(&postgres.Inspection{Version: 140000}), Pass, "14.0"},
		{"in the clear", databaseTLS(&postgres.Inspection{}, true), Fail, "sslmode=verify-full"},
		{"in the clear, staging", databaseTLS(&postgres.Inspection{}, false), Warn, "sslmode=verify-full"},
		{"unproven", databaseTLS(&postgres.Inspection{Encrypted: true}, true), Warn, "not checked"},
		{"proven", databaseTLS(&postgres.Inspection{Encrypted: true, CertificateProven: true}, true), Pass, "checked"},
		{"the database's limit counts", databaseConnections(&postgres.Inspection{MaxConnections: 97, RoleConnections: -1, BaseConnections: 10}, 25), Fail, "10 connections"},
		{"no schema", auditTrail(&postgres.Inspection{}), Warn, "migrate up"},
		{"Valkey in the clear", valkeyTLS(&valkey.Inspection{}), Warn, "rediss://"},
		{"Valkey encrypted", valkeyTLS(&valkey.Inspection{Encrypted: true}), Pass, ""},
		{"an old Redis", valkeyVersion(&valkey.Inspection{Product: "redis", Version: "5.0.14"}), Warn, "6.2"},
		{"Redis 10", valkeyVersion(&valkey.Inspection{Product: "redis", Version: "10.0"}), Pass, "redis 10.0"},
		{"a strange version", valkeyVersion(&valkey.Inspection{Product: "valkey", Version: "8.1\x1b[31m@u"}), Pass, "valkey 8.131mu"},
		{"random", valkeyEviction(&valkey.Inspection{Eviction: "volatile-random", MaxMemory: 1}, false), Warn, "volatile-ttl"},
		{"all keys, no stream", valkeyEviction(&valkey.Inspection{Eviction: "allkeys-lru", MaxMemory: 1}, false), Pass, ""},
		{"within the journey", late(500*time.Millisecond, 0), Pass, ""},
		{"2 s ahead", late(3*time.Second, 0), Pass, ""},
		{"a little more", late(3*time.Second+time.Millisecond, 0), Warn, "ahead of"},
		{"5 s ahead", late(6*time.Second, 0), Warn, "ahead of"},
		{"more", late(6*time.Second+time.Millisecond, 0), Fail, "ahead of"},
		{"3 s behind in whole seconds", late(-3*time.Second, time.Second), Pass, ""},
		{"a little more, in whole seconds", late(-4*time.Second, time.Second), Warn, "behind"},
		{"much more, in whole seconds", late(-7*time.Second, time.Second), Fail, "behind"},
	} {
		if c.got.Status != c.want || !strings.Contains(c.got.Message+c.got.Remedy, c.says) {
			t.Errorf("%s: %+v, want %s and %q", c.what, c.got, c.want, c.says)
		}
	}
}

// The README and ADR 28 promise 8 s, whatever hangs.
func TestTheLongestLookIsAsPromised(t *testing.T) {
	for file, promise := range map[string]string{
		"../../../README.md":               fmt.Sprintf("given up after %.0f s", (limit + grace).Seconds()),
		"../../../docs/adr/0028-doctor.md": fmt.Sprintf("%.0f s each; what does not end %.0f s later is given up", limit.Seconds(), grace.Seconds()),
	} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(strings.Join(strings.Fields(string(text)), " "), promise) {
			t.Errorf("%s does not say %q: %v", file, promise, err)
		}
	}
}

// A look that does not even end with its context is given up, and all others are heard.
func TestALookThatNeverEndsIsGivenUp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	well := func(name string) look {
		return look{[]string{name}, nil, func(context.Context) []Finding { return []Finding{pass(name, "well")} }}
	}
	got := ask(t.Context(), []look{
		well("a"), {[]string{"b", "c"}, nil, func(context.Context) []Finding { <-release; return nil }}, well("d"),
		{[]string{"e"}, nil, func(ctx context.Context) []Finding { <-ctx.Done(); return []Finding{fail("e", "late", "hurry")} }},
	}, nil, 200*time.Millisecond, time.Second)
	var said []string
	for _, f := range got {
		said = append(said, f.Check+" "+string(f.Status))
	}
	if want := "a pass, b fail, c warn, d pass, e fail"; strings.Join(said, ", ") != want || got[4].Message != "late" {
		t.Errorf("%+v, want %s", got, want)
	}
}

func TestCompleteSaysWhatWasNotLookedAt(t *testing.T) {
	l := look{checks: []string{"a", "b", "c"}}
	got := l.complete([]Finding{pass("c", "well"), fail("a", "broken", "mend it")})
	if got[0].Status != Fail || got[1].Check != "b" || got[1].Status != Warn || !strings.Contains(got[1].Message, "because of a") || got[2].Status != Pass {
		t.Errorf("%+v", got)
	}
	if worst(got) != Fail || worst(got[1:]) != Warn || worst(got[2:]) != Pass {
		t.Error("the worst is not the worst")
	}
}
