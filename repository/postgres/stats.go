package postgres

import "time"

// Stats is the state of the pool, for the db_pool_* metrics.
type Stats struct {
	MaxOpen      int           // connections allowed
	Open         int           // in use, idle or being made
	InUse        int           //
	Idle         int           //
	Connecting   int           // being made
	Acquires     int64         // connections taken, since the start
	Waits        int64         // of them, those that had to wait
	WaitDuration time.Duration // spent waiting, in sum
	Abandoned    int64         // given up while waiting: exhaustion, or a client gone
	Opened       int64         // connections made
	ClosedByAge  int64         // closed for ConnMaxLifetime
	ClosedIdle   int64         // closed for ConnMaxIdleTime
}

// Stats reads the pool's counters; cheap.
func (db *DB) Stats() Stats {
	s := db.pool.Stat()
	return Stats{
		MaxOpen: int(s.MaxConns()), Open: int(s.TotalConns()), InUse: int(s.AcquiredConns()),
		Idle: int(s.IdleConns()), Connecting: int(s.ConstructingConns()),
		Acquires: s.AcquireCount(), Waits: s.EmptyAcquireCount(), WaitDuration: s.EmptyAcquireWaitTime(),
		Abandoned: s.CanceledAcquireCount(), Opened: s.NewConnsCount(),
		ClosedByAge: s.MaxLifetimeDestroyCount(), ClosedIdle: s.MaxIdleDestroyCount(),
	}
}
