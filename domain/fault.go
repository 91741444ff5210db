package domain

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
)

// FaultKey is the name under which a log record carries a [Fault].
const FaultKey = "fault"

// Fault is an unexpected error in a log record: one that somebody has to look at,
// because neither the caller nor time mends it. Whoever logs such an error adds it
// once, in the record that says the most of the circumstances; what reports faults
// to people finds it there. What the record shows of it are types and codes, never
// the error's text, which may hold anything.
type Fault struct {
	Err error // nil when nothing but the outcome is known
}

// FaultAttr is a log record's attribute for err.
func FaultAttr(err error) slog.Attr { return slog.Any(FaultKey, Fault{err}) }

// PanicAttr is FaultAttr when err comes from a panic, and else nothing.
func PanicAttr(err error) slog.Attr {
	if _, thrown := (Fault{err}).Panic(); thrown {
		return FaultAttr(err)
	}
	return slog.Attr{}
}

// unexpected is an error that is answered as one that passes.
type unexpected struct{ error }

func (u unexpected) Unwrap() error { return u.error }

// Unexpected marks err as a fault whatever is answered: the caller may be told to
// try again, and somebody has to look at it all the same.
func Unexpected(err error) error { return unexpected{err} }

// IsUnexpected tells whether err, or a cause of it, was marked.
func IsUnexpected(err error) bool {
	var u unexpected
	return errors.As(err, &u)
}

// LogValue is what the log shows.
func (f Fault) LogValue() slog.Value {
	return slog.StringValue(strings.Join(append([]string{f.Type()}, f.Details()...), ", "))
}

// Type names the fault: a panic's value or the innermost error by its type.
func (f Fault) Type() string {
	if p, ok := f.Panic(); ok {
		return "panic: " + p.value
	}
	if f.Err == nil {
		return "unknown"
	}
	chain := f.chain()
	return chain[len(chain)-1]
}

// Details tells the fault apart from others of its type by what can hold no value:
// our code, PostgreSQL's SQLSTATE, and the types on the way to the cause.
func (f Fault) Details() (list []string) {
	if _, ok := f.Panic(); ok || f.Err == nil {
		return nil
	}
	var own *Error
	if errors.As(f.Err, &own) {
		list = append(list, string(own.Code()))
	}
	var database interface{ SQLState() string }
	if errors.As(f.Err, &database) {
		list = append(list, "SQLSTATE "+database.SQLState())
	}
	return append(list, strings.Join(f.chain(), " > "))
}

// Panic is the panic that the fault comes from.
func (f Fault) Panic() (*Panic, bool) {
	var p *Panic
	return p, errors.As(f.Err, &p)
}

// mostWrapped bounds the walk along an error's causes.
const mostWrapped = 20

// chain lists the types from the outermost error to its cause.
func (f Fault) chain() (types []string) {
	for err := f.Err; err != nil && len(types) < mostWrapped; err = causeOf(err) {
		types = append(types, fmt.Sprintf("%T", err))
	}
	return types
}

// causeOf takes one step inwards. Of several joined errors it follows the first
// that is more than the kind of one of ours.
func causeOf(err error) error {
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return errors.Unwrap(err)
	}
	for _, cause := range many.Unwrap() {
		if _, kind := cause.(Kind); !kind { //nolint:errorlint // this one itself
			return cause
		}
	}
	return nil
}

// Panic is a recovered panic as an error.
type Panic struct {
	value string
	stack []uintptr
}

// mostFrames is how much of a stack is kept: recursion without end has millions.
const mostFrames = 100

// NewPanic takes what recover returned. It must be called while the panic is still
// on the stack, that is in the deferred function, or in one that this one calls.
func NewPanic(recovered any) *Panic {
	stack := make([]uintptr, mostFrames)
	return &Panic{describePanic(recovered), stack[:runtime.Callers(2, stack)]}
}

// describePanic names the value by its type, unless the runtime made it: what
// others say may hold what a client sent.
func describePanic(r any) string {
	var fromRuntime runtime.Error
	if e, ok := r.(error); ok && errors.As(e, &fromRuntime) {
		return fromRuntime.Error()
	}
	return fmt.Sprintf("%T", r)
}

// Error says no more than Value.
func (p *Panic) Error() string { return "panic: " + p.value }

// Value is the runtime's own words, or the type of what was thrown.
func (p *Panic) Value() string { return p.value }

// Frames is the stack from the place of the panic outwards, without what recovered
// it. Where a panic was caught and thrown again, it begins at the first throw.
func (p *Panic) Frames() (list []runtime.Frame) {
	if len(p.stack) == 0 {
		return nil
	}
	for frames, more := runtime.CallersFrames(p.stack), true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			list = nil
		case len(list) == 0 && strings.HasPrefix(f.Function, "runtime."): // how the runtime came to throw
		default:
			list = append(list, f)
		}
	}
	return list
}

// Guard runs what must not end the program: a panic of it comes back as a [*Panic],
// for whoever called to report.
func Guard(run func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = NewPanic(r)
		}
	}()
	return run()
}
