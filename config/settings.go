package config

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

// Environment says how strict the rules are.
type Environment string

// The environments; nothing set means [Production].
const (
	Development Environment = "development"
	Test        Environment = "test"
	Staging     Environment = "staging"
	Production  Environment = "production"
)

// LogFormat is the shape of log lines on standard output.
type LogFormat string

// The formats: JSON for machines, text for people.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// SentryDisabled is the value of SENTRY_DSN that switches Sentry off on purpose.
const SentryDisabled = "disabled"

// Settings is every setting of profile-api, one field per variable. The tags
// are the only place where a variable is declared:
//
//   - env: its name (in lower case, its key in the YAML file); alias: another name for it;
//   - default: its text when nobody sets it; shown: how the documentation writes a default that depends;
//   - need: "always" or "production" when it must be set;
//   - secret: masked everywhere and never repeated in an error; file: NAME_FILE is read too;
//   - min, max: inclusive bounds of a number or duration;
//   - rule: what is expected, for the documentation and the faults.
//
// A *Settings from [Load] has passed every rule and is not changed afterwards.
type Settings struct {
	Environment Environment `env:"ENVIRONMENT" default:"production" rule:"development, test, staging or production"`
	Debug       bool        `env:"DEBUG" default:"false" rule:"true or false; must be false in production"`

	SecretKey          Secret   `env:"SECRET_KEY" need:"always" secret:"true" rule:"at least 50 characters, 16 of them distinct, and not an example value; for instance the output of: openssl rand -base64 48"`
	SecretKeyFallbacks []Secret `env:"SECRET_KEY_FALLBACKS" secret:"true" rule:"comma-separated older keys that still verify; each under the rules of SECRET_KEY, and none twice"`

	ClerkSecretKey         Secret   `env:"CLERK_SECRET_KEY" need:"always" secret:"true" rule:"begins with sk_test_ or sk_live_; production refuses sk_test_"`
	ClerkPublishableKey    string   `env:"CLERK_PUBLISHABLE_KEY" need:"always" rule:"pk_test_ or pk_live_, then the base64 of the Frontend API host and a $; of the same mode as CLERK_SECRET_KEY"`
	ClerkIssuer            string   `env:"CLERK_ISSUER" shown:"https:// and the host in CLERK_PUBLISHABLE_KEY" rule:"an https URL without slash at its end, query or fragment; compared exactly with iss"`
	ClerkAuthorizedParties []string `env:"CLERK_AUTHORIZED_PARTIES" need:"production" rule:"comma-separated origins, such as https://app.example.com; azp must be one of them"`
	ClerkAllowMissingAZP   bool     `env:"CLERK_ALLOW_MISSING_AZP" default:"false" rule:"true or false; whether a token without azp passes when CLERK_AUTHORIZED_PARTIES is set"`
	ClerkAudience          []string `env:"CLERK_AUDIENCE" rule:"comma-separated audiences; when set, aud must contain one"`
	ClerkJWTKey            string   `env:"CLERK_JWT_KEY" secret:"true" rule:"a PEM public key, RSA with at least 2048 bits; line breaks may be written as \\n"`
	ClerkAPIURL            string   `env:"CLERK_API_URL" default:"https://api.clerk.com/v1" rule:"the absolute URL of Clerk's Backend API, ending in /v1; https in production unless the host is loopback"`
	ClerkWebhookSecret     []Secret `env:"CLERK_WEBHOOK_SECRET" secret:"true" rule:"comma-separated, each whsec_ and base64; without it the webhook route answers 404"`
	ClerkRoleClaim         string   `env:"CLERK_ROLE_CLAIM" default:"metadata.role" rule:"dotted path of the session claim that holds the role; letters, digits, _ and - between the dots, and nothing below unsafe_metadata"`

	DatabaseURL                Secret        `env:"DATABASE_URL" need:"always" secret:"true" rule:"postgres:// or postgresql:// with a host; in production sslmode=require, verify-ca or verify-full unless every host is loopback or a socket"`
	DBMaxOpenConns             int           `env:"DB_MAX_OPEN_CONNS" default:"25" min:"1" max:"10000" rule:"connections of one replica"`
	DBMaxIdleConns             int           `env:"DB_MAX_IDLE_CONNS" default:"25" min:"0" max:"10000" rule:"idle connections kept; at most DB_MAX_OPEN_CONNS"`
	DBConnMaxLifetime          time.Duration `env:"DB_CONN_MAX_LIFETIME" default:"10m" min:"1s" max:"24h" rule:"age at which a connection is replaced"`
	DBConnMaxIdleTime          time.Duration `env:"DB_CONN_MAX_IDLE_TIME" default:"5m" min:"1s" max:"24h" rule:"idle time after which a connection is closed"`
	DBConnectTimeout           time.Duration `env:"DB_CONNECT_TIMEOUT" default:"10s" min:"1ms" max:"1h" rule:"longest wait for a new connection"`
	DBStatementTimeout         time.Duration `env:"DB_STATEMENT_TIMEOUT" default:"30s" min:"1ms" max:"24h" rule:"PostgreSQL's statement_timeout"`
	DBLockTimeout              time.Duration `env:"DB_LOCK_TIMEOUT" default:"10s" min:"1ms" max:"24h" rule:"PostgreSQL's lock_timeout"`
	DBIdleInTransactionTimeout time.Duration `env:"DB_IDLE_IN_TRANSACTION_TIMEOUT" default:"60s" min:"1ms" max:"24h" rule:"PostgreSQL's idle_in_transaction_session_timeout"`
	MigrateOnStart             bool          `env:"MIGRATE_ON_START" default:"false" rule:"true or false; whether serve applies pending migrations"`
	ValkeyURL                  Secret        `env:"VALKEY_URL" alias:"REDIS_URL" need:"always" secret:"true" rule:"redis://, rediss://, valkey:// or valkeys:// with a host and at most a database number; REDIS_URL is another name"`

	EventsWebhookURLs   []Secret `env:"EVENTS_WEBHOOK_URLS" secret:"true" rule:"comma-separated URLs, at most 10, that events are posted to; https, and outside production or on loopback http; no user, no fragment, none twice"`
	EventsWebhookSecret []Secret `env:"EVENTS_WEBHOOK_SECRET" secret:"true" rule:"comma-separated, each whsec_ and base64; every event is signed with each; required with EVENTS_WEBHOOK_URLS"`
	EventsStream        string   `env:"EVENTS_STREAM" rule:"name of a Valkey stream that events are added to; 1 to 200 visible ASCII characters"`
	EventsStreamMaxLen  int64    `env:"EVENTS_STREAM_MAXLEN" default:"100000" min:"1" max:"1000000000" rule:"events that the stream keeps, about"`

	SentryDSN Secret `env:"SENTRY_DSN" need:"production" secret:"true" rule:"https://PUBLIC_KEY@HOST/PROJECT with a number as PROJECT, or the word disabled; in production not http unless the host is loopback"`

	AllowedHosts       []string       `env:"ALLOWED_HOSTS" need:"production" rule:"comma-separated hosts or .suffix; no scheme, no path; a port does not count; production refuses *"`
	CORSAllowedOrigins []string       `env:"CORS_ALLOWED_ORIGINS" rule:"comma-separated origins, such as https://app.example.com; production refuses *"`
	TrustedProxies     []netip.Prefix `env:"TRUSTED_PROXIES" rule:"comma-separated CIDRs or addresses of proxies; production refuses 0.0.0.0/0 and ::/0, which would believe anyone"`
	HTTPAddr           string         `env:"HTTP_ADDR" default:":8080" rule:"[HOST]:PORT that the API listens on"`
	OpsAddr            string         `env:"OPS_ADDR" default:"127.0.0.1:9090" rule:"[HOST]:PORT of the operators' listener; not that of HTTP_ADDR"`

	RequestTimeout      time.Duration `env:"REQUEST_TIMEOUT" default:"30s" min:"1ms" max:"1h" rule:"deadline of a request"`
	AdminRequestTimeout time.Duration `env:"ADMIN_REQUEST_TIMEOUT" default:"120s" min:"1ms" max:"1h" rule:"deadline of a request to /v1/admin"`
	ShutdownDrainDelay  time.Duration `env:"SHUTDOWN_DRAIN_DELAY" default:"5s" min:"0s" max:"1h" rule:"wait between readiness off and the end of accepting"`
	ShutdownTimeout     time.Duration `env:"SHUTDOWN_TIMEOUT" default:"30s" min:"1ms" max:"1h" rule:"longest wait for what is in flight"`
	MaxBodyBytes        int64         `env:"MAX_BODY_BYTES" default:"65536" min:"1" max:"67108864" rule:"largest request body"`

	RateLimitUser        Rate `env:"RATE_LIMIT_USER" default:"100/1m" rule:"quota/period per signed-in person, such as 100/1m; neither may be zero; off only outside production"`
	RateLimitIP          Rate `env:"RATE_LIMIT_IP" default:"100/1m" rule:"quota/period per client address, such as 100/1m; neither may be zero; off only outside production"`
	RateLimitGlobal      Rate `env:"RATE_LIMIT_GLOBAL" default:"10000/1m" rule:"quota/period of everybody together, such as 10000/1m; neither may be zero; off only outside production"`
	RateLimitAdminBypass bool `env:"RATE_LIMIT_ADMIN_BYPASS" default:"true" rule:"true or false; whether admins are exempt"`

	ReconcileInterval        time.Duration `env:"RECONCILE_INTERVAL" default:"6h" min:"0s" max:"720h" rule:"time between two walks of the periodic job through Clerk's users; at least 1m, or 0s for no such job"`
	ReconcileMaxErasePercent int           `env:"RECONCILE_MAX_ERASE_PERCENT" default:"20" min:"0" max:"100" rule:"of the profiles from before such a walk, the largest share that it erases because their people are gone at Clerk; beyond it (and beyond ten people or a third, whichever is less) nobody without --force"`

	OTelExporterOTLPEndpoint       string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" rule:"http or https URL of an OpenTelemetry collector, such as http://collector:4318; /v1/traces is added; without an endpoint there is no tracing"`
	OTelExporterOTLPTracesEndpoint string `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" rule:"the whole URL for traces, which wins over OTEL_EXPORTER_OTLP_ENDPOINT"`
	OTelExporterOTLPProtocol       string `env:"OTEL_EXPORTER_OTLP_PROTOCOL" shown:"http/protobuf" rule:"http/protobuf"`
	OTelExporterOTLPTracesProtocol string `env:"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" shown:"that of OTEL_EXPORTER_OTLP_PROTOCOL" rule:"http/protobuf"`
	OTelExporterOTLPHeaders        Secret `env:"OTEL_EXPORTER_OTLP_HEADERS" secret:"true" rule:"headers for the collector, as name=value pairs, comma-separated, values percent-encoded"`
	OTelExporterOTLPTracesHeaders  Secret `env:"OTEL_EXPORTER_OTLP_TRACES_HEADERS" secret:"true" rule:"the same for traces alone, in place of OTEL_EXPORTER_OTLP_HEADERS"`
	OTelTracesExporter             string `env:"OTEL_TRACES_EXPORTER" shown:"otlp" rule:"otlp, or none for no tracing"`
	OTelTracesSampler              string `env:"OTEL_TRACES_SAMPLER" shown:"parentbased_always_on" rule:"always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio"`
	OTelTracesSamplerArg           string `env:"OTEL_TRACES_SAMPLER_ARG" shown:"1" rule:"the share of traces that the ratio samplers take, 0 to 1"`
	OTelServiceName                string `env:"OTEL_SERVICE_NAME" shown:"profile-api" rule:"service.name of every span"`
	OTelResourceAttributes         string `env:"OTEL_RESOURCE_ATTRIBUTES" rule:"more attributes of every span, as key=value pairs, comma-separated, values percent-encoded"`
	OTelSDKDisabled                bool   `env:"OTEL_SDK_DISABLED" default:"false" rule:"true or false; true is no tracing"`

	DiskPath           string     `env:"DISK_PATH" default:"/" rule:"absolute path on the disk that /health watches"`
	DiskMinFreePercent int        `env:"DISK_MIN_FREE_PERCENT" default:"10" min:"0" max:"100" rule:"/health is unhealthy below it and degraded below twice it"`
	LogLevel           slog.Level `env:"LOG_LEVEL" default:"info" rule:"debug, info, warn or error"`
	LogFormat          LogFormat  `env:"LOG_FORMAT" default:"json" rule:"json or text"`
	DocsEnabled        bool       `env:"DOCS_ENABLED" shown:"false in production, else true" rule:"true or false; whether /docs and /openapi.* are served"`
	SecurityContact    string     `env:"SECURITY_CONTACT" shown:"mailto:security@ and the first of ALLOWED_HOSTS" rule:"mailto: with an address, or an https URL; whom /.well-known/security.txt names"`

	origins map[string]Origin // by variable; nil for settings made by hand
}

// Production tells whether the strict rules of production hold.
func (s *Settings) Production() bool { return s.Environment == Production }

// SentryEnabled tells whether there is a Sentry to report to.
func (s *Settings) SentryEnabled() bool {
	return s.SentryDSN.IsSet() && s.SentryDSN.Reveal() != SentryDisabled
}

// RedisURL is VALKEY_URL with the scheme that go-redis knows: redis for
// valkey, rediss for valkeys.
func (s *Settings) RedisURL() Secret {
	scheme, rest, _ := strings.Cut(s.ValkeyURL.Reveal(), "://")
	switch strings.ToLower(scheme) {
	case "valkey":
		return NewSecret("redis://" + rest)
	case "valkeys":
		return NewSecret("rediss://" + rest)
	default:
		return s.ValkeyURL
	}
}
