package config

import (
	"maps"
	"strings"
	"testing"
)

func TestOpenTelemetryRules(t *testing.T) {
	t.Parallel()
	urls := []string{"http://collector:4318", "https://otel.acme.dev", "https://otel.acme.dev/otlp/", "http://[::1]:4318", "http://127.0.0.1:4318/x"}
	noURLs := []string{
		"collector:4318", "collector", "/v1/traces", "grpc://collector:4317", "ftp://collector", "http://", "https:///x", "http://coll ector", "http://collector:0",
		"http://collector:65536", "http://u:p@collector", "http://collector?api-key=x", "http://collector#x", "http://%zz", "http://collector/%zz",
	}
	headers := []string{"api-key=1234", "a=b, c = d%20e", "Authorization=Basic%20dTpw%3D%3D", "x="}
	noHeaders := []string{"hunter2hunter2", "=hunter2hunter2", "a b=hunter2hunter2", "a=hunter2%zz", "a=hunter2%0d%0ab", "a=hunter2hunter2,", "a:hunter2=x", "a=hunter2%ff",
		"Host=hunter2", "content-length=10", "a=hunter2,CONTENT-TYPE=text/plain", "Transfer-Encoding=chunked", "te=trailers"}
	runRules(t, production(),
		good("OTEL_EXPORTER_OTLP_ENDPOINT", urls...), bad("OTEL_EXPORTER_OTLP_ENDPOINT", noURLs...),
		good("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", urls...), bad("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", noURLs...),
		good("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"), bad("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/json", "http", "HTTP/protobuf"),
		good("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"), bad("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "x"),
		good("OTEL_EXPORTER_OTLP_HEADERS", headers...), bad("OTEL_EXPORTER_OTLP_HEADERS", noHeaders...),
		good("OTEL_EXPORTER_OTLP_TRACES_HEADERS", headers...), bad("OTEL_EXPORTER_OTLP_TRACES_HEADERS", noHeaders...),
		good("OTEL_TRACES_EXPORTER", "otlp", "none"), bad("OTEL_TRACES_EXPORTER", "console", "jaeger", "otlp,console"),
		good("OTEL_TRACES_SAMPLER", samplers...), bad("OTEL_TRACES_SAMPLER", "jaeger_remote", "xray", "sometimes", "Always_on", "0.1"),
		good("OTEL_TRACES_SAMPLER_ARG", "0", "1", "0.05", "1e-3"), bad("OTEL_TRACES_SAMPLER_ARG", "-0.1", "1.01", "5%", "NaN", "many"),
		good("OTEL_SERVICE_NAME", "profiles", "Profile – Dienst"), bad("OTEL_SERVICE_NAME", "profiles\xff"),
		good("OTEL_RESOURCE_ATTRIBUTES", "a=b", "deployment.environment.name=staging, k8s.pod.name=x%2Cy", "team=%C3%A9quipe"), bad("OTEL_RESOURCE_ATTRIBUTES", "a", "=b", "a=%zz", "a=b,", "team=%ff", "team=x,a=\xff", "te\xffam=x"),
		good("OTEL_SDK_DISABLED", "true", "false"), bad("OTEL_SDK_DISABLED", "maybe"),
	)
	// A protocol of the other signals is nobody's fault when traces have one of their own.
	mustLoad(t, with(production(), "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"))
	text := faultsOf(t, with(production(), "OTEL_TRACES_SAMPLER", "sometimes")).Error()
	if !strings.Contains(text, "OTEL_TRACES_SAMPLER must be one of always_on") || !strings.Contains(text, `"sometimes"`) {
		t.Errorf("the message does not help: %s", text)
	}
}

// What looks like no secret may be one by the place where it stands.
func TestFaultsRepeatNoKeyOfACollector(t *testing.T) {
	t.Parallel()
	const key = "0f3a9b2c"
	for _, c := range [][2]string{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318?key=" + key}, {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/#" + key},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://collector:4317/?" + key}, {"OTEL_EXPORTER_OTLP_PROTOCOL", "http://collector?key=" + key},
		{"OTEL_RESOURCE_ATTRIBUTES", "apikey=" + key + ",x"}, {"OTEL_RESOURCE_ATTRIBUTES", key},
	} {
		if text := faultsOf(t, with(production(), c[0], c[1])).Error(); strings.Contains(text, key) || !strings.Contains(text, c[0]+" must ") {
			t.Errorf("%s=%s: %s", c[0], c[1], text)
		}
	}
	if text := faultsOf(t, with(production(), "OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")).Error(); !strings.Contains(text, `"collector:4318"`) {
		t.Errorf("the message does not help: %s", text)
	}
}

func TestTracesFromTheVariables(t *testing.T) {
	t.Parallel()
	unset := Traces{
		Sampler: SamplerParentAlwaysOn, Ratio: 1, Attributes: map[string]string{"service.name": "profile-api"},
	}
	change := func(f func(*Traces)) Traces {
		c := unset
		f(&c)
		return c
	}
	const endpoint, collector = "OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"
	at := func(url string) Traces { return change(func(c *Traces) { c.Endpoint = url }) }
	for name, c := range map[string]struct {
		env  []string
		want Traces
	}{
		"nothing":                       {nil, unset},
		"an endpoint":                   {[]string{endpoint, collector}, at(collector + "/v1/traces")},
		"an endpoint with a path":       {[]string{endpoint, collector + "/x/"}, at(collector + "/x/v1/traces")},
		"one for traces":                {[]string{endpoint, collector, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t.dev/x"}, at("https://t.dev/x")},
		"disabled":                      {[]string{endpoint, collector, "OTEL_SDK_DISABLED", "true"}, unset},
		"exporter none":                 {[]string{endpoint, collector, "OTEL_TRACES_EXPORTER", "none"}, unset},
		"exporter otlp, no endpoint":    {[]string{"OTEL_TRACES_EXPORTER", "otlp"}, unset},
		"headers":                       {[]string{"OTEL_EXPORTER_OTLP_HEADERS", "a=b%20c,d=e"}, change(func(c *Traces) { c.Headers = map[string]string{"a": "b c", "d": "e"} })},
		"headers for traces":            {[]string{"OTEL_EXPORTER_OTLP_HEADERS", "a=b", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x=y"}, change(func(c *Traces) { c.Headers = map[string]string{"x": "y"} })},
		"a sampler":                     {[]string{"OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "0.25"}, change(func(c *Traces) { c.Sampler, c.Ratio = SamplerRatio, 0.25 })},
		"a name":                        {[]string{"OTEL_SERVICE_NAME", "p"}, change(func(c *Traces) { c.Attributes = map[string]string{"service.name": "p"} })},
		"a name among attributes":       {[]string{"OTEL_RESOURCE_ATTRIBUTES", "service.name=q,a=b"}, change(func(c *Traces) { c.Attributes = map[string]string{"service.name": "q", "a": "b"} })},
		"a name beside that of a group": {[]string{"OTEL_RESOURCE_ATTRIBUTES", "service.name=q", "OTEL_SERVICE_NAME", "p"}, change(func(c *Traces) { c.Attributes = map[string]string{"service.name": "p"} })},
	} {
		got := mustLoad(t, with(production(), c.env...)).Traces()
		if got.Endpoint != c.want.Endpoint || got.Sampler != c.want.Sampler || got.Ratio != c.want.Ratio ||
			!maps.Equal(got.Headers, c.want.Headers) || !maps.Equal(got.Attributes, c.want.Attributes) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
