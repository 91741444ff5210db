package config

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Line is one setting as operators may see it.
type Line struct {
	Variable string `json:"variable"`
	Value    string `json:"value"` // masked for secrets
	Source   Source `json:"source"`
	Via      string `json:"via,omitempty"` // the variable that the value came by, when it is another one
}

// Describe lists every setting in the order of [Settings], secrets masked. Of
// a URL with credentials it shows the scheme and host, where these are certain.
func (s *Settings) Describe() []Line {
	values := reflect.ValueOf(s).Elem()
	lines := make([]Line, 0, len(fields()))
	for _, f := range fields() {
		origin := s.origins[f.name]
		if origin.Source == "" {
			origin.Source = SourceUnset
		}
		lines = append(lines, Line{
			Variable: f.name,
			Value:    show(f, values.Field(f.index)),
			Source:   origin.Source,
			Via:      origin.Via,
		})
	}
	return lines
}

// show is the text of one field.
func show(f field, v reflect.Value) string {
	switch x := v.Interface().(type) {
	case Secret:
		return showSecret(f, x)
	case []Secret:
		return strings.TrimSuffix(strings.Repeat(mask+",", len(x)), ",")
	case []string:
		return strings.Join(x, ",")
	case []netip.Prefix:
		texts := make([]string, len(x))
		for i, prefix := range x {
			texts[i] = prefix.String()
		}
		return strings.Join(texts, ",")
	case time.Duration:
		return formatDuration(x)
	case slog.Level:
		return strings.ToLower(x.String())
	case bool:
		return strconv.FormatBool(x)
	default:
		if f.secret && !v.IsZero() {
			return mask
		}
		return fmt.Sprint(x)
	}
}

// showSecret masks, but for the host of a URL that parses beyond doubt. A host
// without credentials before it could be a password in the wrong place, unless it looks like a host.
func showSecret(f field, secret Secret) string {
	raw := secret.Reveal()
	var hosts string
	problem := "no URL"
	switch f.name {
	case "DATABASE_URL":
		var db databaseURL
		db, problem = parseDatabaseURL(raw)
		hosts = strings.Join(db.hosts, ",")
	case "VALKEY_URL":
		hosts, problem = parseValkeyURL(raw)
	case "SENTRY_DSN":
		if raw == SentryDisabled {
			return raw
		}
		hosts, problem = parseSentryDSN(raw)
	}
	certain := strings.Contains(raw, "@") || strings.Contains(hosts, ".") || isLoopback(hosts)
	if problem != "" || !certain {
		return secret.String()
	}
	scheme, _, _ := strings.Cut(raw, "://")
	return scheme + "://" + mask + "@" + hosts
}

// WriteTable writes Describe for people: variable, value, source.
func (s *Settings) WriteTable(w io.Writer) error { return WriteTable(w, s.Describe()) }

// WriteTable writes lines, from [Inspect] for instance, as a table for people.
func WriteTable(w io.Writer, lines []Line) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(table, "VARIABLE\tVALUE\tSOURCE"); err != nil {
		return err
	}
	for _, line := range lines {
		source := string(line.Source)
		if line.Via != "" {
			source += " (" + line.Via + ")"
		}
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\n", line.Variable, line.Value, source); err != nil {
			return err
		}
	}
	return table.Flush()
}

// WriteJSON writes lines as an indented JSON array of [Line].
func WriteJSON(w io.Writer, lines []Line) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(lines)
}

// String lists NAME=value for every setting, secrets masked.
func (s Settings) String() string {
	var b strings.Builder
	for i, line := range s.Describe() {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(line.Variable + "=" + strconv.Quote(line.Value))
	}
	return b.String()
}

// GoString is String.
func (s Settings) GoString() string { return s.String() }

// Format writes String whatever the verb and its flags.
func (s Settings) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, s.String()) }

// MarshalJSON is an object of variables and their masked values.
func (s Settings) MarshalJSON() ([]byte, error) {
	object := make(map[string]string, len(fields()))
	for _, line := range s.Describe() {
		object[line.Variable] = line.Value
	}
	return json.Marshal(object)
}

// LogValue is a group of the masked values by variable in lower case.
func (s Settings) LogValue() slog.Value {
	attrs := make([]slog.Attr, 0, len(fields()))
	for _, line := range s.Describe() {
		attrs = append(attrs, slog.String(strings.ToLower(line.Variable), line.Value))
	}
	return slog.GroupValue(attrs...)
}
