package kubernetes_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// backedUp is what a namespace holds that runs the server and its backups, as far as backups are concerned.
func backedUp(t *testing.T) cluster {
	t.Helper()
	return slices.Concat(load(t, backups), load(t, "production").all("NetworkPolicy"))
}

// does are the commands that a job of the backups gives its script.
func (o object) does() []string {
	return strs(o.pod().at("spec", "containers", "0", "args"))
}

// eachBackup checks every job of the backups, and that there is one for each task.
func eachBackup(check func(o object, fault func(format string, args ...any))) func(c cluster) []string {
	return func(c cluster) (faults []string) {
		tasks := map[string]bool{}
		for _, o := range c.all("CronJob") {
			for _, task := range o.does() {
				tasks[task] = true
			}
			check(o, func(format string, args ...any) { faults = append(faults, o.String()+" "+fmt.Sprintf(format, args...)) })
		}
		for _, task := range []string{"once", "verify", "status", "check"} {
			if !tasks[task] {
				faults = append(faults, "no job does "+task)
			}
		}
		return faults
	}
}

// setting is one of backup-settings', in seconds; 0 when it is no number.
func setting(c cluster, name string) int {
	n, err := strconv.Atoi(text(c.named("ConfigMap", "backup-settings").at("data", name)))
	if err != nil {
		return 0
	}
	return n
}

// database is the host and namespace in the backups' pg1-host.
func database(c cluster) (service, namespace string) {
	conf := text(c.named("ConfigMap", "backup-pgbackrest").at("data", "pgbackrest.conf"))
	if m := regexp.MustCompile(`(?m)^pg1-host=([a-z0-9-]+)\.([a-z0-9-]+)\.svc$`).FindStringSubmatch(conf); m != nil {
		return m[1], m[2]
	}
	return "", ""
}

var inBackup = []string{"spec", "jobTemplate", "spec"}

