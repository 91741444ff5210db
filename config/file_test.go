package config

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
)

func loadYAML(t *testing.T, content string) (*Settings, error) {
	t.Helper()
	return loadEnv(with(production(), "CONFIG_FILE", writeFile(t, "settings.yaml", content)))
}

func TestYAMLValues(t *testing.T) {
	t.Parallel()
	s, err := loadYAML(t, `# a comment
log_level: debug
request_timeout: "7s"
max_body_bytes: 4096
migrate_on_start: true
rate_limit_user: 5/1s
disk_path: /data # and here
cors_allowed_origins: [https://a.dev, "https://b.dev"]
trusted_proxies:
  - 10.0.0.0/8
  - ::1
clerk_audience: one, two
secret_key_fallbacks:
  - `+otherKey+`
  - "with, a comma`+otherKey+`"
redis_url: rediss://app:V4lkeyPw77@cache.acme.dev:6379/0
sentry_dsn:
http_addr: ~
ops_addr: ""
clerk_webhook_secret: []
clerk_jwt_key: |
  `+strings.ReplaceAll(strings.TrimSpace(rsaPEM(t, 2048)), "\n", "\n  ")+`
`)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]any{
		"level":     {s.LogLevel, slog.LevelDebug},
		"timeout":   {s.RequestTimeout, 7 * time.Second},
		"body":      {s.MaxBodyBytes, int64(4096)},
		"migrate":   {s.MigrateOnStart, true},
		"rate":      {s.RateLimitUser, Rate{5, time.Second}},
		"disk":      {s.DiskPath, "/data"},
		"cors":      {s.CORSAllowedOrigins, []string{"https://a.dev", "https://b.dev"}},
		"proxies":   {len(s.TrustedProxies), 2},
		"audience":  {s.ClerkAudience, []string{"one", "two"}},
		"fallbacks": {len(s.SecretKeyFallbacks), 2},
		"comma":     {s.SecretKeyFallbacks[1].Reveal(), "with, a comma" + otherKey},
		"pem":       {s.ClerkJWTKey, rsaPEM(t, 2048)},
		"http":      {s.HTTPAddr, ":8080"},
		"ops":       {s.OpsAddr, "127.0.0.1:9090"},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s = %#v, want %#v", name, pair[0], pair[1])
		}
	}
}

