package domain_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/domain"
)

// caught runs f and tells of its panic.
func caught(f func()) (p *domain.Panic) {
	defer func() { p = domain.NewPanic(recover()) }()
	f()
	return nil
}

func throwAgain(f func()) {
	defer func() { panic(recover()) }()
	f()
}

func indexed(list []int) { _ = list[0] }

func thrown(v any) { panic(v) }

func TestAPanicTellsOfItsPlaceAndNotOfItsValue(t *testing.T) {
	const secret = "grace@example.test"
	for _, c := range []struct {
		name  string
		f     func()
		value string
		in    string
	}{
		{"text", func() { thrown(secret) }, "string", "domain_test.thrown"},
		{"error", func() { thrown(errors.New(secret)) }, "*errors.errorString", "domain_test.thrown"},
		{"the runtime's", func() { indexed(nil) }, "runtime error: index out of range [0] with length 0", "domain_test.indexed"},
		{"nil pointer", func() { _ = (*slog.Logger)(nil).Handler() }, "runtime error: invalid memory address or nil pointer dereference", "slog.(*Logger).Handler"},
		{"wrapped", func() {
			thrown(fmt.Errorf("%s: %w", secret, caughtRuntimeError()))
		}, "runtime error: index out of range [0] with length 0", "domain_test.thrown"},
		{"thrown again", func() { throwAgain(func() { thrown(secret) }) }, "string", "domain_test.thrown"},
	} {
		p := caught(c.f)
		frames := p.Frames()
		if p.Value() != c.value || strings.Contains(p.Error(), secret) || len(frames) == 0 || !strings.HasSuffix(frames[0].Function, c.in) {
			t.Errorf("%s: %q in %+v", c.name, p.Value(), frames)
		}
	}
}

func caughtRuntimeError() (err error) {
	defer func() { err, _ = recover().(error) }()
	indexed(nil)
	return nil
}

func TestAFaultShowsTypesAndCodes(t *testing.T) {
	const secret = "grace@example.test"
	own := domain.NewError(domain.Internal, domain.CodeInternal, secret)
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "unknown"},
		{errors.New(secret), "*errors.errorString, *errors.errorString"},
		{own, "*domain.Error, internal, *domain.Error"},
		{fmt.Errorf("%s: %w", secret, own.WithCause(errors.New(secret))),
			"*errors.errorString, internal, *fmt.wrapError > *domain.Error > *errors.errorString"},
		{errors.Join(errors.New(secret), own), "*errors.errorString, internal, *errors.joinError > *errors.errorString"},
		{own.WithCause(caught(func() { thrown(secret) })), "panic: string"},
	} {
		attr := domain.FaultAttr(c.err)
		if got := attr.Value.Resolve().String(); got != c.want || attr.Key != domain.FaultKey {
			t.Errorf("%T shows %q, want %q", c.err, got, c.want)
		}
	}
}
