-- Reconciliation with Clerk: where a run stands, so that another process can go
-- on with it; whom it has met; and who is at it. Nothing here names anybody:
-- profiles are known by their own ids.

-- +goose Up
CREATE TABLE reconciliation_runs (
    id              uuid PRIMARY KEY,
    periodic        boolean NOT NULL,
    begun_at        timestamptz NOT NULL,
    judged_before   timestamptz NOT NULL, -- who may vanish is a share of the profiles from before that
    phase           text NOT NULL CONSTRAINT reconciliation_runs_phase_check CHECK (phase IN ('walking', 'vanished', 'done')),
    next_offset     bigint NOT NULL,
    pages           bigint NOT NULL,
    seen            bigint NOT NULL,
    created         bigint NOT NULL,
    updated         bigint NOT NULL,
    unchanged       bigint NOT NULL,
    stale           bigint NOT NULL,
    skipped         bigint NOT NULL,
    unreadable      bigint NOT NULL,
    failed          bigint NOT NULL,
    candidates      bigint NOT NULL,
    erased          bigint NOT NULL,
    refused         bigint NOT NULL,
    profiles        bigint NOT NULL,
    checked_through uuid NOT NULL, -- the last candidate that Clerk was asked about, by profile
    outcome         text CONSTRAINT reconciliation_runs_outcome_check CHECK (outcome IN ('completed', 'refused', 'abandoned')),
    finished_at     timestamptz,
    CONSTRAINT reconciliation_runs_end_check CHECK ((outcome IS NULL) = (finished_at IS NULL))
);

-- One run at a time, whatever becomes of the lease.
CREATE UNIQUE INDEX reconciliation_runs_unfinished_key ON reconciliation_runs ((finished_at IS NULL)) WHERE finished_at IS NULL;

CREATE TABLE reconciliation_seen (
    run_id     uuid NOT NULL CONSTRAINT reconciliation_seen_run_fkey REFERENCES reconciliation_runs (id) ON DELETE CASCADE,
    profile_id uuid NOT NULL, -- no foreign key: an erasure need not wait for a run
    PRIMARY KEY (run_id, profile_id)
);

-- The one row: who works on a run, and until when that holds. A lease and no
-- session lock, which PgBouncer would not keep.
CREATE TABLE reconciliation_lease (
    singleton     boolean PRIMARY KEY DEFAULT true CONSTRAINT reconciliation_lease_singleton_check CHECK (singleton),
    owner         text,
    held_until    timestamptz,
    watched_since timestamptz -- when the periodic job looked for the first time
);
INSERT INTO reconciliation_lease DEFAULT VALUES;

-- +goose Down
DROP TABLE reconciliation_lease;
DROP TABLE reconciliation_seen;
DROP TABLE reconciliation_runs;
