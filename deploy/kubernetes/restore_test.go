package kubernetes_test

import (
	"os"
	"strings"
	"testing"
)

// What is applied by hand in a restore fits its schema, runs as the database's user, and finds data and repository where pgBackRest's settings say.
func TestTheRestoresJobFits(t *testing.T) {
	manifest, err := os.ReadFile("../backup/kubernetes/restore.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if said, ok := conform(t, manifest); !ok || !strings.Contains(said, "Valid: 1, Invalid: 0") {
		t.Errorf("%s", said)
	}
	if len(load(t, backups).all("Job")) != 0 {
		t.Error("kubectl apply -k starts it, beside the running database")
	}
	jobs, err := parse(manifest)
	if err != nil {
		t.Fatal(err)
	}
	job, backup := jobs.named("Job", "restore").pod(), load(t, backups).named("CronJob", "backup").pod()
	conf, err := os.ReadFile("../backup/pgbackrest.conf")
	if err != nil {
		t.Fatal(err)
	}
	mounts := map[string]bool{}
	for _, m := range list(job.at("spec", "containers", "0", "volumeMounts")) {
		mounts[text(at(m, "mountPath"))] = true
	}
	if _, data, _ := strings.Cut(string(conf), "\npg1-path="); !mounts[strings.SplitN(data, "\n", 2)[0]] || !mounts["/etc/pgbackrest/conf.d"] || !mounts["/tmp"] {
		t.Errorf("it has %v", mounts)
	}
	for _, path := range [][]string{{"runAsUser"}, {"runAsNonRoot"}, {"fsGroup"}, {"seccompProfile", "type"}} {
		in := append([]string{"spec", "securityContext"}, path...)
		if got, want := job.at(in...), backup.at(in...); got != want || got == nil {
			t.Errorf("%v is %v, and %v for the backups", path, got, want)
		}
	}
}
