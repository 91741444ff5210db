package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

var rsaKeys sync.Map // bits → *rsa.PrivateKey; making them is slow under the race detector

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	if key, ok := rsaKeys.Load(bits); ok {
		return key.(*rsa.PrivateKey)
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	rsaKeys.Store(bits, key)
	return key
}

func encodePEM(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func rsaPEM(t *testing.T, bits int) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&rsaKey(t, bits).PublicKey)
	return encodePEM(t, "PUBLIC KEY", der, err)
}

// rule is one value of one variable in an environment that is otherwise good.
type rule struct {
	variable, value string
	good            bool
}

func good(variable string, values ...string) []rule { return rulesOf(variable, true, values) }
func bad(variable string, values ...string) []rule  { return rulesOf(variable, false, values) }

func rulesOf(variable string, good bool, values []string) []rule {
	var out []rule
	for _, v := range values {
		out = append(out, rule{variable, v, good})
	}
	return out
}

// publicStarts are values that the rules' own texts hold; nothing of them is secret.
var publicStarts = map[string]bool{"sk_live_": true, "whsec_": true, "pk_live_": true, "-----BEGIN PUBLIC KEY-----": true}

// runRules loads base with one variable changed at a time: a good value has no
// fault; a bad one has a fault under that variable alone, which does not show
// the value when the variable is a secret.
func runRules(t *testing.T, base map[string]string, tables ...[]rule) {
	t.Helper()
	secret := map[string]bool{"CLERK_PUBLISHABLE_KEY": true} // often swapped with the secret key
	for _, entry := range Reference() {
		secret[entry.Variable] = secret[entry.Variable] || entry.Secret
	}
	for _, table := range tables {
		for i, r := range table {
			t.Run(r.variable+"/"+strconv.FormatBool(r.good)+"/"+strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				env := with(base, r.variable, r.value)
				if r.good {
					if _, err := loadEnv(env); err != nil {
						t.Errorf("%q is refused: %v", r.value, err)
					}
					return
				}
				s, err := loadEnv(env)
				if err == nil {
					t.Fatalf("%q is accepted: %v", r.value, s)
				}
				faults := faultsOf(t, env)
				wantOnly(t, faults, r.variable)
				if secret[r.variable] && len(r.value) > 3 && !publicStarts[r.value] {
					wantHidden(t, "the error", faults.Error(), r.value)
				}
			})
		}
	}
}

func TestRulesInProduction(t *testing.T) {
	t.Parallel()
	runRules(t, production(),
		good("ENVIRONMENT", "production"),
		bad("ENVIRONMENT", "prod", "PRODUCTION", "live", "1"),
		good("DEBUG", "false", "False", "0"),
		bad("DEBUG", "true", "1", "yes", "on", "t", "2"),
		good("CLERK_ALLOW_MISSING_AZP", "true", "TRUE", "false"),
		bad("CLERK_ALLOW_MISSING_AZP", "maybe"),
		bad("MIGRATE_ON_START", "please"),
		bad("RATE_LIMIT_ADMIN_BYPASS", "-"),
		bad("DOCS_ENABLED", "production"),
		good("LOG_LEVEL", "debug", "info", "warn", "error"),
		bad("LOG_LEVEL", "INFO", "trace", "warning", "info+1", "0"),
		good("LOG_FORMAT", "json", "text"),
		bad("LOG_FORMAT", "JSON", "logfmt"),
		good("DISK_PATH", "/", "/var/lib/data"),
		bad("DISK_PATH", "data", "./data", "/da\x01ta"),
		good("RECONCILE_INTERVAL", "0s", "1m", "6h", "720h"),
		bad("RECONCILE_INTERVAL", "1s", "59.999s", "-1m", "721h", "6", "off"),
		good("RECONCILE_MAX_ERASE_PERCENT", "0", "20", "100"),
		bad("RECONCILE_MAX_ERASE_PERCENT", "-1", "101", "20%", "0.5"),
		good("DISK_MIN_FREE_PERCENT", "0", "1", "100"),
		bad("DISK_MIN_FREE_PERCENT", "-1", "101", "10%", "1.5"),
	)
}

