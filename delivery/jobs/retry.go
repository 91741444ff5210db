package jobs

import (
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/profile-api/profile-api/usecase"
)

// Backoff is the wait between two tries of a job. It doubles with each failure
// from First to Last; up to a fifth is taken off at random, so that jobs that
// failed together do not come back together.
type Backoff struct{ First, Last time.Duration }

func (b Backoff) withDefaults() Backoff {
	if b.First == 0 {
		b.First = 2 * time.Second
	}
	if b.Last == 0 {
		b.Last = time.Hour
	}
	return b
}

// after is the wait after so many failures, one at least.
func (b Backoff) after(failures int) time.Duration {
	d := b.First
	for i := 1; i < failures && d < b.Last; i++ {
		d *= 2
	}
	d = min(d, b.Last)
	return d - rand.N(d/5+1) // #nosec G404 -- jitter
}

// retryPolicy tells River when a job that failed is run again.
type retryPolicy struct {
	Backoff

	clock usecase.Clock
}

// NextRetry implements River's ClientRetryPolicy.
func (p retryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	return p.clock.Now().Add(p.after(failures(job)))
}

// failures counts the tries of a job, the one that just ended included: those
// that used up an attempt and those after which it was put off.
func failures(job *rivertype.JobRow) int {
	var metadata struct {
		Snoozes int `json:"snoozes"` // River's own count
	}
	if json.Unmarshal(job.Metadata, &metadata) != nil {
		metadata.Snoozes = 0
	}
	return job.Attempt + metadata.Snoozes
}
