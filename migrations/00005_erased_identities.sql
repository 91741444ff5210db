-- Keyed hashes of the Clerk ids of erased people: a late webhook or a token
-- that lives on cannot revive them.

-- +goose Up
CREATE TABLE erased_identities (
    identity_hash text PRIMARY KEY,
    erased_at     timestamptz NOT NULL
);

-- +goose Down
DROP TABLE erased_identities;
