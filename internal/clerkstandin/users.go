package clerkstandin

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The Backend API's page size: the default and the most one may ask for.
const (
	defaultPage = 10
	maxPage     = 500
)

// backendAPI asks for the secret key, as api.clerk.com does.
func (s *Server) backendAPI(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || !s.secrets.valid(got) {
			apiError(w, http.StatusUnauthorized, "clerk_key_invalid", "The provided Clerk Secret Key is invalid.")
			return
		}
		next(w, r)
	}
}

func (s *Server) getUser(w http.ResponseWriter, r *http.Request) {
	p, ok := s.people.find(r.PathValue("id"))
	if !ok || p.ID != r.PathValue("id") { // the API knows ids, not names
		userNotFound(w)
		return
	}
	writeJSON(w, http.StatusOK, UserJSON(p))
}

func (s *Server) deleteUser(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !s.people.remove(id) {
		userNotFound(w)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": id, "object": "user", "deleted": true})
}

func (s *Server) listUsers(w http.ResponseWriter, r *http.Request) {
	limit, ok1 := number(r, "limit", defaultPage)
	offset, ok2 := number(r, "offset", 0)
	if !ok1 || !ok2 || limit < 1 || limit > maxPage || offset < 0 {
		apiError(w, http.StatusUnprocessableEntity, "form_param_value_invalid", "limit must be 1 to 500 and offset 0 or more.")
		return
	}
	people := s.matching(r)
	byCreation(people, r.URL.Query().Get("order_by"))
	people = people[min(offset, len(people)):]
	people = people[:min(limit, len(people))]
	out := make([]any, len(people))
	for i, p := range people {
		out[i] = UserJSON(p)
	}
	writeJSON(w, http.StatusOK, out)
}

func (s *Server) countUsers(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"object": "total_count", "total_count": len(s.matching(r))})
}

// listDomains tells the one domain of the instance, and by it who issues its tokens.
func (s *Server) listDomains(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"total_count": 1, "data": []any{map[string]any{
		"object": "domain", "id": "dmn_standin", "name": s.opts.Host, "is_satellite": false, "frontend_api_url": s.opts.Issuer,
	}}})
}

// matching applies the filters user_id, username and email_address, each of
// which may be repeated.
func (s *Server) matching(r *http.Request) []Person {
	q := r.URL.Query()
	keep := func(name, value string) bool {
		wanted := q[name]
		return len(wanted) == 0 || slices.Contains(wanted, value)
	}
	return slices.DeleteFunc(s.people.all(), func(p Person) bool {
		return !keep("user_id", p.ID) || !keep("username", p.Username) || !keep("email_address", p.Email)
	})
}

func number(r *http.Request, name string, fallback int) (int, bool) {
	raw := r.URL.Query().Get(name)
	if raw == "" {
		return fallback, true
	}
	n, err := strconv.Atoi(raw)
	return n, err == nil
}

func userNotFound(w http.ResponseWriter) {
	apiError(w, http.StatusNotFound, "resource_not_found", "No user was found with this id.")
}

func apiError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{
		"errors":         []any{map[string]any{"code": code, "message": message, "long_message": message}},
		"clerk_trace_id": "standin",
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(marshal(v)) // a client that left cannot be told
}
