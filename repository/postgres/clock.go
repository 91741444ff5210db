package postgres

import "time"

var started = time.Now()

// uptime is how long the program runs, by the monotonic clock: good to tell what came first.
func uptime() time.Duration { return time.Since(started) }
