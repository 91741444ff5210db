package config

import (
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDefaultsAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, production())
	want := Settings{
		Environment:                Production,
		ClerkPublishableKey:        publishable("live", "clerk.acme.dev"),
		ClerkIssuer:                "https://clerk.acme.dev",
		ClerkAuthorizedParties:     []string{"https://app.acme.dev"},
		ClerkAPIURL:                "https://api.clerk.com/v1",
		ClerkRoleClaim:             "metadata.role",
		DBMaxOpenConns:             25,
		DBMaxIdleConns:             25,
		DBConnMaxLifetime:          10 * time.Minute,
		DBConnMaxIdleTime:          5 * time.Minute,
		DBConnectTimeout:           10 * time.Second,
		DBStatementTimeout:         30 * time.Second,
		DBLockTimeout:              10 * time.Second,
		DBIdleInTransactionTimeout: time.Minute,
		AllowedHosts:               []string{"api.acme.dev"},
		HTTPAddr:                   ":8080",
		OpsAddr:                    "127.0.0.1:9090",
		RequestTimeout:             30 * time.Second,
		AdminRequestTimeout:        120 * time.Second,
		ShutdownDrainDelay:         5 * time.Second,
		ShutdownTimeout:            30 * time.Second,
		MaxBodyBytes:               65536,
		EventsStreamMaxLen:         100000,
		RateLimitUser:              Rate{100, time.Minute},
		RateLimitIP:                Rate{100, time.Minute},
		RateLimitGlobal:            Rate{10000, time.Minute},
		RateLimitAdminBypass:       true,
		DiskPath:                   "/",
		DiskMinFreePercent:         10,
		ReconcileInterval:          6 * time.Hour,
		ReconcileMaxErasePercent:   20,
		LogLevel:                   slog.LevelInfo,
		LogFormat:                  LogJSON,
		SecurityContact:            "mailto:security@api.acme.dev",
		SecretKey:                  NewSecret(goodKey),
		ClerkSecretKey:             NewSecret(production()["CLERK_SECRET_KEY"]),
		DatabaseURL:                NewSecret(production()["DATABASE_URL"]),
		ValkeyURL:                  NewSecret(production()["VALKEY_URL"]),
		SentryDSN:                  NewSecret(production()["SENTRY_DSN"]),
		origins:                    s.origins,
	}
	got, expected := reflect.ValueOf(*s), reflect.ValueOf(want)
	for i := range got.NumField() {
		if !got.Type().Field(i).IsExported() {
			continue
		}
		if g, w := got.Field(i).Interface(), expected.Field(i).Interface(); !reflect.DeepEqual(g, w) {
			t.Errorf("%s = %#v, want %#v", got.Type().Field(i).Name, g, w)
		}
	}
}

