package config_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/config"
)

var update = flag.Bool("update", false, "write the settings table into README.md")

const (
	tableStart = "<!-- settings: kept equal to config.Reference() by config/readme_test.go -->\n"
	tableEnd   = "<!-- /settings -->"
)

// The README's table must say what the program does. After a change of the
// settings: go test ./config -run README -update
func TestREADMEListsEverySetting(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(readme), tableStart)
	table, after, closed := strings.Cut(rest, tableEnd)
	if !ok || !closed {
		t.Fatal("README.md has lost the marks around its settings table")
	}
	want := settingsTable()
	if table == want {
		return
	}
	if !*update {
		t.Fatalf("README.md's settings table is not what the program does; run: go test ./config -run README -update\nwant:\n%s", want)
	}
	if err := os.WriteFile("../README.md", []byte(before+tableStart+want+tableEnd+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

func settingsTable() string {
	var b strings.Builder
	b.WriteString("| variable | default | rule |\n| --- | --- | --- |\n")
	for _, e := range config.Reference() {
		name, value := "`"+e.Variable+"`", "none"
		if e.Alias != "" {
			name += " or `" + e.Alias + "`"
		}
		if e.Secret {
			name += " 🔒"
		}
		switch {
		case strings.Contains(e.Default, " "): // a sentence, not a value
			value = e.Default
		case e.Default != "":
			value = "`" + e.Default + "`"
		case e.Required == "always":
			value = "required"
		case e.Required == "production":
			value = "required in production"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, value, strings.ReplaceAll(e.Rule, "|", "\\|"))
	}
	b.WriteString("\n🔒 marks secrets: masked everywhere, and read from `NAME_FILE` too. The variables that begin with `OTEL_` are OpenTelemetry's own; those of them that are not listed do nothing.\n")
	return b.String()
}