func TestSecretKeyRules(t *testing.T) {
	t.Parallel()
	distinct := func(n int) string { // 60 characters, n distinct, no two neighbours in alphabetical order
		alphabet := "azbycxdwevfugthsir"[:n]
		return strings.Repeat(alphabet, 60/n+1)[:60]
	}
	runRules(t, production(),
		good("SECRET_KEY", goodKey[:50], strings.Repeat(goodKey, 3), distinct(16), strings.Repeat("äöüßÄÖÜéèêàâîïôû", 4), goodKey+", with spaces",
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", "signing-key-of-the-staging-environment-0123456789-abcdef"),
		bad("SECRET_KEY", goodKey[:49], distinct(15), strings.Repeat("a", 64), " "+goodKey, goodKey+"\t", goodKey+"\n", goodKey+"\x00",
			"change-me-"+goodKey, goodKey+"CHANGEME", "x-Change_Me"+goodKey, "django-insecure-"+goodKey, goodKey+"InSeCuRe", "EXAMPLE"+goodKey,
			goodKey+"secret-key", "Secret_Key"+goodKey, "your-secret"+goodKey, "placeholder"+goodKey, "\xff"+goodKey),
		good("SECRET_KEY_FALLBACKS", otherKey, otherKey+", "+otherKey+"2"),
		bad("SECRET_KEY_FALLBACKS", goodKey, otherKey+","+otherKey, otherKey+",", ","+otherKey, otherKey[:49],
			otherKey+",changeme"+otherKey, distinct(15)),
	)
}

func TestRandomKeysAreHardlyEverExamples(t *testing.T) {
	t.Parallel()
	raw := make([]byte, 48)
	for range 20_000 {
		if _, err := rand.Read(raw); err != nil {
			t.Fatal(err)
		}
		key := base64.StdEncoding.EncodeToString(raw)
		lower := strings.ToLower(key)
		for _, m := range exampleMarks {
			if len(m) > 5 && strings.Contains(lower, m) { // five letters may happen once in a million
				t.Fatalf("a random key holds %q", m)
			}
		}
	}
}

func TestClerkRules(t *testing.T) {
	t.Parallel()
	runRules(t, production(),
		good("CLERK_SECRET_KEY", "sk_live_a"),
		bad("CLERK_SECRET_KEY", "sk_live_", "sk_prod_abcdef", "SK_live_abcdef", "pk_live_abcdef", "live_abcdef", "sk_live_abc def", "sk_live_äbcdef"),
		good("CLERK_PUBLISHABLE_KEY", publishable("live", "clerk.acme.dev"), publishable("live", "127.0.0.1:8081"),
			publishable("live", "localhost"), strings.TrimRight(publishable("live", "clerk.acme.de"), "="), publishable("live", "clerk.acme.de")),
		bad("CLERK_PUBLISHABLE_KEY", "pk_live_", "pk_live_!!!!", "pk_live_"+base64.StdEncoding.EncodeToString([]byte("clerk.acme.dev")),
			publishable("live", ""), publishable("live", "clerk.acme.dev/"), publishable("live", "https://clerk.acme.dev"),
			publishable("live", "clerk acme"), publishable("live", "a@b.dev"), publishable("live", "clerk.acme.dev$"),
			publishable("live", "Clerk.acme.dev"), publishable("live", "clerk.acme.dev:0"), publishable("live", "-a.dev"),
			publishable("live", "a..dev"), "sk_live_Jq8ZtVb3Kx0RwYp5", publishable("prod", "clerk.acme.dev")+"x"),
		good("CLERK_ISSUER", "https://clerk.acme.dev", "https://acme.dev/__clerk", "https://acme.dev:8443", "http://127.0.0.1:8081"),
		bad("CLERK_ISSUER", "http://clerk.acme.dev", "https://clerk.acme.dev/", "https://clerk.acme.dev?x=1", "https://clerk.acme.dev#x", "clerk.acme.dev",
			"https://", "https://u:p@clerk.acme.dev", "ftp://clerk.acme.dev", "https://clerk.acme.dev?", "https://%zz", "https://a b"),
		good("CLERK_AUTHORIZED_PARTIES", "https://a.dev", "https://a.dev,https://b.dev:8443", "http://localhost:3000", "http://127.0.0.1:3000",
			"http://[::1]:3000", "http://app.localhost:3000", "chrome-extension://abcdefghijklmnop"),
		bad("CLERK_AUTHORIZED_PARTIES", "*", "a.dev", "https://a.dev/", "https://a.dev/x", "http://a.dev", "https://a.dev?x", "https://a.dev#x",
			"https://u@a.dev", "https://A.dev", "HTTPS://a.dev", "https://*.a.dev", "https://a.dev:443", "https://a.dev:0", "https://a.dev:99999",
			"https://a.dev,", "https://a.dev https://b.dev", "null", "//a.dev", "file://", "javascript:alert(1)", "https://a.dev:x"),
		good("CLERK_AUDIENCE", "api", "api, https://acme.dev/x"),
		bad("CLERK_AUDIENCE", "api,,x", "two words", "a\x7fb"),
		good("CLERK_API_URL", "https://api.clerk.dev/v1", "https://api.clerk.dev/v1/", "http://127.0.0.1:8081/v1", "http://localhost/v1", "http://[::1]:1/v1", "https://proxy/clerk/v1"),
		bad("CLERK_API_URL", "http://api.clerk.dev/v1", "https://api.clerk.dev", "https://api.clerk.dev/v2", "api.clerk.dev/v1", "/v1", "https://a/v1?x",
			"https://a/v1#", "https://u:p@a/v1", "file:///v1", "http://127.0.0.1.evil.dev/v1", "http://localhost.evil.dev/v1", "https://a:b/v1"),
		good("CLERK_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAEC, whsec_BAUG"),
		bad("CLERK_WEBHOOK_SECRET", "MfKQ9r8GKYqrTwjUPD8I", "whsec_", "whsec_MfKQ9*", "whsec_AAECAw", "whsec_AAEC,hunter2hunter2", "whsec_AAEC,,whsec_BAUG"),
		good("CLERK_ROLE_CLAIM", "role", "metadata.role", "a.b-c.d_e", "unsafe_metadata_not.role"),
		bad("CLERK_ROLE_CLAIM", ".", "a.", ".a", "a..b", "a b", "a[0]", "$.role", strings.Repeat("a", 201), "unsafe_metadata.role", "user.unsafe_metadata.role"),
	)
}

func TestClerkModes(t *testing.T) {
	t.Parallel()
	test, live := publishable("test", "clerk.acme.dev"), publishable("live", "clerk.acme.dev")
	for _, tc := range []struct {
		base                map[string]string
		secret, publishable string
		want                []string
	}{
		{production(), "sk_test_abcdef", test, []string{"CLERK_SECRET_KEY", "CLERK_PUBLISHABLE_KEY"}},
		{production(), "sk_live_abcdef", test, []string{"CLERK_PUBLISHABLE_KEY"}},
		{production(), "sk_test_abcdef", live, []string{"CLERK_SECRET_KEY", "CLERK_PUBLISHABLE_KEY"}},
		{development(), "sk_live_abcdef", test, []string{"CLERK_PUBLISHABLE_KEY"}},
		{development(), "sk_test_abcdef", live, []string{"CLERK_PUBLISHABLE_KEY"}},
	} {
		wantOnly(t, faultsOf(t, with(tc.base, "CLERK_SECRET_KEY", tc.secret, "CLERK_PUBLISHABLE_KEY", tc.publishable)), tc.want...)
	}
	mustLoad(t, with(development(), "CLERK_SECRET_KEY", "sk_live_abcdef", "CLERK_PUBLISHABLE_KEY", live))
}

func TestClerkJWTKeyRules(t *testing.T) {
	t.Parallel()
	public := rsaPEM(t, 2048)
	private := x509.MarshalPKCS1PrivateKey(rsaKey(t, 2048))
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKIXPublicKey(&ec.PublicKey)
	pkcs1 := encodePEM(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey(t, 2048).PublicKey), nil)
	runRules(t, production(),
		good("CLERK_JWT_KEY", public, strings.TrimSpace(public), strings.ReplaceAll(public, "\n", `\n`), strings.ReplaceAll(public, "\n", "\r\n"), pkcs1, rsaPEM(t, 2560)),
		bad("CLERK_JWT_KEY", "-----BEGIN PUBLIC KEY-----", "plain", rsaPEM(t, 1024), public+public, "x"+public, public+"x",
			encodePEM(t, "EC PUBLIC KEY", ecDER, err), encodePEM(t, "PUBLIC KEY", ecDER, err), encodePEM(t, "PUBLIC KEY", []byte("junk"), nil),
			encodePEM(t, "RSA PRIVATE KEY", private, nil), encodePEM(t, "CERTIFICATE", private, nil)),
	)
	s := mustLoad(t, with(production(), "CLERK_JWT_KEY", strings.ReplaceAll(public, "\n", `\n`)))
	if s.ClerkJWTKey != public {
		t.Errorf(`\n is not turned into line breaks: %q`, s.ClerkJWTKey)
	}
	faults := faultsOf(t, with(production(), "CLERK_JWT_KEY", encodePEM(t, "RSA PRIVATE KEY", private, nil)))
	wantHidden(t, "the error", faults.Error(), base64.StdEncoding.EncodeToString(private)[:40])
}

