package kubernetes_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var inCanary = []string{"spec", "strategy", "canary"}

func releaseRules() []rule {
	return slices.Concat(canaryRules(), []rule{
		{
			says: "the migration is a Job of this version, with the server's image and settings, as the owner of the schema",
			check: func(c cluster) (faults []string) {
				job, server := c.one("Job"), c.one("Rollout")
				image := text(server.at(under(inContainer, "image")...))
				_, version, _ := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
				version, _, _ = strings.Cut(version, "@")
				if version == "" || job.name() != "profile-api-migrate-"+version || len(job.name()) > 63 {
					faults = append(faults, "its name is "+job.name())
				}
				if job.at(under(inContainer, "image")...) != image {
					faults = append(faults, "its image is another")
				}
				if got := strs(job.at(under(inContainer, "args")...)); !slices.Equal(got, []string{"migrate", "up"}) {
					faults = append(faults, fmt.Sprintf("it does %q", got))
				}
				if env(object{"env": job.at(under(inContainer, "env")...)})["DATABASE_URL_FILE"] != "/run/secrets/profile-api-migration/database_url" {
					faults = append(faults, "it uses the server's role")
				}
				if text(c.one("ConfigMap").at("data", "MIGRATE_ON_START")) != "" {
					faults = append(faults, "the server migrates too")
				}
				return faults
			},
			breaks: []breakage{
				change("a name without version", "Job", "profile-api-migrate", "metadata", "name"),
				change("another image", "Job", "registry.example.com/profile-api:0.9.0", under(inContainer, "image")...),
				change("a way back", "Job", []any{"migrate", "down"}, under(inContainer, "args")...),
				change("the server's role", "Job", nil, under(inContainer, "env")...),
				change("a server that migrates", "ConfigMap", "true", "data", "MIGRATE_ON_START"),
			},
		},
		{
			says: "every object says in which step of a release it is applied: groundwork, then migration, then api",
			check: func(c cluster) (faults []string) {
				steps := map[string]string{"Job": "migration"}
				for _, kind := range []string{"Namespace", "ServiceAccount", "ConfigMap", "NetworkPolicy", "HTTPRoute"} {
					steps[kind] = "groundwork"
				}
				for _, kind := range []string{"Rollout", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "AnalysisTemplate", "PodMonitor", "PrometheusRule"} {
					steps[kind] = "api"
				}
				for _, o := range c {
					if step := steps[text(o["kind"])]; step == "" || o.label("component") != step || o.label("name") != "profile-api" {
						faults = append(faults, fmt.Sprintf("%s is in the step %q", o, o.label("component")))
					}
				}
				return faults
			},
			breaks: []breakage{
				change("a Rollout with the migration", "Rollout", "migration", "metadata", "labels", "app.kubernetes.io/component"),
				change("a migration with the server", "Job", "api", "metadata", "labels", "app.kubernetes.io/component"),
				change("a route in the middle of a rollout", "HTTPRoute", "api", "metadata", "labels", "app.kubernetes.io/component"),
				change("no step", "HTTPRoute", nil, "metadata", "labels"),
				change("a kind that nobody thought of", "PodMonitor", "Ingress", "kind"),
			},
		},
		{
			says: "the route takes the hosts that the server answers to, is at rest with all traffic on stable, and outlasts the longest deadline",
			check: func(c cluster) (faults []string) {
				r := c.one("HTTPRoute")
				if hosts := strings.Join(strs(r.at("spec", "hostnames")), ","); hosts == "" || hosts != text(c.one("ConfigMap").at("data", "ALLOWED_HOSTS")) {
					faults = append(faults, "its hosts are "+hosts)
				}
				var weights []string
				for _, b := range list(r.at("spec", "rules", "0", "backendRefs")) {
					weights = append(weights, fmt.Sprintf("%v %v", at(b, "name"), at(b, "weight")))
				}
				if !slices.Equal(weights, []string{"profile-api-stable 100", "profile-api-canary 0"}) {
					faults = append(faults, fmt.Sprintf("its weights are %q", weights))
				}
				wait, err := time.ParseDuration(text(r.at("spec", "rules", "0", "timeouts", "request")))
				if longest := max(duration(c, "REQUEST_TIMEOUT"), duration(c, "ADMIN_REQUEST_TIMEOUT")) + 10*time.Second; err != nil || wait <= longest {
					faults = append(faults, fmt.Sprintf("it waits %s", wait))
				}
				return faults
			},
			breaks: []breakage{
				change("other hosts", "HTTPRoute", []any{"other.example.com"}, "spec", "hostnames"),
				change("every host", "HTTPRoute", nil, "spec", "hostnames"),
				change("half on the canary", "HTTPRoute", 100, "spec", "rules", "0", "backendRefs", "1", "weight"),
				change("a short wait", "HTTPRoute", "30s", "spec", "rules", "0", "timeouts", "request"),
				change("no wait", "HTTPRoute", nil, "spec", "rules", "0", "timeouts"),
			},
		},
		{
			says: "the namespace refuses pods that are not restricted",
			check: func(c cluster) (faults []string) {
				n := c.one("Namespace")
				if n.at("metadata", "labels", "pod-security.kubernetes.io/enforce") != "restricted" {
					faults = append(faults, "it does not")
				}
				for _, o := range c {
					if o["kind"] != "Namespace" && o.at("metadata", "namespace") != n.name() {
						faults = append(faults, o.String()+" is elsewhere")
					}
				}
				return faults
			},
			breaks: []breakage{
				change("any pod", "Namespace", "baseline", "metadata", "labels", "pod-security.kubernetes.io/enforce"),
				change("another namespace", "Rollout", "default", "metadata", "namespace"),
			},
		},
	})
}