func backupRules() []rule {
	job := func(what, name string, value any, path ...string) breakage {
		return changeNamed(what, "CronJob", name, value, under(inBackup, path...)...)
	}
	policy := func(what string, value any, path ...string) breakage {
		return changeNamed(what, "NetworkPolicy", "profile-api-backup", value, path...)
	}
	return []rule{
		{
			says:  "backups are taken, all of them are verified, and each hour somebody looks whether they are there",
			check: eachBackup(func(object, func(string, ...any)) {}),
			breaks: []breakage{
				changeNamed("no job that verifies", "CronJob", "backup-verify", []any{"status"}, under(inBackup, "template", "spec", "containers", "0", "args")...),
				remove("CronJob", "backup"),
			},
		},
		{
			says: "the backups reach names, pgBackRest's server beside PostgreSQL, and an object store; and nobody comes in",
			check: func(c cluster) []string {
				_, namespace := database(c)
				return eachBackup(func(o object, fault func(string, ...any)) {
					faults := egressFaults(c, o, []int{53, 53, 8432, 443})
					if in := policyOf(c, o, &faults, "ingress"); in != nil {
						faults = append(faults, "somebody comes in")
					}
					for _, f := range faults {
						fault("%s", f)
					}
					if o.at("metadata", "namespace") != "profile-api" || namespace == "" ||
						c.named("NetworkPolicy", "profile-api-backup").at("spec", "egress", "1", "to", "0", "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name") != namespace {
						fault("cannot reach the database in the namespace %q", namespace)
					}
				})(c)
			},
			breaks: []breakage{
				remove("NetworkPolicy", "profile-api-backup"),
				policy("no DNS", 54, "spec", "egress", "0", "ports", "0", "port"),
				policy("PostgreSQL itself", 5432, "spec", "egress", "1", "ports", "0", "port"),
				policy("another namespace than the database's", "profile-api", "spec", "egress", "1", "to", "0", "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name"),
				policy("any destination", nil, "spec", "egress", "2", "to"),
				policy("no object store", []any{}, "spec", "egress", "2", "ports"),
				policy("the metadata service", nil, "spec", "egress", "2", "to", "0", "ipBlock", "except"),
				policy("anybody in", []any{map[string]any{}}, "spec", "ingress"),
				policy("other pods", "api", "spec", "podSelector", "matchLabels", "app.kubernetes.io/component"),
				changeNamed("a database in the backups' own namespace", "ConfigMap", "backup-pgbackrest", "pg1-host=postgres\n", "data", "pgbackrest.conf"),
				job("pods that no policy is for", "backup-check", nil, "template", "metadata", "labels"),
			},
		},
		{
			says: "a backup is taken within the hour in which it is due, and never again by a retry",
			check: eachBackup(func(o object, fault func(string, ...any)) {
				if slices.Equal(o.does(), []string{"verify"}) || slices.Equal(o.does(), []string{"status", "check"}) {
					return // these only read
				}
				byHand := slices.Equal(o.does(), []string{"full"}) && o.at("spec", "suspend") == true
				if hourly := strings.HasSuffix(text(o.at("spec", "schedule")), " * * * *"); !byHand && (!slices.Equal(o.does(), []string{"once"}) || !hourly || o.at("spec", "suspend") != nil) {
					fault("does %q at %v", o.does(), o.at("spec", "schedule"))
				}
				if o.at(under(inBackup, "backoffLimit")...) != 0 || o.pod().at("spec", "restartPolicy") != "Never" || o.at("spec", "concurrencyPolicy") != "Forbid" {
					fault("may take a backup twice")
				}
			}),
			breaks: []breakage{
				job("retries", "backup", 2, "backoffLimit"),
				job("retries by default", "backup", nil, "backoffLimit"),
				job("a container that is started again", "backup", "OnFailure", "template", "spec", "restartPolicy"),
				job("a full backup whether due or not", "backup", []any{"full"}, "template", "spec", "containers", "0", "args"),
				changeNamed("full backups by the clock", "CronJob", "backup-full", nil, "spec", "suspend"),
				changeNamed("no backups", "CronJob", "backup", true, "spec", "suspend"),
				job("retries of those by hand", "backup-full", nil, "backoffLimit"),
				changeNamed("once a day", "CronJob", "backup", "17 2 * * *", "spec", "schedule"),
				changeNamed("two at once", "CronJob", "backup", "Allow", "spec", "concurrencyPolicy"),
			},
		},
		{
			says: "a backup is due before the week, or the day, is over, and is missed when neither the wait for the hour nor the longest backup explains it",
			check: func(c cluster) (faults []string) {
				longest := number(c.named("CronJob", "backup").at(under(inBackup, "activeDeadlineSeconds")...))
				if full, differential := setting(c, "BACKUP_FULL_SECONDS"), setting(c, "BACKUP_DIFFERENTIAL_SECONDS"); full != 7*24*3600-3600 || differential != 24*3600-3600 {
					faults = append(faults, fmt.Sprintf("they are due after %d and %d s", full, differential))
				}
				if grace := setting(c, "BACKUP_GRACE_SECONDS"); longest == 0 || grace < 3600+longest || grace > 12*3600 {
					faults = append(faults, fmt.Sprintf("one may be %d s late, and take %d", grace, longest))
				}
				return append(faults, eachBackup(func(o object, fault func(string, ...any)) {
					if o.pod().at("spec", "containers", "0", "envFrom", "0", "configMapRef", "name") != "backup-settings" {
						fault("has other settings")
					}
				})(c)...)
			},
			breaks: []breakage{
				changeNamed("the default grace", "ConfigMap", "backup-settings", "7200", "data", "BACKUP_GRACE_SECONDS"),
				changeNamed("a day", "ConfigMap", "backup-settings", "86400", "data", "BACKUP_DIFFERENTIAL_SECONDS"),
				job("longer backups", "backup", 43200, "activeDeadlineSeconds"),
				job("a check by the defaults", "backup-check", nil, "template", "spec", "containers", "0", "envFrom"),
			},
		},
		{
			says: "the backups' pods are as confined as the server's, and their image has a version",
			check: eachBackup(func(o object, fault func(string, ...any)) {
				confined(o, fault)
				s := o.pod().at("spec")
				if at(s, "securityContext", "runAsNonRoot") != true || at(s, "automountServiceAccountToken") != false {
					fault("may be root, or has a token for Kubernetes")
				}
				for _, container := range o.containers() {
					if image := text(container.at("image")); !pinned.MatchString(image) {
						fault("uses the image %q", image)
					}
				}
			}),
			breaks: []breakage{
				job("the image that compose builds", "backup-check", "profile-api-postgres:dev", "template", "spec", "containers", "0", "image"),
				job("root", "backup", false, "template", "spec", "securityContext", "runAsNonRoot"),
				job("a token", "backup", nil, "template", "spec", "automountServiceAccountToken"),
				job("no security context", "backup-verify", nil, "template", "spec", "containers", "0", "securityContext"),
			},
		},
	}
}

func TestTheBackupsKeepEveryRule(t *testing.T) {
	load := func() cluster { return backedUp(t) }
	keep(t, backups, load, backupRules())
	refuse(t, load, backupRules())
	if said, ok := conform(t, build(t, backups)); !ok || !strings.Contains(said, "Invalid: 0, Errors: 0, Skipped: 0") {
		t.Error(said)
	}
	// What the README tells to call the service and to write into the certificate.
	readme, err := os.ReadFile("../backup/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if service, namespace := database(backedUp(t)); !strings.Contains(string(readme), "`"+service+"."+namespace+".svc`") {
		t.Errorf("the backups' README does not speak of %s.%s.svc", service, namespace)
	}
}
