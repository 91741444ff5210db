package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/profile-api/profile-api/internal/drill"
)

// compareDatabase asks PostgreSQL, before the program touches it: every row of
// the moment and no other, every acknowledged write of before and none of after.
func (r *rehearsal) compareDatabase(ctx context.Context) ([]string, error) {
	url := r.cluster.server.URL(database)
	now, err := takeSnapshot(ctx, url)
	if err != nil {
		return nil, err
	}
	trail, err := audited(ctx, url)
	if err != nil {
		return nil, err
	}
	broken, err := invariants(ctx, url)
	acked, _ := r.callers.remember()
	found := append(r.truth.differences(now), judge(trail, r.before, acked[len(r.before):])...)
	return append(found, broken...), err
}

// compare asks the API about everybody, and that the schema is current and new writes work.
func (r *rehearsal) compare(ctx context.Context) error {
	acked, _ := r.callers.remember()
	if found := r.callers.differences(ctx, r.people); len(found) > 0 {
		return fmt.Errorf("the API does not answer as at the moment: %s", strings.Join(found, "; "))
	}
	for _, p := range r.callers.people {
		if _, known := r.people[p]; known {
			continue
		}
		if there, err := r.exists(ctx, p.id); err != nil || there {
			return fmt.Errorf("somebody who came after the moment is there, or cannot be asked about: %v %w", there, err)
		}
	}
	out, err := drill.Command(ctx, r.binary, r.settings(), "migrate", "status")
	if err != nil || strings.Contains(out, "pending") {
		return fmt.Errorf("the schema is not current: %s %w", out, err)
	}
	for p, was := range r.people {
		p.erased, p.counter = was.Erased, was.Counter
	}
	for n := range len(r.people) {
		if err := r.callers.patch(ctx, n); err != nil {
			return fmt.Errorf("a new write after the restore: %w", err)
		}
	}
	r.say("compared: all %d writes from before the moment are there, none of the %d after it; %d people by the API, %d tables row by row; new writes work",
		len(r.before), len(acked)-len(r.before), len(r.people), len(compareTables))
	return nil
}

