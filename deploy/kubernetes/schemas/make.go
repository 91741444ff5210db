//go:build ignore

// Command make writes the JSON schemas of the kinds that the manifests use, for
// kubeconform, into its own folder: from the OpenAPI document and the resource
// definitions in pinned Go modules, so that the checksum database vouches for
// them. Run it by hand after a pin or a kind has changed (the modules are large,
// and a test must not need the network):
//
//	go run deploy/kubernetes/schemas/make.go
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	kubernetes = "k8s.io/kubernetes@v1.34.0"
	definition = "#/definitions/"
)

// native are kinds of Kubernetes itself: file of the schema, name in the OpenAPI document.
var native = [][2]string{
	{"configmap-v1", "io.k8s.api.core.v1.ConfigMap"},
	{"cronjob-batch-v1", "io.k8s.api.batch.v1.CronJob"}, // backups
	{"horizontalpodautoscaler-autoscaling-v2", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"},
	{"job-batch-v1", "io.k8s.api.batch.v1.Job"},
	{"namespace-v1", "io.k8s.api.core.v1.Namespace"},
	{"networkpolicy-networking-v1", "io.k8s.api.networking.v1.NetworkPolicy"},
	{"persistentvolumeclaim-v1", "io.k8s.api.core.v1.PersistentVolumeClaim"}, // backups
	{"poddisruptionbudget-policy-v1", "io.k8s.api.policy.v1.PodDisruptionBudget"},
	{"service-v1", "io.k8s.api.core.v1.Service"},
	{"serviceaccount-v1", "io.k8s.api.core.v1.ServiceAccount"},
}

// custom are kinds of others: file of the schema, module, file in it, version of the kind.
var custom = [][4]string{
	{"rollout-argoproj-v1alpha1", "github.com/argoproj/argo-rollouts@v1.8.3", "manifests/crds/rollout-crd.yaml", "v1alpha1"},
	{"analysistemplate-argoproj-v1alpha1", "github.com/argoproj/argo-rollouts@v1.8.3", "manifests/crds/analysis-template-crd.yaml", "v1alpha1"},
	{"httproute-gateway-v1", "sigs.k8s.io/gateway-api@v1.3.0", "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml", "v1"},
	{"podmonitor-monitoring-v1", "github.com/prometheus-operator/prometheus-operator@v0.85.0", "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml", "v1"},
	{"prometheusrule-monitoring-v1", "github.com/prometheus-operator/prometheus-operator@v0.85.0", "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml", "v1"},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "make schemas:", err)
		os.Exit(1)
	}
}

func run() error {
	_, self, _, _ := runtime.Caller(0)
	out := filepath.Dir(self)
	dir, err := module(kubernetes)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "api/openapi-spec/swagger.json"))
	if err != nil {
		return err
	}
	var document struct{ Definitions map[string]any }
	if err := json.Unmarshal(raw, &document); err != nil {
		return err
	}
	for _, kind := range native {
		used := map[string]any{}
		collect(document.Definitions, kind[1], used)
		if err := write(out, kind[0], map[string]any{"$ref": definition + kind[1], "definitions": used}); err != nil {
			return err
		}
	}
	for _, kind := range custom {
		schema, err := customSchema(kind[1], kind[2], kind[3])
		if err != nil {
			return err
		}
		if err := write(out, kind[0], schema); err != nil {
			return err
		}
	}
	return nil
}

// module downloads a module, if need be, and tells where it lies.
func module(pinned string) (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", pinned)
	cmd.Dir = os.TempDir()
	raw, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("download %s: %w\n%s", pinned, err, raw)
	}
	var m struct{ Dir string }
	return m.Dir, json.Unmarshal(raw, &m)
}

// customSchema is the schema of one version in a CustomResourceDefinition.
func customSchema(pinned, path, version string) (any, error) {
	dir, err := module(pinned)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		return nil, err
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema map[string]any `yaml:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(raw, &crd); err != nil {
		return nil, err
	}
	for _, v := range crd.Spec.Versions {
		if v.Name == version {
			return strict(v.Schema.OpenAPIV3Schema), nil
		}
	}
	return nil, fmt.Errorf("%s has no version %s", path, version)
}

// collect puts the definition of that name, and those it refers to, into used.
func collect(all map[string]any, name string, used map[string]any) {
	if used[name] != nil {
		return
	}
	used[name] = true // not twice, in a circle
	used[name] = strict(all[name])
	if name == "io.k8s.apimachinery.pkg.api.resource.Quantity" {
		used[name] = map[string]any{"type": []string{"string", "number"}} // the document says string alone, and 1 is a quantity too
	}
	refer(used[name], func(ref string) { collect(all, strings.TrimPrefix(ref, definition), used) })
}

func refer(node any, found func(ref string)) {
	switch n := node.(type) {
	case map[string]any:
		for key, child := range n {
			if ref, ok := child.(string); ok && key == "$ref" {
				found(ref)
			}
			refer(child, found)
		}
	case []any:
		for _, child := range n {
			refer(child, found)
		}
	}
}

// kept are the keywords that judge something; descriptions are most of the bulk.
var kept = []string{
	"type", "required", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern",
	"$ref",
}

// strict is a schema without prose, in which a field that it does not name is a fault.
func strict(node any) any {
	in, ok := node.(map[string]any)
	if !ok {
		return node
	}
	out := map[string]any{}
	for _, key := range kept {
		if v, ok := in[key]; ok {
			out[key] = v
		}
	}
	if in["format"] == "int-or-string" || in["x-kubernetes-int-or-string"] == true {
		return map[string]any{"type": []string{"string", "integer"}}
	}
	if properties, ok := in["properties"].(map[string]any); ok {
		named := map[string]any{}
		for name, child := range properties {
			named[name] = strict(child)
		}
		out["properties"] = named
		if in["x-kubernetes-preserve-unknown-fields"] != true {
			out["additionalProperties"] = false
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if child, ok := in[key]; ok {
			out[key] = strict(child)
		}
	}
	return out
}

func write(dir, name string, schema any) error {
	raw, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), append(raw, '\n'), 0o644)
}