func canaryRules() []rule {
	return []rule{
		{
			says: "a new version gets 10, 50 and 100 % of the traffic, and is judged after each",
			check: func(c cluster) (faults []string) {
				r := c.one("Rollout")
				var steps []string
				for _, s := range list(r.at(under(inCanary, "steps")...)) {
					switch {
					case at(s, "setWeight") != nil:
						steps = append(steps, fmt.Sprint(at(s, "setWeight")))
					case at(s, "analysis") != nil:
						steps = append(steps, analysisFault(c, at(s, "analysis"), &faults))
					default:
						steps = append(steps, "something else")
					}
				}
				if !slices.Equal(steps, []string{"10", "judge", "50", "judge", "100", "judge"}) {
					faults = append(faults, fmt.Sprintf("the steps are %q", steps))
				}
				if r.at("spec", "progressDeadlineAbort") != true || number(r.at("spec", "progressDeadlineSeconds")) == 0 {
					faults = append(faults, "a version that never becomes ready is waited for")
				}
				return faults
			},
			breaks: []breakage{
				change("25 % at once", "Rollout", map[string]any{"setWeight": 25}, under(inCanary, "steps", "0")...),
				change("no judgement of the first step", "Rollout", map[string]any{"pause": map[string]any{}}, under(inCanary, "steps", "1")...),
				change("no steps", "Rollout", nil, under(inCanary, "steps")...),
				change("a judge that is not there", "Rollout", "other", under(inCanary, "steps", "3", "analysis", "templates", "0", "templateName")...),
				change("an argument too few", "Rollout", []any{map[string]any{"name": "namespace"}}, under(inCanary, "steps", "5", "analysis", "args")...),
				change("the stable pods in the canary's place", "Rollout", "Stable", under(inCanary, "steps", "1", "analysis", "args", "1", "valueFrom", "podTemplateHashValue")...),
				change("no end of waiting", "Rollout", nil, "spec", "progressDeadlineAbort"),
				remove("AnalysisTemplate", "profile-api-canary"),
			},
		},
		{
			says: "traffic is split by the route's weights, between services that select the server",
			check: func(c cluster) (faults []string) {
				r := c.one("Rollout")
				plugin := r.at(under(inCanary, "trafficRouting", "plugins", "argoproj-labs/gatewayAPI")...)
				if route := c.one("HTTPRoute"); at(plugin, "httpRoute") != route.name() || at(plugin, "namespace") != route.at("metadata", "namespace") {
					faults = append(faults, "the weights of another route are moved")
				}
				for role, service := range map[string]string{"stableService": "profile-api-stable", "canaryService": "profile-api-canary"} {
					s := c.named("Service", service)
					if r.at(under(inCanary, role)...) != service || !selects(s.at("spec", "selector"), r.pod().at("metadata", "labels")) ||
						selects(s.at("spec", "selector"), c.one("Job").pod().at("metadata", "labels")) || s.at("spec", "type") != nil {
						faults = append(faults, service+" is not the "+role)
					}
				}
				return faults
			},
			breaks: []breakage{
				change("another route", "Rollout", "other", under(inCanary, "trafficRouting", "plugins", "argoproj-labs/gatewayAPI", "httpRoute")...),
				change("the placeholder", "Rollout", "NAMESPACE", under(inCanary, "trafficRouting", "plugins", "argoproj-labs/gatewayAPI", "namespace")...),
				change("services in each other's place", "Rollout", "profile-api-canary", under(inCanary, "stableService")...),
				changeNamed("other pods", "Service", "profile-api-canary", "other", "spec", "selector", serverLabels),
				changeNamed("open to the outside", "Service", "profile-api-stable", "LoadBalancer", "spec", "type"),
				remove("Service", "profile-api-canary"),
			},
		},
		{
			says: "Prometheus reads the operators' port and puts the version's hash on what it reads",
			check: func(c cluster) (faults []string) {
				m, server := c.one("PodMonitor"), c.one("Rollout")
				if !selects(m.at("spec", "selector", "matchLabels"), server.pod().at("metadata", "labels")) ||
					!slices.Contains(strs(m.at("spec", "podTargetLabels")), "rollouts-pod-template-hash") {
					faults = append(faults, "it reads other pods, or without the hash")
				}
				endpoint := m.at("spec", "podMetricsEndpoints", "0")
				port := fmt.Sprint(":", server.at(under(inContainer, "ports", "1", "containerPort")...))
				if at(endpoint, "port") != "ops" || at(endpoint, "path") != "/metrics" || server.at(under(inContainer, "ports", "1", "name")...) != "ops" ||
					port != text(c.one("ConfigMap").at("data", "OPS_ADDR")) {
					faults = append(faults, "it reads another port")
				}
				if at(server.at(under(inContainer, "ports", "0")...), "name") != "http" || text(c.one("ConfigMap").at("data", "HTTP_ADDR")) != ":8080" {
					faults = append(faults, "the port http is not HTTP_ADDR's")
				}
				return faults
			},
			breaks: []breakage{
				change("no hash", "PodMonitor", nil, "spec", "podTargetLabels"),
				change("the API's port", "PodMonitor", "http", "spec", "podMetricsEndpoints", "0", "port"),
				change("a listener on loopback", "ConfigMap", "127.0.0.1:9090", "data", "OPS_ADDR"),
				change("another port", "Rollout", 9091, under(inContainer, "ports", "1", "containerPort")...),
				change("another API port", "ConfigMap", ":8081", "data", "HTTP_ADDR"),
			},
		},
	}
}

