package kubernetes_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/profile-api/profile-api/config"
)

const serverLabels = "app.kubernetes.io/name"

func scaleRules() []rule {
	return []rule{
		{
			says: "the number of replicas is the autoscaler's alone, and never one",
			check: func(c cluster) (faults []string) {
				h := c.one("HorizontalPodAutoscaler")
				if h.at("spec", "scaleTargetRef", "kind") != "Rollout" || h.at("spec", "scaleTargetRef", "name") != c.one("Rollout").name() {
					faults = append(faults, "the autoscaler is for something else")
				}
				if number(h.at("spec", "minReplicas")) < 2 || number(h.at("spec", "maxReplicas")) <= number(h.at("spec", "minReplicas")) {
					faults = append(faults, "it may leave one replica, or has no room")
				}
				if c.one("Rollout").at("spec", "replicas") != nil {
					faults = append(faults, "the Rollout sets replicas too: each apply would undo the autoscaler")
				}
				return faults
			},
			breaks: []breakage{
				change("one replica", "HorizontalPodAutoscaler", 1, "spec", "minReplicas"),
				change("no minimum", "HorizontalPodAutoscaler", nil, "spec", "minReplicas"),
				change("no room", "HorizontalPodAutoscaler", 3, "spec", "maxReplicas"),
				change("a Deployment as target", "HorizontalPodAutoscaler", "Deployment", "spec", "scaleTargetRef", "kind"),
				change("replicas", "Rollout", 3, "spec", "replicas"),
				remove("HorizontalPodAutoscaler", "profile-api"),
			},
		},
		{
			says: "a node can be emptied: at least one replica may go and at least one stays",
			check: func(c cluster) (faults []string) {
				p := c.one("PodDisruptionBudget")
				replicas := number(c.one("HorizontalPodAutoscaler").at("spec", "minReplicas"))
				if p.at("spec", "minAvailable") != nil {
					return []string{"the budget counts who stays, which blocks everything when there are few"}
				}
				if gone := number(p.at("spec", "maxUnavailable")); gone < 1 || gone >= replicas {
					faults = append(faults, fmt.Sprintf("%d of %d may go", gone, replicas))
				}
				if !selects(p.at("spec", "selector", "matchLabels"), c.one("Rollout").pod().at("metadata", "labels")) {
					faults = append(faults, "the budget is for other pods")
				}
				if selects(p.at("spec", "selector", "matchLabels"), c.one("Job").pod().at("metadata", "labels")) {
					faults = append(faults, "the budget counts the migration as a replica")
				}
				return faults
			},
			breaks: []breakage{
				change("none may go", "PodDisruptionBudget", 0, "spec", "maxUnavailable"),
				change("all may go", "PodDisruptionBudget", 3, "spec", "maxUnavailable"),
				change("minAvailable", "PodDisruptionBudget", 3, "spec", "minAvailable"),
				change("other pods", "PodDisruptionBudget", "other", "spec", "selector", "matchLabels", serverLabels),
				change("all pods", "PodDisruptionBudget", map[string]any{}, "spec", "selector", "matchLabels"),
				remove("PodDisruptionBudget", "profile-api"),
			},
		},
		{
			says: "replicas spread over the nodes and zones that take them, each version by itself",
			check: func(c cluster) (faults []string) {
				var keys []string
				for _, s := range list(c.one("Rollout").pod().at("spec", "topologySpreadConstraints")) {
					keys = append(keys, text(at(s, "topologyKey")))
					if at(s, "maxSkew") != 1 || !slices.Contains(strs(at(s, "matchLabelKeys")), "rollouts-pod-template-hash") ||
						!selects(at(s, "labelSelector", "matchLabels"), c.one("Rollout").pod().at("metadata", "labels")) {
						faults = append(faults, "the constraint on "+text(at(s, "topologyKey"))+" counts other pods")
					}
					// The default, Ignore, counts a tainted or cordoned node as an empty one: with DoNotSchedule no other gets a second pod.
					if at(s, "nodeTaintsPolicy") != "Honor" {
						faults = append(faults, "the constraint on "+text(at(s, "topologyKey"))+" counts nodes that take no pod")
					}
				}
				if !slices.Contains(keys, "kubernetes.io/hostname") || !slices.Contains(keys, "topology.kubernetes.io/zone") {
					faults = append(faults, fmt.Sprintf("they spread over %q", keys))
				}
				return faults
			},
			breaks: []breakage{
				change("no constraint", "Rollout", nil, under(inPod, "topologySpreadConstraints")...),
				change("nodes alone", "Rollout", "kubernetes.io/hostname", under(inPod, "topologySpreadConstraints", "1", "topologyKey")...),
				change("any skew", "Rollout", 5, under(inPod, "topologySpreadConstraints", "0", "maxSkew")...),
				change("tainted nodes counted, by default", "Rollout", nil, under(inPod, "topologySpreadConstraints", "0", "nodeTaintsPolicy")...),
				change("tainted nodes counted", "Rollout", "Ignore", under(inPod, "topologySpreadConstraints", "0", "nodeTaintsPolicy")...),
				change("versions together", "Rollout", nil, under(inPod, "topologySpreadConstraints", "0", "matchLabelKeys")...),
				change("other pods", "Rollout", "other", under(inPod, "topologySpreadConstraints", "0", "labelSelector", "matchLabels", serverLabels)...),
			},
		},
		{
			says: "a server that is told to stop has the time it takes: drain delay, shutdown timeout and 10 s",
			check: func(c cluster) []string {
				grace := time.Duration(number(c.one("Rollout").pod().at("spec", "terminationGracePeriodSeconds"))) * time.Second
				delay, rest := duration(c, "SHUTDOWN_DRAIN_DELAY"), duration(c, "SHUTDOWN_TIMEOUT")
				if delay < 5*time.Second || grace < delay+rest+10*time.Second {
					return []string{fmt.Sprintf("the grace period is %s for %s and %s", grace, delay, rest)}
				}
				return nil
			},
			breaks: []breakage{
				change("the default grace period", "Rollout", nil, under(inPod, "terminationGracePeriodSeconds")...),
				change("a short one", "Rollout", 45, under(inPod, "terminationGracePeriodSeconds")...),
				{"a longer drain", func(t *testing.T, c cluster) { set(t, c.one("ConfigMap"), "25s", "data", "SHUTDOWN_DRAIN_DELAY") }},
				{"no drain", func(t *testing.T, c cluster) { set(t, c.one("ConfigMap"), "0s", "data", "SHUTDOWN_DRAIN_DELAY") }},
				{"a longer timeout", func(t *testing.T, c cluster) { set(t, c.one("ConfigMap"), "2m", "data", "SHUTDOWN_TIMEOUT") }},
			},
		},
	}
}

// duration is a setting of the server, its default when no manifest sets it.
func duration(c cluster, name string) time.Duration {
	value := text(c.one("ConfigMap").at("data", name))
	for _, e := range config.Reference() {
		if e.Variable == name && value == "" {
			value = e.Default
		}
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return time.Hour // breaks whatever rule it is for
	}
	return d
}
