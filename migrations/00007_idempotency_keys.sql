-- Responses to requests that carried an Idempotency-Key, for repeats of them.
-- Outside of body nothing names anybody: the hashes are keyed. No foreign key:
-- the answer to an erasure is stored when the profile is gone.

-- +goose Up
CREATE TABLE idempotency_keys (
    key_hash           text PRIMARY KEY,
    request_hash       text NOT NULL,
    subject_profile_id uuid, -- whom the response tells of; their erasure deletes it
    status             integer NOT NULL CONSTRAINT idempotency_keys_status_check CHECK (status BETWEEN 200 AND 299),
    headers            jsonb NOT NULL CONSTRAINT idempotency_keys_headers_check CHECK (jsonb_typeof(headers) = 'object'),
    body               bytea NOT NULL,
    created_at         timestamptz NOT NULL,
    expires_at         timestamptz NOT NULL
);

CREATE INDEX idempotency_keys_subject_idx ON idempotency_keys (subject_profile_id) WHERE subject_profile_id IS NOT NULL;
CREATE INDEX idempotency_keys_expires_idx ON idempotency_keys (expires_at);

-- +goose Down
DROP TABLE idempotency_keys;