var databaseURLs = [][]rule{
	good("DATABASE_URL",
		"postgres://u:p@db.acme.dev/p?sslmode=require", "postgresql://u:p@db/p?sslmode=verify-ca", "postgres://db?sslmode=verify-full",
		"postgres://u:p@localhost/p", "postgres://u:p@127.0.0.1:5432/p?sslmode=disable", "postgres://u:p@[::1]:5432/p",
		"postgres://u:p@/p?host=/var/run/postgresql", "postgres://u:p@%2Fvar%2Frun%2Fpostgresql/p", "postgres:///p?host=localhost,/tmp",
		"postgres://u:p@a:1,b:2/p?sslmode=require", "postgres://u:p@127.0.0.1,localhost/p", "postgres://u:p%40%2F%3A@db/p?sslmode=require",
		"postgres://u:p:q@db/p?sslmode=require&application_name=x", "postgres://u:p@DB.Acme.dev/p?sslmode=require&port=6432"),
	bad("DATABASE_URL",
		"postgres://u:p4ss9@db.acme.dev/p", "postgres://u:p4ss9@db/p?sslmode=disable", "postgres://u:p4ss9@db/p?sslmode=prefer",
		"postgres://u:p4ss9@db/p?sslmode=allow", "postgres://u:p4ss9@db/p?sslmode=", "postgres://u:p4ss9@db/p?sslmode=REQUIRE", "postgres://u:p4ss9@db/p?SSLMODE=require",
		"postgres://u:p4ss9@db/p?sslmode=require&sslmode=disable", "postgres://u:p4ss9@db/p?sslmode=require&ssl%6dode=disable",
		"postgres://u:p4ss9@localhost,db/p", "postgres://u:p4ss9@localhost/p?host=db", "postgres://u:p4ss9@/p?host=/tmp,db",
		"postgres://u:p4ss9@/p", "postgres:///p", "postgres://", "postgres://u:p4ss9@localhost.acme.dev/p", "postgres://u:p4ss9@127.0.0.1.acme.dev/p",
		"postgres://u:pa/ss9@db/p?sslmode=require", "postgres://u:123/ss9@db/p?sslmode=require", "postgres://u:pa?ss9@db/p?sslmode=require",
		"postgres://u:pa#ss9@db/p?sslmode=require", "postgres://u:pa@ss9@db/p?sslmode=require", "postgres://u:pa%zz9@db/p?sslmode=require",
		"postgres://u:pa ss9@db/p?sslmode=require", "postgres://localhost?x=@db.acme.dev/p", "postgres://u:p4ss9@db:0/p?sslmode=require",
		"postgres://u:p4ss9@db:99999/p?sslmode=require", "postgres://u:p4ss9@db:x/p?sslmode=require", "postgres://u:p4ss9@d,,b/p?sslmode=require",
		"postgres://u:p4ss9@[::1/p", "postgres://u:p4ss9@[::1]x/p", "postgres://u:p4ss9@localhost%2Cdb/p", "postgres://u:p4ss9@localhost/p?service=other",
		"postgres://u:p4ss9@db/p?servicefile=/x&sslmode=require", "postgres://u:p4ss9@db/p?ssl=true", "postgres://u:p4ss9@db/p?sslmode", "postgres://u:p4ss9@db/%zz?sslmode=require",
		"postgres://u:p4ss9@localhost/p?port=x", "mysql://u:p4ss9@db/p", "POSTGRES://u:p4ss9@db/p?sslmode=require", "host=db password=p4ss9", "db.acme.dev", "postgres:db"),
}

