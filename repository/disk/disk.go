// Package disk measures the file system that the service lives on.
package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Meter measures the file system that holds Path.
type Meter struct{ Path string }

// FreePercent is the share, 0–100, that an unprivileged program may still
// write: the blocks reserved for root count as used, as df shows them.
func (m Meter) FreePercent() (float64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(m.Path, &st); err != nil {
		return 0, fmt.Errorf("measure the disk: %w", err)
	}
	usable := st.Blocks - st.Bfree + st.Bavail
	if usable == 0 {
		return 100, nil // a file system without blocks, such as an overlay of nothing, cannot fill up
	}
	return 100 * float64(st.Bavail) / float64(usable), nil
}
