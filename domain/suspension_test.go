package domain

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

var suspensionStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestSuspendNamesWhatChanged(t *testing.T) {
	now := suspensionStart
	hour, day := now.Add(time.Hour), now.Add(24*time.Hour)
	p := NewProfile("user_1", "handle", now.Add(-time.Hour))
	steps := []struct {
		name    string
		at      time.Time
		do      func(time.Time) ([]string, error)
		changed []string
		status  Status
	}{
		{"suspend", now, func(at time.Time) ([]string, error) { return p.Suspend(Suspension{"a", &hour}, at) },
			[]string{"status", "suspended_reason", "suspended_until"}, StatusSuspended},
		{"again", now, func(at time.Time) ([]string, error) { return p.Suspend(Suspension{" a ", &hour}, at) }, nil, StatusSuspended},
		{"longer", now, func(at time.Time) ([]string, error) { return p.Suspend(Suspension{"a", &day}, at) }, []string{"suspended_until"}, StatusSuspended},
		{"for good", now, func(at time.Time) ([]string, error) { return p.Suspend(Suspension{"b", nil}, at) },
			[]string{"suspended_reason", "suspended_until"}, StatusSuspended},
		{"reactivate", now, p.Reactivate, []string{"status", "suspended_reason"}, StatusActive},
		{"again", now, p.Reactivate, nil, StatusActive},
		{"for an hour", now, func(at time.Time) ([]string, error) { return p.Suspend(Suspension{"a", &hour}, at) },
			[]string{"status", "suspended_reason", "suspended_until"}, StatusSuspended},
		{"reactivate when it has ended", hour, p.Reactivate, nil, StatusActive},
		{"suspend anew after its end", hour, func(at time.Time) ([]string, error) { return p.Suspend(Suspension{"a", nil}, at) },
			[]string{"status", "suspended_until"}, StatusSuspended},
	}
	version := p.Version
	for _, s := range steps {
		changed, err := s.do(s.at)
		if err != nil || !slices.Equal(changed, s.changed) || p.StatusAt(s.at) != s.status {
			t.Errorf("%s: %v, %v, %s", s.name, changed, err, p.StatusAt(s.at))
		}
		if len(s.changed) > 0 {
			version++
		}
		if p.Version != version {
			t.Errorf("%s: version %d, want %d", s.name, p.Version, version)
		}
	}
}

func TestSuspensionRules(t *testing.T) {
	now := suspensionStart
	past, far := now.Add(-time.Nanosecond), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		s    Suspension
		want string
	}{
		"no reason":     {Suspension{"", nil}, "/reason too_short"},
		"spaces":        {Suspension{" \u2003", nil}, "/reason too_short"},
		"long":          {Suspension{strings.Repeat("é", 501), nil}, "/reason too_long"},
		"two lines":     {Suspension{"a\nb", nil}, "/reason control_characters"},
		"no UTF-8":      {Suspension{"\xff", nil}, "/reason invalid_utf8"},
		"past":          {Suspension{"a", &past}, "/until out_of_range"},
		"now":           {Suspension{"a", &now}, "/until out_of_range"},
		"in 8000 years": {Suspension{"a", &far}, "/until out_of_range"},
		"both":          {Suspension{"", &past}, "/reason too_short /until out_of_range"},
	} {
		p := NewProfile("user_1", "handle", now)
		before := *p
		_, err := p.Suspend(c.s, now)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, f := range e.Fields() {
			got = append(got, f.Pointer+" "+f.Code)
		}
		if strings.Join(got, " ") != c.want || p.Status != before.Status || p.Version != before.Version {
			t.Errorf("%s: %v; %+v", name, got, p)
		}
	}
	p := NewProfile("user_1", "handle", now)
	if _, err := p.Suspend(Suspension{strings.Repeat("é", 500), nil}, now); err != nil {
		t.Errorf("500 characters: %v", err)
	}
}

func TestRecentlySignedIn(t *testing.T) {
	now := suspensionStart
	age := func(d time.Duration) *time.Duration { return &d }
	for name, c := range map[string]struct {
		p    Principal
		want bool
	}{
		"just now":                     {Principal{FactorAge: age(0), IssuedAt: now}, true},
		"10 minutes":                   {Principal{FactorAge: age(10 * time.Minute), IssuedAt: now}, true},
		"10 minutes, used 59 s later":  {Principal{FactorAge: age(10 * time.Minute), IssuedAt: now.Add(-59 * time.Second)}, true},
		"10 minutes, used 60 s later":  {Principal{FactorAge: age(10 * time.Minute), IssuedAt: now.Add(-time.Minute)}, false},
		"11 minutes":                   {Principal{FactorAge: age(11 * time.Minute), IssuedAt: now}, false},
		"a token that lives for hours": {Principal{FactorAge: age(0), IssuedAt: now.Add(-11 * time.Minute)}, false},
		"not told":                     {Principal{IssuedAt: now}, false},
		"clocks 5 s apart":             {Principal{FactorAge: age(10 * time.Minute), IssuedAt: now.Add(5 * time.Second)}, true},
	} {
		if got := c.p.RecentlySignedIn(now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWhatOwnersSeeOfTheTrail(t *testing.T) {
	hashes := NewPseudonymizer("key")
	caller := Caller{Principal: Principal{UserID: "user_1", Impersonator: "user_2"}, ProfileID: NewID(suspensionStart), RequestID: "r", Network: "192.0.2.0/24"}
	profile := NewID(suspensionStart)
	byAdmin := AdminAuditEvent(ActionProfileSuspended, profile, caller, hashes, []string{"status"}, suspensionStart)
	if *byAdmin.ActorID != caller.ProfileID || byAdmin.ActorKind != ActorAdmin || byAdmin.Impersonator == nil {
		t.Errorf("%+v", byAdmin)
	}
	seen := byAdmin.SeenByOwner()
	if seen.ActorID != nil || seen.Impersonator != nil || seen.RequestID != "" || seen.ClientNetwork != "" {
		t.Errorf("the owner learns who: %+v", seen)
	}
	if seen.ID != byAdmin.ID || seen.Action != byAdmin.Action || seen.ActorKind != ActorAdmin || !slices.Equal(seen.ChangedFields, byAdmin.ChangedFields) {
		t.Errorf("the owner learns too little: %+v", seen)
	}
	own := OwnAuditEvent(ActionProfileUpdated, profile, caller, hashes, nil, suspensionStart).SeenByOwner()
	if own.RequestID != "r" || own.ClientNetwork == "" || own.Impersonator == nil {
		t.Errorf("of their own acts: %+v", own)
	}
}
