package config

import (
	"cmp"
	"net/url"
	"strings"
)

// The samplers of OTEL_TRACES_SAMPLER, as the OpenTelemetry specification names them.
const (
	SamplerAlwaysOn        = "always_on"
	SamplerAlwaysOff       = "always_off"
	SamplerRatio           = "traceidratio"
	SamplerParentAlwaysOn  = "parentbased_always_on"
	SamplerParentAlwaysOff = "parentbased_always_off"
	SamplerParentRatio     = "parentbased_traceidratio"
	otlpProtocol           = "http/protobuf"
	otlpTracesPath         = "/v1/traces" // behind OTEL_EXPORTER_OTLP_ENDPOINT, by the specification
)

// Traces is what the OTEL_* variables say together.
type Traces struct {
	Endpoint   string            // the whole URL that spans are posted to; empty: no tracing
	Headers    map[string]string // sent along; may hold credentials
	Sampler    string
	Ratio      float64           // 0 to 1, of the ratio samplers
	Attributes map[string]string // of the resource, service.name among them
}

// Traces puts the variables together. A variable for traces alone wins over the
// one for all signals, and OTEL_SERVICE_NAME over OTEL_RESOURCE_ATTRIBUTES.
func (s *Settings) Traces() Traces {
	ratio, _ := parseRatio(s.OTelTracesSamplerArg) // validated
	headers, _ := parsePairs(cmp.Or(s.OTelExporterOTLPTracesHeaders.Reveal(), s.OTelExporterOTLPHeaders.Reveal()))
	attributes, _ := parsePairs(s.OTelResourceAttributes)
	if name := cmp.Or(s.OTelServiceName, attributes["service.name"], "profile-api"); attributes == nil {
		attributes = map[string]string{"service.name": name}
	} else {
		attributes["service.name"] = name
	}
	return Traces{
		Endpoint: s.tracesEndpoint(), Headers: headers, Sampler: cmp.Or(s.OTelTracesSampler, SamplerParentAlwaysOn), Ratio: ratio, Attributes: attributes,
	}
}

func (s *Settings) tracesEndpoint() string {
	switch {
	case s.OTelSDKDisabled || s.OTelTracesExporter == "none":
		return ""
	case s.OTelExporterOTLPTracesEndpoint != "":
		return s.OTelExporterOTLPTracesEndpoint
	case s.OTelExporterOTLPEndpoint != "":
		return strings.TrimSuffix(s.OTelExporterOTLPEndpoint, "/") + otlpTracesPath
	}
	return ""
}

// parsePairs reads key=value,key=value with percent-encoded values, the form of
// OTEL_RESOURCE_ATTRIBUTES and OTEL_EXPORTER_OTLP_HEADERS. Blanks around keys
// and values do not count.
func parsePairs(text string) (map[string]string, bool) {
	if strings.TrimSpace(text) == "" {
		return nil, true
	}
	out := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, found := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		plain, err := url.PathUnescape(strings.TrimSpace(value))
		if !found || key == "" || err != nil {
			return nil, false
		}
		out[key] = plain
	}
	return out, true
}
