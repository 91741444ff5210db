package kubernetes_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	inPod       = []string{"spec", "template", "spec"}
	inContainer = []string{"spec", "template", "spec", "containers", "0"}
)

func under(prefix []string, path ...string) []string { return slices.Concat(prefix, path) }

// changeBoth breaks the server's pod, and in another try the migration's.
func changeBoth(what string, value any, path []string) []breakage {
	return []breakage{change("a server with "+what, "Rollout", value, path...), change("a migration with "+what, "Job", value, path...)}
}

func podRules() []rule {
	return slices.Concat(accountRules(), containerRules(), []rule{
		{
			says: "the server is asked whether it lives, and whether it may have traffic, at the right places",
			check: func(c cluster) (faults []string) {
				for probe, path := range map[string]string{"startupProbe": "/health/live", "livenessProbe": "/health/live", "readinessProbe": "/health/ready"} {
					p := c.one("Rollout").at(under(inContainer, probe, "httpGet")...)
					if at(p, "path") != path || at(p, "port") != "http" {
						faults = append(faults, "the "+probe+" does not ask for "+path)
					}
				}
				return faults
			},
			breaks: []breakage{
				change("a liveness that depends on the database", "Rollout", "/health/ready", under(inContainer, "livenessProbe", "httpGet", "path")...),
				change("a readiness that asks for nothing", "Rollout", "/health/live", under(inContainer, "readinessProbe", "httpGet", "path")...),
				change("no startup probe", "Rollout", nil, under(inContainer, "startupProbe")...),
				change("a probe of the operators' listener", "Rollout", "ops", under(inContainer, "livenessProbe", "httpGet", "port")...),
			},
		},
		{
			says: "images are named by a version or a digest",
			check: eachContainer(func(c object, fault func(string, ...any)) {
				if image := text(c.at("image")); !pinned.MatchString(image) || strings.Contains(image, ":latest") {
					fault("uses the image %q", image)
				}
			}),
			breaks: slices.Concat(
				changeBoth("latest", "registry.example.com/profile-api:latest", under(inContainer, "image")),
				changeBoth("no tag", "registry.example.com:5000/profile-api", under(inContainer, "image")),
				changeBoth("a branch", "registry.example.com/profile-api:main", under(inContainer, "image")),
			),
		},
	})
}

// pinned is an image with a version, a digest or both.
var pinned = regexp.MustCompile(`^[^@]+(?::v?[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*(?:@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$`)

func accountRules() []rule {
	return []rule{
		{
			says: "nothing runs as root",
			check: eachPod(func(o object, fault func(string, ...any)) {
				s := o.pod().at("spec", "securityContext")
				if at(s, "runAsNonRoot") != true || at(s, "runAsUser") != 65532 || at(s, "runAsGroup") != 65532 {
					fault("does not run as the user 65532")
				}
				for _, c := range o.containers() {
					for _, field := range []string{"runAsUser", "runAsGroup", "runAsNonRoot"} {
						if c.at("securityContext", field) != nil {
							fault("overrides %s for a container", field)
						}
					}
				}
			}),
			breaks: slices.Concat(
				changeBoth("runAsNonRoot false", false, under(inPod, "securityContext", "runAsNonRoot")),
				changeBoth("user 0", 0, under(inPod, "securityContext", "runAsUser")),
				changeBoth("a container as root", 0, under(inContainer, "securityContext", "runAsUser")),
			),
		},
		{
			says: "no pod gets a token for Kubernetes, and each has the account made for it",
			check: func(c cluster) []string {
				faults := eachPod(func(o object, fault func(string, ...any)) {
					s := o.pod().at("spec")
					if at(s, "automountServiceAccountToken") != false || at(s, "serviceAccountName") != "profile-api" {
						fault("mounts a token, or uses another account")
					}
				})(c)
				if c.named("ServiceAccount", "profile-api").at("automountServiceAccountToken") != false {
					faults = append(faults, "the account hands out its token")
				}
				return faults
			},
			breaks: append(slices.Concat(
				changeBoth("a token", true, under(inPod, "automountServiceAccountToken")),
				changeBoth("the token's default", nil, under(inPod, "automountServiceAccountToken")),
				changeBoth("the default account", nil, under(inPod, "serviceAccountName")),
			), change("an account with a token", "ServiceAccount", true, "automountServiceAccountToken")),
		},
		{
			says: "no pod shares anything with its node, nor learns the services around it",
			check: eachPod(func(o object, fault func(string, ...any)) {
				s := o.pod().at("spec")
				for _, field := range []string{"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} {
					if at(s, field) != nil {
						fault("has %s", field)
					}
				}
				if at(s, "enableServiceLinks") != false {
					fault("gets variables named after services")
				}
				for _, v := range list(at(s, "volumes")) {
					if at(v, "secret") == nil {
						fault("mounts %v, which is no secret", at(v, "name"))
					}
				}
			}),
			breaks: slices.Concat(
				changeBoth("the node's network", true, under(inPod, "hostNetwork")),
				changeBoth("service links", nil, under(inPod, "enableServiceLinks")),
				changeBoth("a folder of the node", map[string]any{"name": "x", "hostPath": map[string]any{"path": "/"}}, under(inPod, "volumes", "0")),
			),
		},
	}
}

