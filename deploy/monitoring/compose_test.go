package monitoring_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// container is what this test looks at in a service of docker-compose.yml.
type container struct {
	Profiles    []string          `yaml:"profiles"`
	Image       string            `yaml:"image"`
	Ports       []string          `yaml:"ports"`
	Networks    networks          `yaml:"networks"`
	Volumes     []string          `yaml:"volumes"`
	Environment map[string]string `yaml:"environment"`
	Secrets     []string          `yaml:"secrets"`
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	SecurityOpt []string          `yaml:"security_opt"`
	Privileged  bool              `yaml:"privileged"`
	Deploy      struct {
		Resources struct {
			Limits map[string]any `yaml:"limits"`
		} `yaml:"resources"`
	} `yaml:"deploy"`
}

// networks are the names, whether compose has them as a list or as a map with settings.
type networks []string

func (n *networks) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		return node.Decode((*[]string)(n))
	}
	var byName map[string]any
	err := node.Decode(&byName)
	*n = slices.Sorted(maps.Keys(byName))
	return err
}

// The monitoring is an option, is hardened as the rest is, and lets nobody from outside read metrics.
func TestTheComposedMonitoring(t *testing.T) {
	t.Parallel()
	var file struct {
		Services map[string]container         `yaml:"services"`
		Networks map[string]map[string]any    `yaml:"networks"`
		Secrets  map[string]map[string]string `yaml:"secrets"`
	}
	if err := yaml.Unmarshal(read(t, "../../docker-compose.yml"), &file); err != nil {
		t.Fatal(err)
	}
	api, prometheus, grafana := file.Services["api"], file.Services["prometheus"], file.Services["grafana"]
	if api.Environment["OPS_ADDR"] != ":9090" || !slices.Contains(api.Networks, "monitoring") || file.Networks["monitoring"]["internal"] != true {
		t.Error("Prometheus cannot reach the API's metrics, or the network is not for these alone")
	}
	for name, s := range file.Services {
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s publishes %s", name, port)
			}
		}
	}
	for name, s := range map[string]container{"prometheus": prometheus, "grafana": grafana} {
		if !slices.Equal(s.Profiles, []string{"monitoring"}) || !strings.Contains(s.Image, ":") || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s: profiles %q, image %q", name, s.Profiles, s.Image)
		}
		if !s.ReadOnly || s.Privileged || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || len(s.Deploy.Resources.Limits) != 3 {
			t.Errorf("%s is not hardened: %+v", name, s)
		}
		for _, v := range s.Volumes {
			if strings.HasPrefix(v, "./") && !strings.HasSuffix(v, ":ro") {
				t.Errorf("%s may write to %s", name, v)
			}
		}
	}
	if len(prometheus.Ports) != 0 || !slices.Equal(prometheus.Networks, networks{"monitoring"}) {
		t.Errorf("Prometheus is to be reached: %q on %q", prometheus.Ports, prometheus.Networks)
	}
	if grafana.Environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] != "/run/secrets/grafana_admin_password" || !slices.Equal(grafana.Secrets, []string{"grafana_admin_password"}) ||
		!strings.Contains(string(read(t, "../compose/make-env")), "keep_or_write grafana_admin_password") || file.Secrets["grafana_admin_password"]["file"] == "" {
		t.Error("Grafana's password is not a generated secret")
	}
}
