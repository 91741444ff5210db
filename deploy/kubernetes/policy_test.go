package kubernetes_test

import (
	"fmt"
	"slices"
	"testing"
)

// rule is one demand on what an overlay applies.
type rule struct {
	says   string
	check  func(c cluster) []string // the faults
	breaks []breakage               // each must be a fault: a rule that refuses nothing demands nothing
}

// breakage is one way to break a rule.
type breakage struct {
	what string
	do   func(t *testing.T, c cluster)
}

// change breaks the only object of a kind at a path; a nil value takes the field away.
func change(what, kind string, value any, path ...string) breakage {
	return breakage{what, func(t *testing.T, c cluster) { t.Helper(); set(t, c.one(kind), value, path...) }}
}

// changeNamed is [change] of one among several.
func changeNamed(what, kind, name string, value any, path ...string) breakage {
	return breakage{what, func(t *testing.T, c cluster) { t.Helper(); set(t, c.named(kind, name), value, path...) }}
}

// remove takes an object away, by giving it a kind that nobody asks for.
func remove(kind, name string) breakage {
	return breakage{"no " + kind + " " + name, func(t *testing.T, c cluster) { t.Helper(); set(t, c.named(kind, name), "Gone", "kind") }}
}

func rules() []rule { return slices.Concat(podRules(), scaleRules(), networkRules(), releaseRules()) }

func TestTheManifestsKeepEveryRule(t *testing.T) {
	for _, overlay := range overlays {
		keep(t, overlay, func() cluster { return load(t, overlay) }, rules())
	}
}

func keep(t *testing.T, name string, load func() cluster, rules []rule) {
	t.Helper()
	for _, r := range rules {
		for _, fault := range r.check(load()) {
			t.Errorf("%s: %s, but %s", name, r.says, fault)
		}
	}
}

func TestEveryRuleRefusesWhatBreaksIt(t *testing.T) {
	refuse(t, func() cluster { return load(t, "production") }, rules())
}

func refuse(t *testing.T, load func() cluster, rules []rule) {
	t.Helper()
	for _, r := range rules {
		if len(r.breaks) == 0 {
			t.Errorf("nothing shows that this rule refuses anything: %s", r.says)
		}
		for _, b := range r.breaks {
			c := load()
			b.do(t, c)
			if len(r.check(c)) == 0 {
				t.Errorf("%q: accepts %s", r.says, b.what)
			}
		}
	}
}

// workloads are the objects that start pods.
func (c cluster) workloads() []object {
	return slices.Concat(c.all("Rollout"), c.all("Deployment"), c.all("Job"), c.all("CronJob"))
}

// pod is the pod that a workload starts.
func (o object) pod() object {
	for _, path := range [][]string{{"spec", "template"}, {"spec", "jobTemplate", "spec", "template"}} {
		if p, ok := o.at(path...).(map[string]any); ok {
			return p
		}
	}
	return object{}
}

// containers are all containers of a pod, those that prepare it too.
func (o object) containers() (all []object) {
	for _, field := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for _, c := range list(o.pod().at("spec", field)) {
			all = append(all, object(c.(map[string]any)))
		}
	}
	return all
}

// eachPod checks every workload, and that there is the server and its migration.
func eachPod(check func(o object, fault func(format string, args ...any))) func(c cluster) []string {
	return func(c cluster) (faults []string) {
		if len(c.all("Rollout")) != 1 || len(c.all("Job")) != 1 {
			faults = append(faults, "there is not one Rollout and one Job")
		}
		for _, o := range c.workloads() {
			check(o, func(format string, args ...any) { faults = append(faults, o.String()+" "+fmt.Sprintf(format, args...)) })
		}
		return faults
	}
}

// eachContainer is [eachPod] for the containers.
func eachContainer(check func(c object, fault func(format string, args ...any))) func(c cluster) []string {
	return eachPod(func(o object, fault func(format string, args ...any)) {
		if len(o.containers()) == 0 {
			fault("has no container")
		}
		for _, c := range o.containers() {
			check(c, fault)
		}
	})
}