func TestEveryVariableIsReadFromTheEnvironment(t *testing.T) {
	t.Parallel()
	given := map[string]string{
		"ENVIRONMENT": "staging", "DEBUG": "true", "SECRET_KEY": goodKey, "SECRET_KEY_FALLBACKS": otherKey,
		"CLERK_SECRET_KEY": "sk_test_x", "CLERK_PUBLISHABLE_KEY": publishable("test", "a.clerk.dev"),
		"CLERK_ISSUER": "https://login.acme.dev", "CLERK_AUTHORIZED_PARTIES": "https://a.dev, https://b.dev",
		"CLERK_ALLOW_MISSING_AZP": "true", "CLERK_AUDIENCE": "one,two", "CLERK_JWT_KEY": rsaPEM(t, 2048),
		"CLERK_API_URL": "http://clerk:8081/v1", "CLERK_WEBHOOK_SECRET": "whsec_AAECAw==,whsec_BAUGBw==",
		"CLERK_ROLE_CLAIM": "role", "DATABASE_URL": "postgres://db/p", "DB_MAX_OPEN_CONNS": "7", "DB_MAX_IDLE_CONNS": "3",
		"DB_CONN_MAX_LIFETIME": "1m", "DB_CONN_MAX_IDLE_TIME": "2m", "DB_CONNECT_TIMEOUT": "3s", "DB_STATEMENT_TIMEOUT": "4s",
		"DB_LOCK_TIMEOUT": "5s", "DB_IDLE_IN_TRANSACTION_TIMEOUT": "6s", "MIGRATE_ON_START": "true", "VALKEY_URL": "valkey://cache",
		"SENTRY_DSN": "disabled", "ALLOWED_HOSTS": "API.acme.dev:8443,.acme.dev,[::1]:80", "CORS_ALLOWED_ORIGINS": "https://c.dev",
		"TRUSTED_PROXIES": "10.0.0.0/8, ::1", "HTTP_ADDR": "127.0.0.1:1", "OPS_ADDR": "127.0.0.1:2", "REQUEST_TIMEOUT": "7s",
		"ADMIN_REQUEST_TIMEOUT": "8s", "SHUTDOWN_DRAIN_DELAY": "0s", "SHUTDOWN_TIMEOUT": "9s", "MAX_BODY_BYTES": "10",
		"RATE_LIMIT_USER": "off", "RATE_LIMIT_IP": "5/s", "RATE_LIMIT_GLOBAL": "9/2m", "RATE_LIMIT_ADMIN_BYPASS": "false",
		"DISK_PATH": "/data", "DISK_MIN_FREE_PERCENT": "12", "LOG_LEVEL": "warn", "LOG_FORMAT": "text", "DOCS_ENABLED": "false",
		"SECURITY_CONTACT": "https://acme.dev/report", "EVENTS_WEBHOOK_URLS": "https://a.dev/hook?token=x, http://b.dev", "EVENTS_WEBHOOK_SECRET": "whsec_AAECAw==",
		"EVENTS_STREAM": "profiles:events", "EVENTS_STREAM_MAXLEN": "11", "RECONCILE_INTERVAL": "0s", "RECONCILE_MAX_ERASE_PERCENT": "3",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/t", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_HEADERS": "a=b", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=c",
		"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5", "OTEL_SERVICE_NAME": "p",
		"OTEL_RESOURCE_ATTRIBUTES": "a=b", "OTEL_SDK_DISABLED": "true",
	}
	for _, entry := range Reference() {
		if _, ok := given[entry.Variable]; !ok {
			t.Errorf("this test does not set %s", entry.Variable)
		}
	}
	s := mustLoad(t, given)
	for _, line := range s.Describe() {
		if line.Source != SourceEnvironment {
			t.Errorf("source of %s = %q, want environment", line.Variable, line.Source)
		}
	}
	checks := map[string][2]any{
		"fallbacks": {s.SecretKeyFallbacks[0].Reveal(), otherKey},
		"parties":   {s.ClerkAuthorizedParties, []string{"https://a.dev", "https://b.dev"}},
		"azp":       {s.ClerkAllowMissingAZP, true},
		"audience":  {s.ClerkAudience, []string{"one", "two"}},
		"pem":       {s.ClerkJWTKey, given["CLERK_JWT_KEY"]},
		"webhook":   {s.ClerkWebhookSecret[1].Reveal(), "whsec_BAUGBw=="},
		"issuer":    {s.ClerkIssuer, "https://login.acme.dev"},
		"open":      {s.DBMaxOpenConns, 7},
		"idle":      {s.DBMaxIdleConns, 3},
		"life":      {s.DBConnMaxLifetime, time.Minute},
		"lock":      {s.DBLockTimeout, 5 * time.Second},
		"migrate":   {s.MigrateOnStart, true},
		"hosts":     {s.AllowedHosts, []string{"api.acme.dev", ".acme.dev", "::1"}},
		"proxies":   {s.TrustedProxies, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}},
		"drain":     {s.ShutdownDrainDelay, time.Duration(0)},
		"body":      {s.MaxBodyBytes, int64(10)},
		"user":      {s.RateLimitUser, Rate{}},
		"ip":        {s.RateLimitIP, Rate{5, time.Second}},
		"global":    {s.RateLimitGlobal, Rate{9, 2 * time.Minute}},
		"bypass":    {s.RateLimitAdminBypass, false},
		"level":     {s.LogLevel, slog.LevelWarn},
		"format":    {s.LogFormat, LogText},
		"docs":      {s.DocsEnabled, false},
		"contact":   {s.SecurityContact, "https://acme.dev/report"},
		"debug":     {s.Debug, true},
		"every":     {s.ReconcileInterval, time.Duration(0)},
		"erase":     {s.ReconcileMaxErasePercent, 3},
		"sentry":    {s.SentryEnabled(), false},
		"redis":     {s.RedisURL().Reveal(), "redis://cache"},
		"endpoint":  {s.EventsWebhookURLs[1].Reveal(), "http://b.dev"},
		"signing":   {s.EventsWebhookSecret[0].Reveal(), "whsec_AAECAw=="},
		"stream":    {s.EventsStream, "profiles:events"},
		"kept":      {s.EventsStreamMaxLen, int64(11)},
	}
	for name, pair := range checks {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s = %#v, want %#v", name, pair[0], pair[1])
		}
	}
}

