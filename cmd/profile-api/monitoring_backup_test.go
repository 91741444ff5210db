package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// ofKubernetes is what kube-state-metrics shows of the CronJobs in deploy/backup/kubernetes (its docs/metrics/workload/cronjob-metrics.md).
const ofKubernetes = `kube_cronjob_created{namespace="profile-api",cronjob="backup-check"} 1
kube_cronjob_status_last_successful_time{namespace="profile-api",cronjob="backup-check"} 1
kube_cronjob_created{namespace="profile-api",cronjob="backup-verify"} 1
kube_cronjob_status_last_successful_time{namespace="profile-api",cronjob="backup-verify"} 1
`

// besideTheProgram are the series that rules and runbooks ask for and that the program does not show: those that
// the very script of deploy/backup writes, of an empty repository, and those of the cluster.
func besideTheProgram(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"pgbackrest": "echo '[]'", "psql": "echo 0"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil { // #nosec G306 -- it is run
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "metrics.txt")
	cmd := exec.CommandContext(t.Context(), "../../deploy/backup/backup", "status")
	cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "PGHOST=/run", "BACKUP_METRICS_FILE=" + file}
	said, _ := cmd.CombinedOutput() // it fails, since there is no backup
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("deploy/backup/backup wrote no metrics: %v: %s", err, said)
	}
	return string(raw) + ofKubernetes
}