func containerRules() []rule {
	return []rule{
		{
			says:  "every container is confined: its root read-only, no capability, no way to more rights, the runtime's seccomp profile",
			check: eachPod(confined),
			breaks: slices.Concat(
				changeBoth("no seccomp profile", nil, under(inPod, "securityContext", "seccompProfile")),
				changeBoth("seccomp off for a container", map[string]any{"type": "Unconfined"}, under(inContainer, "securityContext", "seccompProfile")),
				changeBoth("a root that can be written", false, under(inContainer, "securityContext", "readOnlyRootFilesystem")),
				changeBoth("privilege escalation", nil, under(inContainer, "securityContext", "allowPrivilegeEscalation")),
				changeBoth("privileges", true, under(inContainer, "securityContext", "privileged")),
				changeBoth("some capabilities dropped", []any{"NET_RAW"}, under(inContainer, "securityContext", "capabilities", "drop")),
				changeBoth("a capability added", []any{"NET_ADMIN"}, under(inContainer, "securityContext", "capabilities", "add")),
				changeBoth("no security context", nil, under(inContainer, "securityContext")),
			),
		},
		{
			says: "every container asks for what it needs, has a limit, and Go's own limit is 70 to 90 % of that",
			check: eachContainer(func(c object, fault func(string, ...any)) {
				for _, kind := range []string{"requests", "limits"} {
					for _, resource := range []string{"cpu", "memory"} {
						if text(c.at("resources", kind, resource)) == "" {
							fault("has no %s of %s", kind, resource)
						}
					}
				}
				limit, own := mebibytes(text(c.at("resources", "limits", "memory")), "Mi"), mebibytes(env(c)["GOMEMLIMIT"], "MiB")
				if own*10 < limit*7 || own*10 > limit*9 {
					fault("has a GOMEMLIMIT of %d MiB and a limit of %d", own, limit)
				}
				if asked := mebibytes(text(c.at("resources", "requests", "memory")), "Mi"); asked == 0 || asked > limit {
					fault("asks for %d MiB of %d", asked, limit)
				}
			}),
			breaks: slices.Concat(
				changeBoth("no limit of memory", nil, under(inContainer, "resources", "limits", "memory")),
				changeBoth("no request of CPU", nil, under(inContainer, "resources", "requests", "cpu")),
				changeBoth("no resources", nil, under(inContainer, "resources")),
				changeBoth("Go's limit above the container's", []any{map[string]any{"name": "GOMEMLIMIT", "value": "600MiB"}}, under(inContainer, "env")),
				changeBoth("no GOMEMLIMIT", nil, under(inContainer, "env")),
			),
		},
		{
			says: "secrets come as files: no variable takes its value from a Secret",
			check: eachContainer(func(c object, fault func(string, ...any)) {
				for _, e := range list(c.at("env")) {
					if at(e, "valueFrom") != nil {
						fault("takes %v from elsewhere", at(e, "name"))
					}
				}
				for _, e := range list(c.at("envFrom")) {
					if at(e, "configMapRef") == nil {
						fault("takes variables from what is no ConfigMap")
					}
				}
				for _, m := range list(c.at("volumeMounts")) {
					if at(m, "readOnly") != true {
						fault("may write to %v", at(m, "mountPath"))
					}
				}
			}),
			breaks: slices.Concat(
				changeBoth("a Secret's keys as variables", map[string]any{"secretRef": map[string]any{"name": "x"}}, under(inContainer, "envFrom", "0")),
				changeBoth("a variable from a Secret", map[string]any{"name": "X", "valueFrom": map[string]any{}}, under(inContainer, "env", "0")),
				changeBoth("a mount to write to", nil, under(inContainer, "volumeMounts", "0", "readOnly")),
			),
		},
		{
			says: "no manifest holds a secret",
			check: func(c cluster) (faults []string) {
				for _, o := range c.all("Secret") {
					faults = append(faults, o.String()+" is in the repository")
				}
				return faults
			},
			breaks: []breakage{changeNamed("a Secret among the manifests", "ServiceAccount", "profile-api", "Secret", "kind")},
		},
	}
}

// confined finds what a workload's pods may do that they need not.
func confined(o object, fault func(string, ...any)) {
	if o.pod().at("spec", "securityContext", "seccompProfile", "type") != "RuntimeDefault" {
		fault("has not the seccomp profile RuntimeDefault")
	}
	for _, c := range o.containers() {
		s := c.at("securityContext")
		if at(s, "readOnlyRootFilesystem") != true {
			fault("may write to its root")
		}
		if at(s, "allowPrivilegeEscalation") != false || at(s, "privileged") != nil {
			fault("may get more rights")
		}
		if !slices.Equal(strs(at(s, "capabilities", "drop")), []string{"ALL"}) || at(s, "capabilities", "add") != nil {
			fault("has capabilities")
		}
		if at(s, "seccompProfile") != nil {
			fault("overrides the seccomp profile")
		}
	}
}

// env are the variables that a container sets by itself.
func env(c object) map[string]string {
	vars := map[string]string{}
	for _, e := range list(c.at("env")) {
		vars[text(at(e, "name"))] = text(at(e, "value"))
	}
	return vars
}

// mebibytes reads a whole number with that unit; anything else is 0.
func mebibytes(s, unit string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(s, unit))
	if err != nil || !strings.HasSuffix(s, unit) {
		return 0
	}
	return n
}

func TestWhichImagesArePinned(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0a", 32)
	for image, want := range map[string]bool{
		"r.example.com/p:1.2.3": true, "r.example.com:5000/p:v1.2.3-rc.1": true, "p:1.2.3" + digest: true, "p" + digest: true,
		"p": false, "p:latest": false, "p:1": false, "r.example.com:5000/p": false, "p:1.2.3@sha256:0a": false, "p:main": false, "": false,
	} {
		if pinned.MatchString(image) != want {
			t.Errorf("%q: pinned is not %v", image, want)
		}
	}
}
