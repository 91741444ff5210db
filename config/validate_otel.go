package config

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

var samplers = []string{SamplerAlwaysOn, SamplerAlwaysOff, SamplerRatio, SamplerParentAlwaysOn, SamplerParentAlwaysOff, SamplerParentRatio}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$") // a token of RFC 9110, section 5.6.2

// transportHeaders are the request's own (RFC 9110 and 9112): net/http leaves a setting of them out, or the post would be another than it says.
var transportHeaders = []string{
	"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Host", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// otel checks the variables of OpenTelemetry's that are used. Its own libraries
// would log a wrong one at most, and trace by a default that nobody chose.
func (c *checker) otel() {
	s := c.s
	for name, endpoint := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": s.OTelExporterOTLPEndpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": s.OTelExporterOTLPTracesEndpoint,
	} {
		if endpoint != "" && !validCollector(endpoint) {
			c.fault(name, "must be an absolute http or https URL, without user, query and fragment%s; credentials go into OTEL_EXPORTER_OTLP_HEADERS", echo(endpoint))
		}
	}
	for name, protocol := range map[string]string{
		"OTEL_EXPORTER_OTLP_PROTOCOL": s.OTelExporterOTLPProtocol, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": s.OTelExporterOTLPTracesProtocol,
	} {
		overruled := name == "OTEL_EXPORTER_OTLP_PROTOCOL" && s.OTelExporterOTLPTracesProtocol != "" // it is about metrics and logs then
		if protocol != "" && protocol != otlpProtocol && !overruled {
			c.fault(name, "must be %s, the only protocol that is spoken here (the collector's port is 4318 as a rule)%s", otlpProtocol, echo(protocol))
		}
	}
	for name, headers := range map[string]Secret{
		"OTEL_EXPORTER_OTLP_HEADERS": s.OTelExporterOTLPHeaders, "OTEL_EXPORTER_OTLP_TRACES_HEADERS": s.OTelExporterOTLPTracesHeaders,
	} {
		if !validHeaders(headers.Reveal()) {
			c.fault(name, "must be name=value pairs, comma-separated, with percent-encoded values, "+
				"and without what the transport sets (Host, Content-Type, Content-Length and the like)")
		}
	}
	if s.OTelTracesExporter != "" && s.OTelTracesExporter != "otlp" && s.OTelTracesExporter != "none" {
		c.fault("OTEL_TRACES_EXPORTER", "must be otlp or none%s", echo(s.OTelTracesExporter))
	}
	if s.OTelTracesSampler != "" && !slices.Contains(samplers, s.OTelTracesSampler) {
		c.fault("OTEL_TRACES_SAMPLER", "must be one of %s%s", strings.Join(samplers, ", "), echo(s.OTelTracesSampler))
	}
	if _, ok := parseRatio(s.OTelTracesSamplerArg); !ok {
		c.fault("OTEL_TRACES_SAMPLER_ARG", "must be a share from 0 to 1, such as 0.05%s", echo(s.OTelTracesSamplerArg))
	}
	if !validAttributes(s.OTelResourceAttributes) { // not repeated: what is taken for an attribute may be a header with a key
		c.fault("OTEL_RESOURCE_ATTRIBUTES", "must be key=value pairs, comma-separated, with percent-encoded values, in UTF-8")
	}
}

// validAttributes refuses what protobuf would refuse with each post. What is not
// percent-encoded is UTF-8, as every setting.
func validAttributes(text string) bool {
	attributes, ok := parsePairs(text)
	for _, value := range attributes {
		ok = ok && utf8.ValidString(value)
	}
	return ok
}

func validCollector(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && validHostPort(u.Host) && u.User == nil && !strings.ContainsAny(endpoint, "?#")
}

// validHeaders refuses what net/http would refuse with each post, or send otherwise.
func validHeaders(text string) bool {
	headers, ok := parsePairs(text)
	for name, value := range headers {
		ok = ok && headerName.MatchString(name) && !slices.Contains(transportHeaders, http.CanonicalHeaderKey(name)) &&
			utf8.ValidString(value) && !strings.ContainsFunc(value, unicode.IsControl)
	}
	return ok
}

// parseRatio reads OTEL_TRACES_SAMPLER_ARG; unset is 1, as the specification says.
func parseRatio(text string) (float64, bool) {
	if text == "" {
		return 1, true
	}
	ratio, err := strconv.ParseFloat(text, 64)
	return ratio, err == nil && ratio >= 0 && ratio <= 1 // NaN is neither
}
