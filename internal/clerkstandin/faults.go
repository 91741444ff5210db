package clerkstandin

import (
	"net/http"
	"sync"
)

// Fault is how the stand-in misbehaves on the key set and the users API.
type Fault struct {
	Hang   bool              // answers nothing until healed or the client leaves
	Status int               // answers with it instead of working; 0 is 200 when Body is set
	Header map[string]string // of the faulty answer
	Body   []byte            // of the faulty answer; nil with a Status is a JSON error
}

type faultBox struct {
	mu     sync.Mutex
	fault  *Fault
	healed chan struct{}
}

// Break makes every following request of the Backend API and of the key set
// fail as told, until Heal or another Break.
func (s *Server) Break(f Fault) { s.faults.set(&f) }

// Heal ends the fault; requests that hang are answered now.
func (s *Server) Heal() { s.faults.set(nil) }

func (b *faultBox) set(f *Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.healed != nil {
		close(b.healed)
		b.healed = nil
	}
	b.fault = f
	if f != nil {
		b.healed = make(chan struct{})
	}
}

func (b *faultBox) get() (*Fault, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fault, b.healed
}

func (s *Server) faulty(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.faults.serve(w, r, next) }
}

// serve answers as the fault says, or as next does when there is none.
func (b *faultBox) serve(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	f, healed := b.get()
	switch {
	case f == nil:
		next(w, r)
	case f.Hang:
		select {
		case <-healed:
			next(w, r)
		case <-r.Context().Done():
		}
	default:
		f.answer(w)
	}
}

func (f *Fault) answer(w http.ResponseWriter) {
	for name, value := range f.Header {
		w.Header().Set(name, value)
	}
	status := f.Status
	if status == 0 {
		status = http.StatusOK
	}
	if f.Body == nil {
		apiError(w, status, "internal_clerk_error", "The stand-in was told to fail.")
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(f.Body) // a client that left cannot be told
}
