package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

const (
	cancelPatience = time.Second            // then the connection is cut
	cancelSettles  = 100 * time.Millisecond // a late signal must not hit the connection's next statement
)

// cancelOnServer makes the end of a context stop the statement in PostgreSQL
// too, at once; pgx's default only hangs up, and the server works on.
func cancelOnServer(conn *pgconn.PgConn) ctxwatch.Handler { return &serverCancel{conn: conn} }

// serverCancel differs from pgx's own CancelRequestContextWatcherHandler in
// that it never hangs up on its own cancel request: PgBouncer 1.18, which
// Debian 12 has, dies of that (pgbouncer/pgbouncer issue 801).
type serverCancel struct {
	conn *pgconn.PgConn
	done chan struct{} // closed when the request was heard or given up
}

// HandleCancel runs when the context ends while a statement is under way.
func (c *serverCancel) HandleCancel(ended context.Context) {
	c.done = make(chan struct{})
	_ = c.conn.Conn().SetDeadline(time.Now().Add(cancelPatience)) //nolint:forbidigo // a deadline of the network's; fails only on a closed connection
	go func() {
		defer close(c.done)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ended), cancelPatience)
		defer cancel()
		_ = c.conn.CancelRequest(ctx) // when it is not heard, the deadline above ends the wait
		time.Sleep(cancelSettles)
	}()
}

// HandleUnwatchAfterCancel runs when the statement is over, before the
// connection is used again.
func (c *serverCancel) HandleUnwatchAfterCancel() {
	<-c.done
	_ = c.conn.Conn().SetDeadline(time.Time{}) // fails only on a closed connection
}