func TestStoreRules(t *testing.T) {
	t.Parallel()
	runRules(t, production(), append(databaseURLs,
		good("DATABASE_URL", "postgres://u:p@db.acme.dev/x?sslmode=require&default_query_exec_mode=cache_describe&connect_timeout=3"),
		bad("DATABASE_URL", "postgres://u:p4ss9@db.acme.dev/x?sslmode=require&pool_max_conns=x", "postgres://u:p4ss9@db.acme.dev/x?sslmode=require&connect_timeout=zz",
			"postgres://u:p4ss9@db.acme.dev/x?sslmode=verify-full&sslrootcert=/nope", "postgres://u:p4ss9@db.acme.dev/x?sslmode=require&default_query_exec_mode=zz"),
		bad("VALKEY_URL", "redis://u:p4ss9@cache/?dial_timeout=5s", "rediss://u:p4ss9@cache/?skip_verify=true"),
		good("VALKEY_URL", "redis://cache", "rediss://cache:6379", "valkey://u:p@cache:6379/0", "valkeys://:p@[::1]:6379/15", "redis://cache/?pool_size=5&protocol=3", "redis://127.0.0.1:6379"),
		bad("VALKEY_URL", "http://cache", "unix:///tmp/sock", "cache:6379", "redis://", "redis://u:p4ss9@", "redis://u:pa/ss9@cache", "redis://u:p4ss9@cache/x",
			"redis://u:p4ss9@cache/0/1", "redis://u:p4ss9@cache:0", "redis://u:p4ss9@cache:70000", "redis://u:p4ss9@cache?nonsense=1", "redis://u:pa#ss9@cache",
			"redis://u:p@4ss9@cache", "redis://u:p%zz@cache", "REDIS://cache", "redis://a,b", "redis://u:p^4ss9@cache"),
		good("SENTRY_DSN", "disabled", "https://key@o1.ingest.sentry.io/4", "https://key:legacy@sentry.acme.dev/sub/7", "http://key@localhost:9000/1"),
		bad("SENTRY_DSN", "off", "Disabled", "none", "https://sentry.acme.dev/4", "https://key99@sentry.acme.dev", "https://key99@sentry.acme.dev/", "https://@sentry.acme.dev/4",
			"http://key99@sentry.acme.dev/4", "https://key99@sentry.acme.dev/abc",
			"ftp://key99@sentry.acme.dev/4", "key99@sentry.acme.dev/4", "https://key99@/4", "https://key99@sentry.acme.dev/4?x", "https://a@b@sentry.acme.dev/4"),
		good("DB_MAX_OPEN_CONNS", "1", "25", "10000"),
		bad("DB_MAX_OPEN_CONNS", "0", "-1", "10001", "2.5", "025", "0x10", "1_0", "+5", "99999999999999999999", "ten"),
		good("DB_MAX_IDLE_CONNS", "0", "25"),
		bad("DB_MAX_IDLE_CONNS", "26", "-1"),
		good("DB_CONN_MAX_LIFETIME", "1s", "24h"),
		bad("DB_CONN_MAX_LIFETIME", "0s", "0", "25h", "-1m", "10", "forever"),
		bad("DB_CONN_MAX_IDLE_TIME", "0s"),
		good("DB_CONNECT_TIMEOUT", "1ms", "1h"),
		bad("DB_CONNECT_TIMEOUT", "0s", "61m"),
		good("DB_STATEMENT_TIMEOUT", "1ms", "1m30s"),
		bad("DB_STATEMENT_TIMEOUT", "0s", "500us", "30"),
		bad("DB_LOCK_TIMEOUT", "0s", "-5s"),
		bad("DB_IDLE_IN_TRANSACTION_TIMEOUT", "0s", "1"),
	)...)
}

