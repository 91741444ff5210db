package config

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheFirewallsSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := LoadFirewall(Options{Environ: []string{"WAF_UPSTREAM=http://api:8080/", "PATH=/bin", "WAF_MODE= "}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Upstream.String() != "http://api:8080" || s.HTTPAddr != ":8080" || s.OpsAddr != "127.0.0.1:9090" || s.DetectOnly || s.ParanoiaLevel != 1 ||
		s.AnomalyThreshold != 5 || s.RulesDir != "" || s.MaxBodyBytes != 65536 || s.TrustedProxies != nil || s.RequestTimeout != 130*time.Second ||
		s.DrainDelay != 5*time.Second || s.ShutdownTimeout != 30*time.Second {
		t.Errorf("defaults: %+v", s)
	}
	s, err = LoadFirewall(Options{Environ: []string{
		"WAF_UPSTREAM=https://[2001:db8::1]", "WAF_HTTP_ADDR=127.0.0.1:0", "WAF_OPS_ADDR=127.0.0.1:0", "WAF_MODE=detection-only", "WAF_PARANOIA_LEVEL=4",
		"WAF_ANOMALY_THRESHOLD=1000", "WAF_RULES_DIR=" + dir, "WAF_MAX_BODY_BYTES=1048576", "WAF_TRUSTED_PROXIES=10.0.0.0/8, 192.0.2.1",
		"WAF_REQUEST_TIMEOUT=1h", "WAF_DRAIN_DELAY=0s", "WAF_SHUTDOWN_TIMEOUT=1ms",
	}})
	if err != nil {
		t.Fatal(err)
	}
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")}
	if !s.DetectOnly || s.ParanoiaLevel != 4 || s.RulesDir != dir || !slices.Equal(s.TrustedProxies, proxies) || s.Upstream.Host != "[2001:db8::1]" {
		t.Errorf("%+v", s)
	}
}

func TestWrongSettingsOfTheFirewall(t *testing.T) {
	t.Parallel()
	const good = "WAF_UPSTREAM=http://api"
	for _, wrong := range []string{
		"WAF_UPSTREAM=", "WAF_UPSTREAM=api:8080", "WAF_UPSTREAM=ftp://api", "WAF_UPSTREAM=http://", "WAF_UPSTREAM=http://api/v1", "WAF_UPSTREAM=http://u:p@api",
		"WAF_UPSTREAM=http://api?x", "WAF_UPSTREAM=http://api?", "WAF_UPSTREAM=http://api#x", "WAF_UPSTREAM=http://api:0", "WAF_UPSTREAM=http://api:99999",
		"WAF_UPSTREAM=http://api:80?key=hunter2", "WAF_UPSTREAM=http://api:80/#hunter2", "WAF_UPSTREAM=http://[api?hunter2",
		"WAF_HTTP_ADDR=8080", "WAF_HTTP_ADDR=:http", "WAF_OPS_ADDR=:8080", "WAF_OPS_ADDR=0.0.0.0:8080", "WAF_OPS_ADDR=127.0.0.1:8080", "WAF_OPS_ADDR=127.0.0.1:08080",
		"WAF_MODE=On", "WAF_PARANOIA_LEVEL=0", "WAF_PARANOIA_LEVEL=5", "WAF_PARANOIA_LEVEL=01",
		"WAF_ANOMALY_THRESHOLD=0", "WAF_RULES_DIR=/nowhere/at/all", "WAF_RULES_DIR=.", "WAF_MAX_BODY_BYTES=0", "WAF_MAX_BODY_BYTES=1048577",
		"WAF_TRUSTED_PROXIES=0.0.0.0/0", "WAF_TRUSTED_PROXIES=0.0.0.0/1,128.0.0.0/1", "WAF_TRUSTED_PROXIES=::/0", "WAF_TRUSTED_PROXIES=proxy", "WAF_TRUSTED_PROXIES=10.0.0.1,", "WAF_REQUEST_TIMEOUT=30", "WAF_REQUEST_TIMEOUT=0s",
		"WAF_DRAIN_DELAY=-1s", "WAF_SHUTDOWN_TIMEOUT=0s", "WAF_PARANOIA=2",
	} {
		name, value, _ := strings.Cut(wrong, "=")
		_, err := LoadFirewall(Options{Environ: []string{good, wrong}})
		var faults Faults
		if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Variable != name {
			t.Errorf("%s: %v", wrong, err)
		} else if text := err.Error(); strings.Contains(value, "u:p@") && strings.Contains(text, "u:p") || strings.Contains(text, "hunter2") {
			t.Errorf("%s: the fault tells a secret: %v", wrong, err)
		}
	}
	// All at once.
	_, err := LoadFirewall(Options{Environ: []string{"WAF_MODE=off", "WAF_PARANOIA_LEVEL=9", "WAF_UPSTREAM=x"}})
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 3 {
		t.Errorf("%v", err)
	}
}

func TestTheReadmeListsTheFirewallsSettings(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, v := range FirewallReference() {
		shown := "none"
		switch {
		case v.Name == "WAF_UPSTREAM":
			shown = "required"
		case v.Default != "":
			shown = "`" + v.Default + "`"
		}
		want.WriteString("| `" + v.Name + "` | " + shown + " | " + v.Rule + " |\n")
	}
	if !strings.Contains(string(readme), want.String()) {
		t.Errorf("the README's table of the firewall's settings should be\n%s", want.String())
	}
}