func TestDocsFollowTheEnvironmentUnlessSet(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		env  map[string]string
		want bool
	}{
		{production(), false},
		{development(), true},
		{with(development(), "ENVIRONMENT", "staging"), true},
		{with(production(), "DOCS_ENABLED", "true"), true},
		{with(development(), "DOCS_ENABLED", "false"), false},
	} {
		if s := mustLoad(t, test.env); s.DocsEnabled != test.want {
			t.Errorf("DocsEnabled = %v with ENVIRONMENT=%q DOCS_ENABLED=%q", s.DocsEnabled, test.env["ENVIRONMENT"], test.env["DOCS_ENABLED"])
		}
	}
}

func TestTheSecurityContactFollowsTheHostsUnlessSet(t *testing.T) {
	t.Parallel()
	for hosts, want := range map[string]string{
		"":                             "mailto:security@localhost",
		"api.example.com":              "mailto:security@api.example.com",
		".example.org,api.example.com": "mailto:security@example.org",
		"127.0.0.1":                    "mailto:security@127.0.0.1",
		"*":                            "mailto:security@localhost",
		"::1,api.example.com":          "mailto:security@api.example.com",
	} {
		s := mustLoad(t, with(development(), "ALLOWED_HOSTS", hosts))
		if s.SecurityContact != want || s.origins["SECURITY_CONTACT"].Source != SourceDerived {
			t.Errorf("ALLOWED_HOSTS=%q gives %q", hosts, s.SecurityContact)
		}
	}
	if s := mustLoad(t, with(development(), "SECURITY_CONTACT", "mailto:a@b.example")); s.SecurityContact != "mailto:a@b.example" {
		t.Errorf("set, but %q", s.SecurityContact)
	}
}

func TestASmallerPoolNeedsNoSecondSetting(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, with(production(), "DB_MAX_OPEN_CONNS", "5"))
	if s.DBMaxIdleConns != 5 || s.origins["DB_MAX_IDLE_CONNS"].Source != SourceDerived {
		t.Errorf("idle = %d from %v, want 5, derived", s.DBMaxIdleConns, s.origins["DB_MAX_IDLE_CONNS"])
	}
	wantOnly(t, faultsOf(t, with(production(), "DB_MAX_OPEN_CONNS", "5", "DB_MAX_IDLE_CONNS", "6")), "DB_MAX_IDLE_CONNS")
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "settings.yaml", "log_level: warn\nrequest_timeout: 3s\nmax_body_bytes: 77\n")
	s := mustLoad(t, with(production(), "CONFIG_FILE", file, "LOG_LEVEL", "error", "REQUEST_TIMEOUT", ""))
	if s.LogLevel != slog.LevelError || s.RequestTimeout != 3*time.Second || s.MaxBodyBytes != 77 || s.DBMaxOpenConns != 25 {
		t.Errorf("level %v, timeout %v, body %v, conns %v", s.LogLevel, s.RequestTimeout, s.MaxBodyBytes, s.DBMaxOpenConns)
	}
	want := map[string]Source{
		"LOG_LEVEL": SourceEnvironment, "REQUEST_TIMEOUT": SourceFile, "MAX_BODY_BYTES": SourceFile,
		"DB_MAX_OPEN_CONNS": SourceDefault, "CLERK_ISSUER": SourceDerived, "CLERK_AUDIENCE": SourceUnset,
	}
	for _, line := range s.Describe() {
		if source, ok := want[line.Variable]; ok && line.Source != source {
			t.Errorf("source of %s = %q, want %q", line.Variable, line.Source, source)
		}
	}
}

