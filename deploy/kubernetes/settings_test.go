package kubernetes_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/profile-api/profile-api/config"
)

// variables are what a workload's first container gets to see.
func variables(c cluster, kind string) map[string]string {
	vars := map[string]string{}
	container := object{"env": c.one(kind).at(under(inContainer, "env")...)}
	for _, from := range list(c.one(kind).at(under(inContainer, "envFrom")...)) {
		data, _ := c.named("ConfigMap", text(at(from, "configMapRef", "name"))).at("data").(map[string]any)
		for name, value := range data {
			vars[name] = text(value)
		}
	}
	maps.Copy(vars, env(container))
	return vars
}

// strangers are variables that neither the program, nor Go, nor OpenTelemetry reads.
func strangers(vars map[string]string) (names []string) {
	known := map[string]bool{"GOMEMLIMIT": true}
	for _, e := range config.Reference() {
		known[e.Variable] = true
		if e.File {
			known[e.Variable+"_FILE"] = true
		}
	}
	for name := range vars {
		if !known[name] && !strings.HasPrefix(name, "OTEL_") {
			names = append(names, name)
		}
	}
	return names
}

func TestEveryVariableIsASetting(t *testing.T) {
	for _, overlay := range overlays {
		for _, kind := range []string{"Rollout", "Job"} {
			vars := variables(load(t, overlay), kind)
			if names := strangers(vars); len(names) > 0 || len(vars) < 10 {
				t.Errorf("%s, %s: nobody reads %q of %d variables", overlay, kind, names, len(vars))
			}
			for _, secret := range config.Reference() {
				if secret.Secret && vars[secret.Variable] != "" {
					t.Errorf("%s, %s: %s is written in the manifest", overlay, kind, secret.Variable)
				}
			}
		}
	}
	if got := strangers(map[string]string{"DB_MAX_OPEN_CONN": "1", "LOG_LEVEL": "info"}); !slices.Equal(got, []string{"DB_MAX_OPEN_CONN"}) {
		t.Errorf("a slip goes unseen: %q", got)
	}
}

// dummies are what the Secrets hold, by folder and key: well formed, and of nobody.
func dummies(mode string) map[string]string {
	return map[string]string{
		"profile-api/secret_key":             "dummy:Qw3rT!yU9#iOp@7sD$fGh^2jK&lZx*5cV(bNm)1aE-=+_R;tY",
		"profile-api/clerk_secret_key":       "sk_" + mode + "_" + strings.Repeat("dummy", 8),
		"profile-api/clerk_webhook_secret":   "whsec_ZHVtbXktZHVtbXktZHVtbXktZHVtbXktZHVtbXk=",
		"profile-api/database_url":           "postgres://profile_api:dummy@pgbouncer.data.svc:5432/profiles?sslmode=verify-full",
		"profile-api/valkey_url":             "valkeys://:dummy@valkey.data.svc:6379/0",
		"profile-api/sentry_dsn":             "disabled",
		"profile-api-migration/database_url": "postgres://profile_owner:dummy@postgresql.data.svc:5432/profiles?sslmode=verify-full",
	}
}

// configure runs the real program's `config` as a container of the manifests would, with dummy secrets mounted.
func configure(t *testing.T, program string, c cluster, kind string, secrets map[string]string) (output string, ok bool) {
	t.Helper()
	mounted := t.TempDir()
	for path, content := range secrets {
		path = filepath.Join(mounted, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "config")
	cmd.Env = []string{}
	for name, value := range variables(c, kind) {
		if strings.HasSuffix(name, "_FILE") && !mountedBy(c, kind, filepath.Dir(value)) {
			t.Errorf("the %s mounts nothing at the folder of %s", kind, name)
		}
		cmd.Env = append(cmd.Env, name+"="+strings.Replace(value, "/run/secrets", mounted, 1))
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err == nil
}

// mountedBy tells whether a workload mounts a Secret at that folder.
func mountedBy(c cluster, kind, folder string) bool {
	volumes := map[string]string{}
	for _, v := range list(c.one(kind).pod().at("spec", "volumes")) {
		volumes[text(at(v, "name"))] = text(at(v, "secret", "secretName"))
	}
	for _, m := range list(c.one(kind).at(under(inContainer, "volumeMounts")...)) {
		if at(m, "mountPath") == folder && volumes[text(at(m, "name"))] != "" {
			return true
		}
	}
	return false
}

// asThisTest is -race when this test was built so: everything but the linking is in the build cache then.
func asThisTest() []string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" && s.Value == "true" {
				return []string{"-race"}
			}
		}
	}
	return nil
}

func TestTheProgramAcceptsTheSettings(t *testing.T) {
	program := filepath.Join(t.TempDir(), "profile-api")
	run(t, nil, "go", append([]string{"build", "-o", program}, append(asThisTest(), "../../cmd/profile-api")...)...)
	for _, overlay := range overlays {
		c, mode := load(t, overlay), map[string]string{"staging": "test", "production": "live"}[overlay]
		for _, kind := range []string{"Rollout", "Job"} {
			out, ok := configure(t, program, c, kind, dummies(mode))
			if !ok || strings.Contains(out, "dummy:") {
				t.Errorf("%s, %s: the program refuses the settings, or shows a secret:\n%s", overlay, kind, out)
			}
			// The roles are masked, so that the hosts have to tell the two URLs apart.
			if host := map[string]string{"Rollout": "@pgbouncer.data.svc", "Job": "@postgresql.data.svc"}[kind]; !strings.Contains(out, host) {
				t.Errorf("%s: the %s does not use its own DATABASE_URL:\n%s", overlay, kind, out)
			}
		}
	}
	c := load(t, "production")
	set(t, c.one("ConfigMap"), "*", "data", "ALLOWED_HOSTS")
	if out, ok := configure(t, program, c, "Rollout", dummies("live")); ok || !strings.Contains(out, "ALLOWED_HOSTS") {
		t.Errorf("a production that answers to every host is accepted:\n%s", out)
	}
	secrets := dummies("live")
	delete(secrets, "profile-api/valkey_url")
	if out, ok := configure(t, program, load(t, "production"), "Rollout", secrets); ok || !strings.Contains(out, "VALKEY_URL") {
		t.Errorf("a missing secret goes unseen:\n%s", out)
	}
}
