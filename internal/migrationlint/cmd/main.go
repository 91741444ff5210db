// Command cmd judges the migrations of this source tree; make lint runs it at the tree's root.
package main

import (
	"fmt"
	"os"

	"github.com/profile-api/profile-api/internal/migrationlint"
)

func main() {
	list, err := os.ReadFile("deploy/releases/list")
	if err == nil {
		var found []migrationlint.Finding
		found, err = migrationlint.Dir(os.DirFS("migrations"), migrationlint.Releases(string(list)), migrationlint.Baseline())
		for _, f := range found {
			fmt.Fprintln(os.Stderr, "migrations/"+f.String())
		}
		if err == nil && len(found) > 0 {
			err = fmt.Errorf("%d statements would stop the service or the release before", len(found))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
