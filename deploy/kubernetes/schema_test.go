package kubernetes_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// conform is what kubeconform says of manifests, by the schemas in this repository.
func conform(t *testing.T, manifests []byte) (said string, ok bool) {
	t.Helper()
	cmd := exec.Command(tool(t, "kubeconform"), "-strict", "-summary", "-schema-location", "schemas/{{.ResourceKind}}{{.KindSuffix}}.json")
	cmd.Stdin = bytes.NewReader(manifests)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func TestTheManifestsFitTheirSchemas(t *testing.T) {
	for _, overlay := range overlays {
		if said, ok := conform(t, build(t, overlay)); !ok || !strings.Contains(said, "Invalid: 0, Errors: 0, Skipped: 0") {
			t.Errorf("%s: %s", overlay, said)
		}
	}
}

// A schema that accepts anything would pass too: each kind refuses a slip.
func TestTheSchemasRefuseSlips(t *testing.T) {
	for _, slip := range []struct{ from, to, complaint string }{
		{"readinessProbe:", "readynessProbe:", "readynessProbe"},
		{"failureThreshold: 30", "failureThreshold: often", "failureThreshold"},
		{"readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true", "readOnlyRootFileSystem"},
		{"progressDeadlineAbort: true", "progressDeadlineAborts: true", "progressDeadlineAborts"},
		{"- setWeight: 10", "- setWeights: 10", "setWeights"},
		{"failureLimit: 1", "failureLimits: 1", "failureLimits"},
		{"backoffLimit: 2", "backofLimit: 2", "backofLimit"},
		{"minReplicas: 3", "minReplica: 3", "minReplica"},
		{"maxReplicas: 8", "maxReplicas: eight", "maxReplicas"},
		{"maxUnavailable: 1", "maxUnavailables: 1", "maxUnavailables"},
		{"podSelector: {}", "podSelectors: {}", "podSelectors"},
		{"targetPort: http", "targetPorts: http", "targetPorts"},
		{"podTargetLabels:", "podTargetLabel:", "podTargetLabel"},
		{"jobLabel:", "jobLabels:", "jobLabels"},
		{"for: 2m", "fors: 2m", "fors"},
		{"parentRefs:", "parentRef:", "parentRef"},
		{"automountServiceAccountToken: false\nkind", "automountServiceAccountTokens: false\nkind", "automountServiceAccountTokens"},
		{"kind: Rollout\nmetadata:", "kind: Rollouts\nmetadata:", "could not find schema"},
	} {
		good := string(build(t, "production"))
		broken := strings.Replace(good, slip.from, slip.to, 1)
		if broken == good {
			t.Errorf("the manifests hold no %q to break", slip.from)
			continue
		}
		if said, ok := conform(t, []byte(broken)); ok || !strings.Contains(said, slip.complaint) {
			t.Errorf("%s in place of %s is accepted, or refused for something else: %s", slip.to, slip.from, said)
		}
	}
}
