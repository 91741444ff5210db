-- What happened, for ever. No foreign key: the trail outlives the profile.

-- +goose Up
CREATE TABLE audit_events (
    id             uuid PRIMARY KEY,
    occurred_at    timestamptz NOT NULL,
    action         text NOT NULL CONSTRAINT audit_events_action_check CHECK (char_length(action) BETWEEN 1 AND 100),
    actor_kind     text NOT NULL CONSTRAINT audit_events_actor_kind_check CHECK (actor_kind IN ('user', 'admin', 'clerk', 'system')),
    actor_id       uuid,
    impersonator   text,
    profile_id     uuid NOT NULL,
    changed_fields jsonb NOT NULL DEFAULT '[]' CONSTRAINT audit_events_changed_fields_check CHECK (jsonb_typeof(changed_fields) = 'array'),
    request_id     text NOT NULL DEFAULT '',
    client_network text NOT NULL DEFAULT ''
);

CREATE INDEX audit_events_profile_idx ON audit_events (profile_id, occurred_at DESC, id DESC);
CREATE INDEX audit_events_time_idx ON audit_events (occurred_at DESC, id DESC);

-- +goose StatementBegin
CREATE FUNCTION audit_events_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd

-- Per statement: refused even when no row would be touched, and for ON CONFLICT DO UPDATE.
CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_refuse_change();
-- Also in a session that has switched ordinary triggers off.
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_append_only;

-- +goose Down
DROP TABLE audit_events;
DROP FUNCTION audit_events_refuse_change();