// analysisFault is "judge" when an analysis step runs a template that exists, with the arguments that it takes.
func analysisFault(c cluster, analysis any, faults *[]string) string {
	template := c.named("AnalysisTemplate", text(at(analysis, "templates", "0", "templateName")))
	var takes, gets []string
	for _, a := range list(template.at("spec", "args")) {
		takes = append(takes, text(at(a, "name")))
	}
	for _, a := range list(at(analysis, "args")) {
		gets = append(gets, text(at(a, "name")))
		if of := at(a, "valueFrom", "podTemplateHashValue"); of != nil && of != "Latest" {
			*faults = append(*faults, fmt.Sprintf("an analysis judges the pods %v", of))
		}
	}
	if len(takes) == 0 || !slices.Equal(takes, gets) {
		*faults = append(*faults, fmt.Sprintf("an analysis takes %q and gets %q", takes, gets))
	}
	return "judge"
}

// The version is said in one place of an overlay, and may bring a digest.
func TestAVersionGetsWhereItBelongs(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0a", 32)
	for _, version := range []string{"2.3.4", "2.3.4" + digest} {
		c := released(t, "production", version)
		tag, _, _ := strings.Cut(version, "@")
		for _, got := range []string{text(c.one("Rollout").at(under(inContainer, "image")...)), text(c.one("Job").at(under(inContainer, "image")...))} {
			if got != "registry.example.com/profile-api:"+version || !pinned.MatchString(got) {
				t.Errorf("version %s: the image is %s", version, got)
			}
		}
		if c.one("Job").name() != "profile-api-migrate-"+tag || c.one("Rollout").label("version") != tag {
			t.Errorf("version %s: the names are %s and %s", version, c.one("Job"), c.one("Rollout").label("version"))
		}
	}
}
