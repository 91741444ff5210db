package rest

import (
	"io"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/domain"
)

// endless is a body whose length is not declared.
type endless struct{ io.Reader }

// Nobody reads the body of a GET or DELETE, but one over the limit is refused
// there too, before anything is done.
func TestBodiesThatNobodyReadsHaveALimit(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	w.me(t, p)
	for _, method := range []string{"GET", "HEAD", "DELETE"} {
		got := w.do(t, method, "/v1/profiles/me", endless{strings.NewReader(strings.Repeat("x", 65537))}, p.is())
		if got.want(t, 413); method != "HEAD" {
			got.problem(t, 413, domain.CodePayloadTooLarge)
		}
	}
	w.do(t, "GET", "/v1/profiles/me", endless{strings.NewReader(strings.Repeat("x", 65536))}, p.is()).want(t, 200)
	w.do(t, "DELETE", "/v1/profiles/me", endless{strings.NewReader(strings.Repeat("x", 65536))}, p.is()).want(t, 202)
}