// Whatever the rules accept in production must be encrypted, or stay on this
// machine, in the eyes of the driver too.
func TestAcceptedDatabaseURLsAreSafeToTheDriver(t *testing.T) {
	t.Parallel()
	for _, table := range databaseURLs {
		for _, r := range table {
			if !r.good {
				continue
			}
			cfg, err := pgconn.ParseConfig(r.value)
			if err != nil {
				t.Errorf("the driver refuses %q", r.value)
				continue
			}
			if cfg.TLSConfig == nil && !strings.HasPrefix(cfg.Host, "/") && !isLoopback(cfg.Host) {
				t.Errorf("%q goes in the clear to %s", r.value, cfg.Host)
			}
			for _, f := range cfg.Fallbacks {
				if f.TLSConfig == nil && !strings.HasPrefix(f.Host, "/") && !isLoopback(f.Host) {
					t.Errorf("%q falls back in the clear to %s", r.value, f.Host)
				}
			}
		}
	}
}

func TestNetworkRules(t *testing.T) {
	t.Parallel()
	runRules(t, production(),
		good("ALLOWED_HOSTS", "api.acme.dev", "a.dev,.b.dev", "API.acme.dev:8443", "localhost", "127.0.0.1:8080", "[::1]:8080", "::1", "[::1]", "api_1", ".acme.dev:443"),
		bad("ALLOWED_HOSTS", "*", "a.dev,*", "*.acme.dev", "https://a.dev", "a.dev/x", "a.dev:0", "a.dev:x", "a.dev:70000", ".", "..a", "a..b", "a.dev.", "a b", "a.dev,,b.dev",
			"-a.dev", "a-.dev", "ä.dev", "1.2.3.999", strings.Repeat("a", 64)+".dev", "u@a.dev", "fe80::1%eth0"),
		good("CORS_ALLOWED_ORIGINS", "https://a.dev", "https://a.dev,http://localhost:5173", "capacitor://localhost"),
		bad("CORS_ALLOWED_ORIGINS", "*", "https://a.dev,*", "a.dev", "https://a.dev/", "http://a.dev", "https://*.a.dev", "null", "https://a.dev:443"),
		good("TRUSTED_PROXIES", "10.0.0.0/8", "10.1.2.3", "10.0.0.0/8, fd00::/8,::1", "0.0.0.0/1"),
		bad("TRUSTED_PROXIES", "0.0.0.0/0", "::/0", "10.0.0.0/8,0.0.0.0/0", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "proxy", "fe80::1%eth0", "::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "*", "10.0.0.0/8,"),
		good("HTTP_ADDR", ":8081", "0.0.0.0:8080", "[::]:8080", "localhost:8080", "127.0.0.1:0", "127.0.0.2:9090"),
		bad("HTTP_ADDR", "8080", "localhost", ":http", ":70000", ":-1", "a b:80", "http://x:80", "::1:80x", ":"),
		good("OPS_ADDR", ":9091", "127.0.0.1:0", "[::1]:9090"),
		bad("OPS_ADDR", "9090", ":8080", "127.0.0.1:8080", "0.0.0.0:8080", "off"),
		good("SECURITY_CONTACT", "mailto:security@acme.dev", "https://acme.dev/report", "mailto:a@acme.dev?subject=report"),
		bad("SECURITY_CONTACT", "security@acme.dev", "http://acme.dev", "mailto:", "mailto:acme", "https://", "https://u:p@acme.dev", "javascript:alert(1)",
			"mailto:a@acme.dev\nContact: mailto:b@acme.dev", "tel:+1-201-555-0123", "https://acme.dev/ü", "mailto:A <a@acme.dev>"),
	)
	wantOnly(t, faultsOf(t, with(production(), "HTTP_ADDR", "127.0.0.1:9090")), "OPS_ADDR")
	mustLoad(t, with(production(), "HTTP_ADDR", "127.0.0.1:0", "OPS_ADDR", "127.0.0.1:0"))
	mustLoad(t, with(production(), "HTTP_ADDR", "10.0.0.1:9090", "OPS_ADDR", "127.0.0.1:9090"))
}

func TestLimitRules(t *testing.T) {
	t.Parallel()
	runRules(t, production(),
		good("REQUEST_TIMEOUT", "1ms", "30s", "1h"),
		bad("REQUEST_TIMEOUT", "0s", "-1s", "30", "1h1s", "soon", "1d"),
		good("ADMIN_REQUEST_TIMEOUT", "1ms", "1h"),
		bad("ADMIN_REQUEST_TIMEOUT", "0s", "2h"),
		good("SHUTDOWN_DRAIN_DELAY", "0s", "0", "1h"),
		bad("SHUTDOWN_DRAIN_DELAY", "-1ms", "61m", "5"),
		good("SHUTDOWN_TIMEOUT", "1s"),
		bad("SHUTDOWN_TIMEOUT", "0s"),
		good("MAX_BODY_BYTES", "1", "67108864"),
		bad("MAX_BODY_BYTES", "0", "-1", "67108865", "64KB", "1e3"),
		good("RATE_LIMIT_USER", "1/1m", "1000000000/24h", "10/s", "10/m", "10/h", "5/100ms", "5 / 1m"),
		bad("RATE_LIMIT_USER", "off", "OFF", "0/1m", "1/0s", "1/0", "0", "100", "/", "/1m", "100/", "-1/1m", "1/-1m", "1000000001/1m", "1/25h", "1.5/1m", "1/1m/1m", "1/d", "unlimited", "010/1m", "1/1us"),
		bad("RATE_LIMIT_IP", "off", "0/1m"),
		bad("RATE_LIMIT_GLOBAL", "off", "1/0m"),
	)
}

func TestWhatOnlyProductionRefuses(t *testing.T) {
	t.Parallel()
	for _, environment := range []string{"development", "test", "staging"} {
		runRules(t, with(development(), "ENVIRONMENT", environment),
			good("DEBUG", "true"), good("RATE_LIMIT_USER", "off"), good("RATE_LIMIT_IP", "off"), good("RATE_LIMIT_GLOBAL", "off"),
			bad("RATE_LIMIT_USER", "0/1m"), good("ALLOWED_HOSTS", "*", ""), good("CORS_ALLOWED_ORIGINS", "*", "http://a.dev"),
			good("CLERK_AUTHORIZED_PARTIES", "", "http://a.dev:3000"), bad("CLERK_AUTHORIZED_PARTIES", "*"),
			good("TRUSTED_PROXIES", "0.0.0.0/0", "::/0"), good("CLERK_API_URL", "http://clerk:8081/v1"), good("SENTRY_DSN", "", "disabled", "http://key@sentry.lan/4"),
			bad("SENTRY_DSN", "nonsense"), good("DATABASE_URL", "postgres://u:p@db/p?sslmode=disable"), bad("DATABASE_URL", "postgres://u:p4ss9@db/p?sslmode=x"),
			bad("SECRET_KEY", "short9", "change-me-"+goodKey))
	}
}
