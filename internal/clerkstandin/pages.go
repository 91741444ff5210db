package clerkstandin

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// pageFault is a fault of the list of users from an offset on.
type pageFault struct {
	from int
	box  faultBox
}

// BreakPages makes the list of users fail as told for every offset from that one
// on, until HealPages or another BreakPages. An empty list, say, is the body [].
func (s *Server) BreakPages(from int, f Fault) {
	s.pages.Lock()
	defer s.pages.Unlock()
	s.pages.from = from
	s.pages.box.set(&f)
}

// HealPages ends that; requests that hang are answered now.
func (s *Server) HealPages() { s.pages.box.set(nil) }

type pages struct {
	sync.Mutex
	pageFault
	asked []int
}

// PagesAsked lists the offsets of all requests for a page of users, in their order.
func (s *Server) PagesAsked() []int {
	s.pages.Lock()
	defer s.pages.Unlock()
	return append([]int(nil), s.pages.asked...)
}

func (s *Server) faultyPages(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		s.pages.Lock()
		s.pages.asked = append(s.pages.asked, offset)
		from := s.pages.from
		s.pages.Unlock()
		if offset < from {
			next(w, r)
			return
		}
		s.pages.box.serve(w, r, next)
	}
}

// rateLimit counts requests in windows that follow each other.
type rateLimit struct {
	sync.Mutex
	requests int // zero: no limit
	per      time.Duration
	begun    time.Time
	counted  int
	refused  int
}

// SetRateLimit lets so many requests to the users API through in each window of
// that length and answers the others as Clerk does: 429, with the seconds until
// the next window as Retry-After. Zero requests lift the limit.
func (s *Server) SetRateLimit(requests int, per time.Duration) {
	s.limit.Lock()
	defer s.limit.Unlock()
	s.limit.requests, s.limit.per, s.limit.begun, s.limit.counted = requests, per, time.Time{}, 0
}

// RateLimited is how many requests were answered with 429 by the limit.
func (s *Server) RateLimited() int {
	s.limit.Lock()
	defer s.limit.Unlock()
	return s.limit.refused
}

// take gives the time until the next window when the request is one too many.
func (l *rateLimit) take(now time.Time) (wait time.Duration, ok bool) {
	l.Lock()
	defer l.Unlock()
	if l.requests == 0 {
		return 0, true
	}
	if now.Sub(l.begun) >= l.per {
		l.begun, l.counted = now, 0
	}
	if l.counted++; l.counted <= l.requests {
		return 0, true
	}
	l.refused++
	return l.begun.Add(l.per).Sub(now), false
}

func (s *Server) limited(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		wait, ok := s.limit.take(s.opts.Clock.Now())
		if ok {
			next(w, r)
			return
		}
		w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		apiError(w, http.StatusTooManyRequests, "too_many_requests", "Too many requests. Please try again in a bit.")
	}
}