func TestTheLastOfADuplicatedVariableCounts(t *testing.T) {
	t.Parallel()
	s, err := Load(Options{Environ: append(pairs(production()), "LOG_LEVEL=debug", "LOG_LEVEL=error")})
	if err != nil || s.LogLevel != slog.LevelError {
		t.Errorf("settings %v, error %v", s, err)
	}
}

func TestTheProcessEnvironmentIsTheDefault(t *testing.T) {
	for _, pair := range pairs(production()) {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	t.Setenv("MAX_BODY_BYTES", "123")
	s, err := Load(Options{})
	if err != nil || s.MaxBodyBytes != 123 {
		t.Errorf("settings %v, error %v", s, err)
	}
}

func TestSetToNothingIsNotSet(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, with(production(), "LOG_LEVEL", "", "HTTP_ADDR", "  ", "CLERK_WEBHOOK_SECRET", "", "SECRET_KEY_FILE", "", "CONFIG_FILE", ""))
	if s.LogLevel != slog.LevelInfo || s.HTTPAddr != ":8080" || s.ClerkWebhookSecret != nil {
		t.Errorf("settings %v", s)
	}
	wantOnly(t, faultsOf(t, with(production(), "SECRET_KEY", "", "ALLOWED_HOSTS", " ")), "ALLOWED_HOSTS", "SECRET_KEY")
}

func TestNothingSetListsWhatIsRequired(t *testing.T) {
	t.Parallel()
	wantOnly(t, faultsOf(t, map[string]string{}),
		"SECRET_KEY", "CLERK_SECRET_KEY", "CLERK_PUBLISHABLE_KEY", "CLERK_AUTHORIZED_PARTIES",
		"DATABASE_URL", "VALKEY_URL", "SENTRY_DSN", "ALLOWED_HOSTS")
	wantOnly(t, faultsOf(t, map[string]string{"ENVIRONMENT": "test"}),
		"SECRET_KEY", "CLERK_SECRET_KEY", "CLERK_PUBLISHABLE_KEY", "DATABASE_URL", "VALKEY_URL")
}

func TestAllFaultsAtOnceSortedAndWithoutSecrets(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"DEBUG": "true", "SECRET_KEY": "short-but-private", "SECRET_KEY_FALLBACKS": "also-private-thing",
		"CLERK_SECRET_KEY": "sk_test_hush9hush9", "CLERK_PUBLISHABLE_KEY": "pk_live_bm9wZQ==", "CLERK_ISSUER": "http://x.dev",
		"CLERK_AUTHORIZED_PARTIES": "*", "CLERK_JWT_KEY": "not-a-pem-block", "CLERK_API_URL": "http://clerk.dev/v1",
		"CLERK_WEBHOOK_SECRET": "whsec_!!hidden!!", "CLERK_ROLE_CLAIM": "a..b", "DATABASE_URL": "postgres://u:pg-pass-9@db.dev/p",
		"VALKEY_URL": "http://u:vk-pass-9@cache.dev", "SENTRY_DSN": "sentry-hidden-9", "ALLOWED_HOSTS": "*",
		"CORS_ALLOWED_ORIGINS": "*", "TRUSTED_PROXIES": "0.0.0.0/0", "HTTP_ADDR": "nowhere", "REQUEST_TIMEOUT": "soon",
		"RATE_LIMIT_USER": "off", "RATE_LIMIT_IP": "0/1m", "DB_MAX_OPEN_CONNS": "many", "LOG_LEVEL": "loud",
		"SECRET_KEYS": "typo-hidden-9", "MAX_BODY_BYTES": "0", "CONFIG_FILE": "/nowhere/settings.yaml",
	}
	faults := faultsOf(t, env)
	var want []string
	for name := range env {
		want = append(want, name)
	}
	wantOnly(t, faults, want...)
	if !slices.IsSortedFunc(faults, func(a, b Fault) int { return strings.Compare(a.Variable, b.Variable) }) {
		t.Errorf("not sorted: %v", faults)
	}
	wantHidden(t, "the error", faults.Error(), "short-but-private", "also-private-thing", "hush9hush9", "not-a-pem", "!!hidden",
		"pg-pass-9", "vk-pass-9", "sentry-hidden-9", "typo-hidden-9")
	for _, name := range want {
		if !strings.Contains(faults.Error(), "\n  "+name+" ") {
			t.Errorf("the error does not list %s:\n%v", name, faults)
		}
	}
	if !strings.HasPrefix(faults.Error(), "the settings have ") || strings.Count(faults.Error(), "\n") != len(faults) {
		t.Errorf("one line per fault is wanted:\n%v", faults)
	}
}

