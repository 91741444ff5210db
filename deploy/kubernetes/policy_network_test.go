package kubernetes_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// private are addresses of clusters, clouds' metadata services and machines nearby.
var private = []string{"10.0.0.1", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.168.0.1", "fd00::1", "fe80::1"}

func networkRules() []rule {
	serverPolicy := func(what string, value any, path ...string) breakage {
		return changeNamed(what, "NetworkPolicy", "profile-api", value, path...)
	}
	return []rule{
		{
			says: "nothing in the namespace talks to anybody unless a policy says so",
			check: func(c cluster) []string {
				p := c.named("NetworkPolicy", "default-deny")
				pods, all := p.at("spec", "podSelector").(map[string]any)
				if !all || len(pods) > 0 || !slices.Equal(strs(p.at("spec", "policyTypes")), []string{"Ingress", "Egress"}) ||
					p.at("spec", "ingress") != nil || p.at("spec", "egress") != nil {
					return []string{"there is no policy default-deny that does"}
				}
				return nil
			},
			breaks: []breakage{
				remove("NetworkPolicy", "default-deny"),
				changeNamed("some pods", "NetworkPolicy", "default-deny", map[string]any{"matchLabels": map[string]any{"a": "b"}}, "spec", "podSelector"),
				changeNamed("ways out open", "NetworkPolicy", "default-deny", []any{"Ingress"}, "spec", "policyTypes"),
				changeNamed("everybody let in", "NetworkPolicy", "default-deny", []any{map[string]any{}}, "spec", "ingress"),
			},
		},
		{
			says: "into the server comes the gateway on the API's port, and Prometheus on the operators'",
			check: func(c cluster) (faults []string) {
				var seen []string
				for _, in := range policyOf(c, c.one("Rollout"), &faults, "ingress") {
					for _, from := range list(at(in, "from")) {
						for _, port := range list(at(in, "ports")) {
							seen = append(seen, fmt.Sprintf("%v/%v on %v", at(from, "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name"),
								at(from, "podSelector", "matchLabels", "app.kubernetes.io/name"), at(port, "port")))
						}
					}
					if len(list(at(in, "from"))) == 0 || len(list(at(in, "ports"))) == 0 {
						seen = append(seen, "anybody, or on any port")
					}
				}
				if !slices.Equal(seen, []string{"gateway/<nil> on 8080", "monitoring/prometheus on 9090"}) {
					faults = append(faults, fmt.Sprintf("those who come in are %q", seen))
				}
				return faults
			},
			breaks: []breakage{
				serverPolicy("the gateway at the operators' port", 9090, "spec", "ingress", "0", "ports", "0", "port"),
				serverPolicy("any port", nil, "spec", "ingress", "0", "ports"),
				serverPolicy("anybody", nil, "spec", "ingress", "1", "from"),
				serverPolicy("all of monitoring", nil, "spec", "ingress", "1", "from", "0", "podSelector"),
				serverPolicy("all namespaces", map[string]any{}, "spec", "ingress", "0", "from", "0", "namespaceSelector"),
				serverPolicy("other pods", "x", "spec", "podSelector", "matchLabels", "app.kubernetes.io/component"),
			},
		},
		{
			says: "the server reaches names, its stores, the collector of traces, and HTTPS outside of the cluster",
			check: func(c cluster) []string {
				return egressFaults(c, c.one("Rollout"), []int{53, 53, 5432, 6379, 4317, 4318, 443})
			},
			breaks: []breakage{
				serverPolicy("no DNS", 54, "spec", "egress", "0", "ports", "0", "port"),
				serverPolicy("no PostgreSQL", 5433, "spec", "egress", "1", "ports", "0", "port"),
				serverPolicy("any destination", nil, "spec", "egress", "4", "to"),
				serverPolicy("any port", nil, "spec", "egress", "4", "ports"),
				serverPolicy("the metadata service", []any{"10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"}, "spec", "egress", "4", "to", "0", "ipBlock", "except"),
				serverPolicy("private addresses of IPv6", nil, "spec", "egress", "4", "to", "1", "ipBlock", "except"),
				serverPolicy("every namespace", nil, "spec", "egress", "1", "to", "0", "namespaceSelector"),
			},
		},
		{
			says: "the migration reaches names and PostgreSQL, and nobody comes in",
			check: func(c cluster) []string {
				faults := egressFaults(c, c.one("Job"), []int{53, 53, 5432})
				if in := policyOf(c, c.one("Job"), &faults, "ingress"); in != nil {
					faults = append(faults, "somebody comes in")
				}
				return faults
			},
			breaks: []breakage{
				changeNamed("Valkey too", "NetworkPolicy", "profile-api-migration", 6379, "spec", "egress", "1", "ports", "0", "port"),
				changeNamed("anybody in", "NetworkPolicy", "profile-api-migration", []any{map[string]any{}}, "spec", "ingress"),
				remove("NetworkPolicy", "profile-api-migration"),
			},
		},
	}
}

// policyOf are the ways in, or out, that the one policy for a workload's pods opens, beside the one for all pods.
func policyOf(c cluster, o object, faults *[]string, direction string) []any {
	var found []object
	for _, p := range c.all("NetworkPolicy") {
		if p.name() != "default-deny" && selects(p.at("spec", "podSelector", "matchLabels"), o.pod().at("metadata", "labels")) {
			found = append(found, p)
		}
	}
	if len(found) != 1 || !slices.Equal(strs(found[0].at("spec", "policyTypes")), []string{"Ingress", "Egress"}) {
		*faults = append(*faults, fmt.Sprintf("%d policies are for the pods of %s", len(found), o))
		return nil
	}
	return list(found[0].at("spec", direction))
}

func egressFaults(c cluster, o object, want []int) (faults []string) {
	var ports []int
	for _, out := range policyOf(c, o, &faults, "egress") {
		for _, p := range list(at(out, "ports")) {
			ports = append(ports, number(at(p, "port")))
		}
		if len(list(at(out, "to"))) == 0 {
			faults = append(faults, "one way leads to anybody")
		}
		for _, to := range list(at(out, "to")) {
			block := at(to, "ipBlock")
			switch names, ok := at(to, "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name").(string); {
			case block == nil && (!ok || names == ""):
				faults = append(faults, "one way leads to all namespaces, or to any pod of this one")
			case block != nil && (len(list(at(out, "ports"))) != 1 || at(out, "ports", "0", "port") != 443):
				faults = append(faults, "one way leads to addresses on other ports than 443")
			}
			for _, address := range private {
				if block != nil && within(block, netip.MustParseAddr(address)) {
					faults = append(faults, "the way out leads to "+address)
				}
			}
		}
	}
	if !slices.Equal(ports, want) {
		faults = append(faults, fmt.Sprintf("the ports are %v", ports))
	}
	return faults
}

// within tells whether an ipBlock takes in the address.
func within(block any, address netip.Addr) bool {
	cidr, err := netip.ParsePrefix(text(at(block, "cidr")))
	if err != nil || !cidr.Contains(address) {
		return false
	}
	for _, except := range strs(at(block, "except")) {
		if p, err := netip.ParsePrefix(except); err == nil && p.Contains(address) {
			return false
		}
	}
	return true
}

func TestWithinAnIPBlock(t *testing.T) {
	block := map[string]any{"cidr": "0.0.0.0/0", "except": []any{"10.0.0.0/8"}}
	if within(block, netip.MustParseAddr("10.1.2.3")) || !within(block, netip.MustParseAddr("1.1.1.1")) || within(block, netip.MustParseAddr("::1")) {
		t.Error("an ipBlock is read wrongly")
	}
}
