package runbooks_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// toolPatience allows for a tool to be built, once.
const toolPatience = 10 * time.Minute

// Every shell block is one that a shell can read.
func TestShellBlocksParse(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		for _, b := range p.Of("sh") {
			found++
			check := exec.CommandContext(t.Context(), "bash", "-n")
			check.Stdin = strings.NewReader(b.Text)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s.md:%d: %v: %s", p.Name, b.Line, err, out)
			}
		}
	}
	if found < 25 {
		t.Errorf("only %d blocks were found", found)
	}
}

// Every PromQL block is one expression that Prometheus can read: as rules, they are given to promtool.
func TestPromQLParses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), toolPatience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "../../internal/tools/tool", "promtool").Output()
	if err != nil {
		t.Fatalf("there is no promtool: %v", err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: runbooks\n  rules:\n")
	found := 0
	for _, p := range pages(t) {
		for _, b := range p.Of("promql") {
			found++
			fmt.Fprintf(&rules, "  - {record: 'line:%d', labels: {page: %q}, expr: %q}\n", b.Line, p.Name, b.Text)
		}
	}
	if found < 20 {
		t.Errorf("only %d blocks were found", found)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if told, err := exec.CommandContext(ctx, strings.TrimSpace(string(out)), "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, told)
	}
}
