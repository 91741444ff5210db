-- Deliveries of Clerk's webhooks, each once by its svix-id. Outside of
-- sealed_data nothing names anybody: the hash is keyed. sealed_data is sealed
-- under SECRET_KEY and goes when the delivery is done with or the person is erased.

-- +goose Up
CREATE TABLE webhook_deliveries (
    id           text PRIMARY KEY CONSTRAINT webhook_deliveries_id_check CHECK (char_length(id) BETWEEN 1 AND 255),
    type         text NOT NULL CONSTRAINT webhook_deliveries_type_check CHECK (type IN ('user.created', 'user.updated', 'user.deleted')),
    state        text NOT NULL CONSTRAINT webhook_deliveries_state_check CHECK (state IN ('received', 'failed', 'applied', 'ignored', 'dead')),
    reason       text NOT NULL DEFAULT '',
    attempts     integer NOT NULL DEFAULT 0 CONSTRAINT webhook_deliveries_attempts_check CHECK (attempts >= 0),
    subject_hash text,
    sealed_data  text,
    received_at  timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    -- What waits to be applied has its data, and what is done with has none. Of a dead one there may have been nothing to keep.
    CONSTRAINT webhook_deliveries_data_check CHECK (state = 'dead' OR (sealed_data IS NOT NULL) = (state IN ('received', 'failed'))),
    -- Data that no erasure could find is not kept.
    CONSTRAINT webhook_deliveries_subject_check CHECK ((subject_hash IS NULL) = (sealed_data IS NULL))
);

CREATE INDEX webhook_deliveries_subject_idx ON webhook_deliveries (subject_hash) WHERE sealed_data IS NOT NULL;
CREATE INDEX webhook_deliveries_open_idx ON webhook_deliveries (state, received_at) WHERE state IN ('received', 'failed', 'dead');
CREATE INDEX webhook_deliveries_received_idx ON webhook_deliveries (received_at);
CREATE INDEX webhook_deliveries_expires_idx ON webhook_deliveries (expires_at) WHERE expires_at IS NOT NULL;

-- +goose Down
DROP TABLE webhook_deliveries;