func TestAnUnreadableEnvironmentIsJudgedAsProduction(t *testing.T) {
	t.Parallel()
	wantOnly(t, faultsOf(t, with(production(), "ENVIRONMENT", "prod", "DEBUG", "true")), "ENVIRONMENT", "DEBUG")
	wantOnly(t, faultsOf(t, with(production(), "ENVIRONMENT", "Production")), "ENVIRONMENT")
}

func TestRedisURLIsAnotherNameOfValkeyURL(t *testing.T) {
	t.Parallel()
	base := without(production(), "VALKEY_URL")
	s := mustLoad(t, with(base, "REDIS_URL", "redis://cache"))
	if s.ValkeyURL.Reveal() != "redis://cache" || s.origins["VALKEY_URL"] != (Origin{SourceEnvironment, "REDIS_URL"}) {
		t.Errorf("url %q from %v", s.ValkeyURL.Reveal(), s.origins["VALKEY_URL"])
	}
	mustLoad(t, with(base, "REDIS_URL", "redis://cache", "VALKEY_URL", "redis://cache"))
	faults := faultsOf(t, with(base, "REDIS_URL", "redis://hidden-host", "VALKEY_URL", "redis://cache"))
	wantOnly(t, faults, "VALKEY_URL")
	wantHidden(t, "the error", faults.Error(), "hidden-host")
	yaml := writeFile(t, "c.yaml", "valkey_url: redis://weaker\n")
	if s := mustLoad(t, with(base, "CONFIG_FILE", yaml, "REDIS_URL", "redis://stronger")); s.ValkeyURL.Reveal() != "redis://stronger" {
		t.Error("REDIS_URL of the environment does not win over valkey_url of the file")
	}
	if s := mustLoad(t, with(base, "REDIS_URL", "valkeys://u:p@cache:1/2")); s.RedisURL().Reveal() != "rediss://u:p@cache:1/2" {
		t.Error("valkeys does not become rediss")
	}
}

func TestInspectDescribesFaultySettings(t *testing.T) {
	t.Parallel()
	lines, err := Inspect(Options{Environ: pairs(with(production(), "CLERK_PUBLISHABLE_KEY", "sk_live_swapped99", "LOG_LEVEL", "loud"))})
	if err == nil || len(lines) != len(Reference()) {
		t.Fatalf("%d lines, error %v", len(lines), err)
	}
	for _, line := range lines {
		switch line.Variable {
		case "CLERK_PUBLISHABLE_KEY", "LOG_LEVEL":
			if line.Value != "[at fault]" {
				t.Errorf("%s is shown as %q", line.Variable, line.Value)
			}
		case "HTTP_ADDR":
			if line.Value != ":8080" {
				t.Errorf("HTTP_ADDR is shown as %q", line.Value)
			}
		}
	}
	if lines, err := Inspect(Options{Environ: pairs(production())}); err != nil || len(lines) != len(Reference()) {
		t.Errorf("%d lines, error %v", len(lines), err)
	}
}

func TestValidateJudgesSettingsMadeByHand(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, production())
	if err := s.Validate(); err != nil {
		t.Errorf("what Load returned does not validate: %v", err)
	}
	changed := *s
	changed.RateLimitIP = Rate{Quota: -1, Period: time.Minute}
	changed.LogFormat = "xml"
	changed.Environment = "moon"
	faults, ok := changed.Validate().(Faults) //nolint:errorlint // the type itself is asserted
	if !ok {
		t.Fatal("Validate gave no Faults")
	}
	wantOnly(t, faults, "ENVIRONMENT", "LOG_FORMAT", "RATE_LIMIT_IP")
}
