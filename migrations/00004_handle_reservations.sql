-- Released handles that are kept for their last owner. A keyed hash, so that
-- the row of an erased person identifies nobody; no foreign key, so that
-- erasure does not set the handle free at once.

-- +goose Up
CREATE TABLE handle_reservations (
    handle_hash    text PRIMARY KEY,
    profile_id     uuid NOT NULL,
    reserved_until timestamptz NOT NULL
);

CREATE INDEX handle_reservations_until_idx ON handle_reservations (reserved_until);

-- +goose Down
DROP TABLE handle_reservations;
