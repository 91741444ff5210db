package postgres

import (
	"context"

	"gorm.io/gorm"
)

// Conn lets tests run SQL of their own where the stores' queries begin.
func (db *DB) Conn(ctx context.Context) *gorm.DB { return db.conn(ctx) }

// Translate is translate.
func Translate(ctx context.Context, err error) error { return translate(ctx, err) }

// ErrPoolExhausted is errPoolExhausted.
var ErrPoolExhausted = errPoolExhausted

// The columns that hand-written reads name.
const (
	ProfileColumns = profileColumns
	AuditColumns   = auditColumns
)

// Draining tells whether the runner takes no job any more.
func (r *JobRunner) Draining() bool { return r.ctx.Err() != nil }