func TestYAMLFilesWithNothingInThem(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "\n", "# only a comment\n", "---\n", "{}\n", "null\n"} {
		if _, err := loadYAML(t, content); err != nil {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestYAMLFaults(t *testing.T) {
	t.Parallel()
	const hidden = "hidden-word-99"
	for _, test := range []struct{ name, content, variable, says string }{
		{"unknown key", "nonsense: " + hidden, "CONFIG_FILE", `"nonsense" on line 1`},
		{"unknown key near a known one", "log_leve: " + hidden, "CONFIG_FILE", "did you mean log_level?"},
		{"upper case", "LOG_LEVEL: info", "CONFIG_FILE", "lower case: log_level"},
		{"mixed case", "Log_level: info", "CONFIG_FILE", "lower case: log_level"},
		{"the file itself", "config_file: " + hidden, "CONFIG_FILE", "unknown key"},
		{"_file of what is no secret", "http_addr_file: " + hidden, "CONFIG_FILE", "unknown key"},
		{"a key that looks like a credential", "sk_live_" + "hiddenword99" + ": x", "CONFIG_FILE", "unknown key on line 1"},
		{"a key that is no name", "? [a, " + hidden + "]\n: x", "CONFIG_FILE", "unknown key on line 1"},
		{"merge key", "<<: {log_level: info}", "CONFIG_FILE", "unknown key"},
		{"duplicate", "log_level: info\nlog_level: warn", "LOG_LEVEL", "twice (line 2)"},
		{"duplicate secret", "secret_key: a\nsecret_key: " + hidden, "SECRET_KEY", "twice"},
		{"nested", "log_level:\n  deep: " + hidden, "LOG_LEVEL", "nested map"},
		{"nested secret", "secret_key: {deep: " + hidden + "}", "SECRET_KEY", "nested map"},
		{"list for one value", "log_level: [info]", "LOG_LEVEL", "single value"},
		{"list for a secret", "secret_key: [" + hidden + "]", "SECRET_KEY", "single value"},
		{"list of maps", "cors_allowed_origins: [{a: " + hidden + "}]", "CORS_ALLOWED_ORIGINS", "plain values"},
		{"list of null", "cors_allowed_origins: [~]", "CORS_ALLOWED_ORIGINS", "plain values"},
		{"list of empty text", `cors_allowed_origins: [""]`, "CORS_ALLOWED_ORIGINS", "place 1"},
		{"alias", "log_format: &x json\nlog_level: *x", "LOG_LEVEL", "aliases"},
		{"tag", "log_level: !!binary aW5mbw==", "LOG_LEVEL", "tags"},
		{"own tag", "log_level: !mine info", "LOG_LEVEL", "tags"},
		{"text for a number", "max_body_bytes: many", "MAX_BODY_BYTES", "whole number"},
		{"float for a number", "max_body_bytes: 1.0", "MAX_BODY_BYTES", "whole number"},
		{"octal for a number", "max_body_bytes: 0o17", "MAX_BODY_BYTES", "whole number"},
		{"number for a duration", "request_timeout: 30", "REQUEST_TIMEOUT", "duration"},
		{"yes for a truth value", "debug: yes", "DEBUG", "true or false"},
		{"number for a key", "secret_key: 12345", "SECRET_KEY", "50"},
		{"broken rule", "log_level: loud", "LOG_LEVEL", "debug, info, warn or error"},
		{"not YAML", "secret_key: [" + hidden, "CONFIG_FILE", "line"},
		{"unknown anchor", "secret_key: *" + "hiddenword99", "CONFIG_FILE", "YAML"},
		{"tabs", "\tsecret_key: " + hidden, "CONFIG_FILE", "YAML"},
		{"a list", "- " + hidden, "CONFIG_FILE", "flat list of name: value"},
		{"plain text", hidden, "CONFIG_FILE", "flat list of name: value"},
		{"two documents", "log_level: info\n---\nsecret_key: " + hidden, "CONFIG_FILE", "one YAML document"},
		{"two documents, the second broken", "log_level: info\n---\n[" + hidden, "CONFIG_FILE", "one YAML document"},
		{"not UTF-8", "log_level: \xff\xfe" + hidden, "CONFIG_FILE", "YAML"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			env := with(production(), "CONFIG_FILE", writeFile(t, "settings.yaml", test.content))
			if test.variable != "CONFIG_FILE" {
				delete(env, test.variable)
			}
			faults := faultsOf(t, env)
			wantOnly(t, faults, test.variable)
			if !strings.Contains(faults.Error(), test.says) {
				t.Errorf("error does not say %q: %v", test.says, faults)
			}
			wantHidden(t, "the error", faults.Error(), hidden, "hiddenword99")
		})
	}
}

func TestYAMLSecretFiles(t *testing.T) {
	t.Parallel()
	key := writeFile(t, "key", goodKey+"\n")
	env := with(without(production(), "SECRET_KEY"), "CONFIG_FILE", writeFile(t, "c.yaml", "secret_key_file: "+key+"\n"))
	if s := mustLoad(t, env); s.SecretKey.Reveal() != goodKey {
		t.Error("secret_key_file is not read")
	}
}

func TestConfigFileFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{dir, dir + "/missing.yaml", "missing.yaml"} {
		faults := faultsOf(t, with(production(), "CONFIG_FILE", path))
		wantOnly(t, faults, "CONFIG_FILE")
	}
	if faults := faultsOf(t, with(production(), "CONFIG_FILE", dir+"/missing.yaml")); !strings.Contains(faults.Error(), dir+"/missing.yaml") {
		t.Errorf("error does not name the path: %v", faults)
	}
}
