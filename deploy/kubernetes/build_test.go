package kubernetes_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

// These tests build each overlay as kubectl would and judge what comes out of
// it: by schema, by policy, and by the program that it configures. No cluster is
// asked: whether one does what the manifests say is not shown here.

var overlays = []string{"staging", "production"}

// backups stands for the folder of the backups, which is applied by itself.
const backups = "backups"

// tool is the path of a pinned program.
func tool(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(run(t, nil, "../../internal/tools/tool", name))
}

// run is the standard output of a program that must end well.
func run(t *testing.T, stdin []byte, path string, args ...string) string {
	t.Helper()
	cmd := exec.Command(path, args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", path, args, err, out, stderr.Bytes())
	}
	return string(out)
}

var (
	builds   = map[string][]byte{}
	building sync.Mutex
)

// build is what kustomize makes of an overlay, or of the backups.
func build(t *testing.T, overlay string) []byte {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	if builds[overlay] == nil {
		folder := "overlays/" + overlay
		if overlay == backups {
			folder = "../backup/kubernetes"
		}
		builds[overlay] = []byte(run(t, nil, tool(t, "kustomize"), "build", folder))
	}
	return builds[overlay]
}

// object is one manifest.
type object map[string]any

// cluster is what an overlay would apply.
type cluster []object

// load is an overlay, or the backups, read anew, so that a test may break it.
func load(t *testing.T, overlay string) cluster {
	t.Helper()
	c, err := parse(build(t, overlay))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func parse(raw []byte) (cluster, error) {
	var c cluster
	for d := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var o map[string]any // not an object: what it holds would then be objects too
		switch err := d.Decode(&o); {
		case errors.Is(err, io.EOF):
			return c, nil
		case err != nil:
			return nil, err
		}
		c = append(c, o)
	}
}

// all are the objects of a kind.
func (c cluster) all(kind string) (list []object) {
	for _, o := range c {
		if o["kind"] == kind {
			list = append(list, o)
		}
	}
	return list
}

// one is the only object of a kind, or an empty one, which breaks every rule.
func (c cluster) one(kind string) object {
	if list := c.all(kind); len(list) == 1 {
		return list[0]
	}
	return object{}
}

// named is the object of that kind and name, or an empty one.
func (c cluster) named(kind, name string) object {
	for _, o := range c.all(kind) {
		if o.name() == name {
			return o
		}
	}
	return object{}
}

func (o object) name() string { return text(o.at("metadata", "name")) }

func (o object) label(key string) string {
	return text(o.at("metadata", "labels", "app.kubernetes.io/"+key))
}

// String is how a fault names it.
func (o object) String() string { return fmt.Sprintf("%s %s", text(o["kind"]), o.name()) }

// at is what stands at that path, a number being a place in a list; nil when nothing does.
func (o object) at(path ...string) any { return at(map[string]any(o), path...) }

func at(node any, path ...string) any {
	for _, step := range path {
		switch n := node.(type) {
		case map[string]any:
			node = n[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(n) {
				return nil
			}
			node = n[i]
		default:
			return nil
		}
	}
	return node
}

// set puts a value at a path that exists up to its last step; nil takes it away.
func set(t *testing.T, o object, value any, path ...string) {
	t.Helper()
	last := path[len(path)-1]
	switch n := o.at(path[:len(path)-1]...).(type) {
	case map[string]any:
		put(n, last, value)
	case []any:
		i, err := strconv.Atoi(last)
		if err != nil || i >= len(n) {
			t.Fatalf("%s has no %v", o, path)
		}
		n[i] = value
	default:
		t.Fatalf("%s has no %v", o, path[:len(path)-1])
	}
}

func put(n map[string]any, key string, value any) {
	if value == nil {
		delete(n, key)
	} else {
		n[key] = value
	}
}

func text(v any) string { s, _ := v.(string); return s }
func number(v any) int  { n, _ := v.(int); return n }
func list(v any) []any  { l, _ := v.([]any); return l }
func strs(v any) []string {
	out := make([]string, 0, len(list(v)))
	for _, e := range list(v) {
		out = append(out, text(e))
	}
	return out
}

// selects tells whether a label selector that names labels alone takes in the
// labels. An empty selector takes all, a missing one none.
func selects(selector, labels any) bool {
	want, ok := selector.(map[string]any)
	if !ok {
		return false
	}
	have, _ := labels.(map[string]any)
	for key, value := range want {
		if have[key] != value {
			return false
		}
	}
	return true
}