func (r *rehearsal) exists(ctx context.Context, id string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.callers.api+"/v1/profiles?ids="+id, http.NoBody)
	if err != nil {
		return false, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	var answer struct {
		Data []struct{ ID string }
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return len(answer.Data) > 0, errors.Join(err, resp.Body.Close())
}

// endOfArchive restores the last that was archived into a copy: what a loss of
// the disk costs when no moment is asked for. The same copy shows that the
// comparison can fail, as it has writes from after the moment.
func (r *rehearsal) endOfArchive(ctx context.Context) (err error) {
	server, err := r.cluster.copyAtEnd(ctx, r.source, "end", r.cluster.repo(), r.label, "")
	if err != nil {
		return fmt.Errorf("restore the end of the archive: %w", err)
	}
	defer func() { err = errors.Join(err, server.Stop(ctx)) }()
	url := server.URL(database)
	now, err := takeSnapshot(ctx, url)
	if err != nil {
		return err
	}
	trail, err := audited(ctx, url)
	if err != nil {
		return err
	}
	var acked []write
	all, _ := r.callers.remember()
	for _, w := range all {
		if w.At.Before(r.destroyed) {
			acked = append(acked, w)
		}
	}
	if len(r.truth.differences(now)) == 0 || len(judge(trail, r.before, acked[len(r.before):])) == 0 {
		return errors.New("the comparison finds nothing wrong in a database that has writes from after the moment: it is worth nothing")
	}
	lost, window := loss(trail, acked, r.destroyed)
	timeout, err := r.cluster.archiveTimeout()
	if err != nil {
		return err
	}
	r.say("recovery point at the end of the archive: %d of %d acknowledged writes lost, the oldest %.1f s before the destruction (archive_timeout %s)",
		lost, len(acked), window.Seconds(), timeout)
	if err := bounded(window, timeout); err != nil {
		return err
	}
	r.say("the comparison was tried on that copy, and finds the writes from after the moment")
	return nil
}

// onePush is more than archiving a segment takes.
const onePush = 30 * time.Second

// bounded is an error when the end of the archive lies further back than docs/adr/0023-backups.md promises: archive_timeout and
// one push. It is one, too, when the loss came so soon after a push that it says nothing of that.
func bounded(window, timeout time.Duration) error {
	if window > timeout+onePush {
		return fmt.Errorf("writes of %.1f s are lost, and archive_timeout is %s", window.Seconds(), timeout)
	}
	if window < timeout/2 {
		return fmt.Errorf("the oldest write lost is %.1f s old, and archive_timeout is %s: the worst was not met, run the drill again", window.Seconds(), timeout)
	}
	return nil
}

// reconcile erases again who was erased between the moment and the loss.
func (r *rehearsal) reconcile(ctx context.Context) error {
	for _, p := range r.erased {
		if answer, err := r.callers.call(ctx, http.MethodGet, p, "", http.StatusOK); err != nil || answer.ID != p.id {
			return fmt.Errorf("somebody erased after the moment should be back: %w", err)
		}
	}
	out, err := drill.Command(ctx, r.binary, r.settings(), "reconcile")
	if err != nil {
		return err
	}
	for _, p := range r.erased {
		if answer, err := r.callers.call(ctx, http.MethodGet, p, "", http.StatusUnauthorized); err != nil || answer.Code != "account-erased" {
			return fmt.Errorf("reconcile has not erased somebody again: %w", err)
		}
	}
	r.say("erased after the moment, and back by the restore: %d people; profile-api reconcile erased them again,", len(r.erased))
	r.say("and made profiles for those at Clerk who had none (who came after the moment, and the stand-in's samples):")
	for line := range strings.Lines(out) {
		if strings.Contains(line, "erased") || strings.Contains(line, "had no profile") {
			r.say("  %s", strings.TrimRight(line, "\n"))
		}
	}
	return nil
}

// backUpAgain sees to it that the restored cluster, on its new timeline, is backed up again.
func (r *rehearsal) backUpAgain(ctx context.Context) error {
	if _, err := r.cluster.run(ctx, []string{"BACKUP_DIFFERENTIAL_SECONDS=0"}, "once", "status", "archiver", "verify"); err != nil {
		return fmt.Errorf("back up after the restore: %w", err)
	}
	list, err := r.cluster.backups(ctx)
	if err != nil {
		return err
	}
	if len(list) != 3 {
		return fmt.Errorf("%d backups instead of three after the restore", len(list))
	}
	r.say("the restored cluster is backed up again: %s", list[2].Label)
	return nil
}

// damage harms copies of the repository: it must be noticed, by verify and by the restore.
func (r *rehearsal) damage(ctx context.Context) error {
	for name, harm := range map[string]func(repository string) error{"gap": r.removeSegment, "flipped": r.flipByte} {
		repository := filepath.Join(r.cluster.root, name+"-repository")
		if err := copyTree(ctx, r.cluster, r.cluster.repo(), repository); err != nil {
			return err
		}
		if err := harm(repository); err != nil {
			return err
		}
		out, err := r.cluster.run(ctx, []string{"PGBACKREST_REPO1_PATH=" + repository}, "verify")
		if err == nil {
			return fmt.Errorf("verify is content with a damaged repository (%s): %s", name, out)
		}
		server, err := r.cluster.copyAtEnd(ctx, r.source, name, repository, full(r.label), r.moment)
		if err == nil {
			return errors.Join(fmt.Errorf("a damaged repository (%s) was restored without a word", name), server.Stop(ctx))
		}
		r.say("damaged repository (%s): verify fails, and so does the restore: %.160s", name, reason(err))
	}
	return nil
}

// full is the label of the full backup that another one stands on.
func full(label string) string {
	label, _, _ = strings.Cut(label, "_")
	return label
}

// reason is the one line of an error that tells the most.
func reason(err error) string {
	for line := range strings.SplitSeq(strings.ReplaceAll(err.Error(), " | ", "\n"), "\n") {
		if _, said, ok := strings.Cut(line, "ERROR: "); ok {
			return said
		}
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}

// removeSegment takes away the first WAL behind the full backup: more follows it, and every later moment needs it.
func (r *rehearsal) removeSegment(repository string) error {
	found, err := filepath.Glob(filepath.Join(repository, "archive/profile-api/*/*", r.fullStop[:8]+strings.Repeat("[0-9A-F]", 16)+"-*"))
	if err != nil {
		return err
	}
	slices.Sort(found)
	for _, path := range found {
		if filepath.Base(path)[:24] > r.fullStop {
			return os.Remove(path)
		}
	}
	return errors.New("there is no WAL behind the full backup")
}

// flipByte changes one byte in the middle of the full backup's largest file.
func (r *rehearsal) flipByte(repository string) (err error) {
	var largest string
	var size int64
	err = filepath.WalkDir(filepath.Join(repository, "backup/profile-api", full(r.label), "bundle"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(largest, os.O_RDWR, 0) // #nosec G304 -- in the drill's own copy
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	one := make([]byte, 1)
	if _, err := file.ReadAt(one, size/2); err != nil {
		return err
	}
	one[0] ^= 0xff
	_, err = file.WriteAt(one, size/2)
	return err
}
