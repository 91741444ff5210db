-- Events on their way to other services: one row for each event and sink, written
-- in the transaction of the change and deleted when the sink has taken it. Nothing
-- in it tells of a person but a profile's id. No foreign key: the event of an
-- erasure outlives the profile.

-- +goose Up
CREATE TABLE event_outbox (
    seq             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- rises in the order of a profile's changes: its row is locked meanwhile
    event_id        uuid NOT NULL,
    sink            text NOT NULL CONSTRAINT event_outbox_sink_check CHECK (char_length(sink) BETWEEN 1 AND 50),
    profile_id      uuid NOT NULL,
    type            text NOT NULL CONSTRAINT event_outbox_type_check CHECK (char_length(type) BETWEEN 1 AND 100),
    occurred_at     timestamptz NOT NULL,
    payload         text NOT NULL, -- JSON, sent byte for byte
    attempts        integer NOT NULL DEFAULT 0, -- claims; the latest claim's token too
    next_attempt_at timestamptz NOT NULL, -- while it is claimed, the end of the claim
    last_error      text, -- made to be read by anybody
    CONSTRAINT event_outbox_event_key UNIQUE (event_id, sink)
);

-- Is there an earlier one of the same profile?
CREATE INDEX event_outbox_order_idx ON event_outbox (sink, profile_id, seq);
-- What is due? What was tried is asked for apart, so that it cannot crowd out the rest.
CREATE INDEX event_outbox_fresh_idx ON event_outbox (sink, next_attempt_at, seq) WHERE attempts = 0;
CREATE INDEX event_outbox_retry_idx ON event_outbox (sink, next_attempt_at, seq) WHERE attempts > 0;
-- How old is the oldest?
CREATE INDEX event_outbox_age_idx ON event_outbox (sink, occurred_at);

-- +goose Down
DROP TABLE event_outbox;
