package config

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTyposAreFaults(t *testing.T) {
	t.Parallel()
	for name, meant := range map[string]string{
		"DEBUGG": "DEBUG", "DEBU": "DEBUG", "SECRET_KEYS": "SECRET_KEY", "SECRETKEY": "SECRET_KEY", "SERCET_KEY": "SECRET_KEY",
		"SECRET-KEY": "SECRET_KEY", "ENVIRONMEMT": "ENVIRONMENT", "DATABSE_URL": "DATABASE_URL", "DATABASE_URI": "DATABASE_URL",
		"SENTRY_DNS": "SENTRY_DSN", "ALLOWED_HOST": "ALLOWED_HOSTS", "REDIS_URI": "REDIS_URL", "CONFIG_FIEL": "CONFIG_FILE",
		"MIGRATE_AT_START": "", "MIGRATE_OM_START": "MIGRATE_ON_START", "SECRET_KEY_FLIE": "SECRET_KEY_FILE", "LOGLEVEL": "LOG_LEVEL",
		"CLERK_WEBHOOK_SECRETS": "CLERK_WEBHOOK_SECRET", "CLERK_JWT_KEYS": "CLERK_JWT_KEY", "REDIS_URL_FIL": "REDIS_URL_FILE",
		"XDEBUG": "DEBUG", "RATE_LIMIT_IPS": "RATE_LIMIT_IP", "DEBUG\n": "DEBUG",
	} {
		env := with(production(), name, "value-nobody-shows")
		if meant == "" {
			mustLoad(t, env)
			continue
		}
		faults := faultsOf(t, env)
		wantOnly(t, faults, printable(name))
		if !strings.HasSuffix(faults.Error(), "did you mean "+meant+"?") || strings.Count(faults.Error(), "\n") != 1 {
			t.Errorf("%q: %v", name, faults)
		}
		wantHidden(t, "the error", faults.Error(), "value-nobody-shows")
	}
}

func TestAnOrdinaryEnvironmentHasNoTypos(t *testing.T) {
	t.Parallel()
	ordinary := strings.Fields(`PATH HOME USER LOGNAME SHELL PWD OLDPWD LANG LC_ALL TERM TZ TMPDIR TEMP TMP HOSTNAME HOST PORT ADDR EDITOR PAGER
		DEBIAN_FRONTEND PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGSSLMODE PGDATA POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB
		HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy SSL_CERT_FILE SSL_CERT_DIR
		GOPATH GOROOT GOCACHE GOFLAGS GOPROXY GODEBUG GOMAXPROCS GOMEMLIMIT CGO_ENABLED CI GITHUB_TOKEN GITHUB_ENV
		KUBERNETES_SERVICE_HOST KUBERNETES_PORT VALKEY_PORT VALKEY_SERVICE_HOST REDIS_PORT REDIS_HOST REDIS_PASSWORD DATABASE_HOST DB_HOST DB_URL
		AWS_REGION AWS_SECRET_ACCESS_KEY NODE_ENV ENV APP_ENV RAILS_ENV JAVA_HOME SSH_AUTH_SOCK XDG_RUNTIME_DIR DISPLAY MAIL SHLVL _
		DOCKER_HOST COMPOSE_PROJECT_NAME SYSTEMD_EXEC_PID INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET LISTEN_FDS MEMORY_PRESSURE_WATCH
		TEST_DATABASE_URL TEST_VALKEY_URL SENTRY_ENVIRONMENT SENTRY_RELEASE NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY
		OTEL_EXPORTER_OTLP_CERTIFICATE OTEL_SERVICE_NAME OTEL_LOG_LEVEL debug log_level Debug`)
	env := production()
	for _, name := range ordinary {
		env[name] = "anything"
	}
	mustLoad(t, env)
}

func TestAKnownNameIsNoTypoOfAnother(t *testing.T) {
	t.Parallel()
	env := map[string]string{}
	for name := range knownVariables() {
		env[name] = "x"
	}
	var faults Faults
	checkTypos(env, &faults)
	if len(faults) > 0 {
		t.Error(faults)
	}
}

// reference is the textbook Damerau-Levenshtein distance (optimal string
// alignment), against which the direct test for one edit is held.
func reference(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

func TestOneEditAgreesWithTheDistance(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[AB_]{0,6}`)
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		if got, want := oneEdit(a, b), reference(a, b) == 1; got != want {
			t.Fatalf("oneEdit(%q, %q) = %v, the distance is %d", a, b, got, reference(a, b))
		}
	})
}
