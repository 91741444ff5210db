-- What the admins' listings walk along. Built beside the traffic; an index that
-- a failed attempt left behind invalid is dropped first.
--
-- Names and addresses are folded by ICU's rules, which know every script
-- whatever the database's locale; the C collation then lets a prefix be a range.
-- With what the search filters and sorts by included (and the column itself,
-- without which PostgreSQL does not read the expression from the index), matches
-- are gathered and sorted without a look at the table.

-- +goose NO TRANSACTION
-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS profiles_created_idx;
CREATE INDEX CONCURRENTLY profiles_created_idx ON profiles (created_at, id);

DROP INDEX CONCURRENTLY IF EXISTS profiles_handle_search_idx;
CREATE INDEX CONCURRENTLY profiles_handle_search_idx ON profiles (lower(handle COLLATE "C"))
    INCLUDE (handle, id, created_at, status, suspended_until);

DROP INDEX CONCURRENTLY IF EXISTS profiles_name_idx;
CREATE INDEX CONCURRENTLY profiles_name_idx ON profiles ((lower(display_name COLLATE "und-x-icu") COLLATE "C"))
    INCLUDE (display_name, handle, id, created_at, status, suspended_until);

DROP INDEX CONCURRENTLY IF EXISTS profiles_email_idx;
CREATE INDEX CONCURRENTLY profiles_email_idx ON profiles ((lower(email COLLATE "und-x-icu") COLLATE "C"))
    INCLUDE (email, handle, id, created_at, status, suspended_until);

-- Few are suspended: a page of them must not walk past everybody else.
DROP INDEX CONCURRENTLY IF EXISTS profiles_suspended_created_idx;
CREATE INDEX CONCURRENTLY profiles_suspended_created_idx ON profiles (created_at, id) WHERE status = 'suspended';
DROP INDEX CONCURRENTLY IF EXISTS profiles_suspended_handle_idx;
CREATE INDEX CONCURRENTLY profiles_suspended_handle_idx ON profiles (lower(handle COLLATE "C")) WHERE status = 'suspended';

-- An export names the released handles that are kept for the person.
DROP INDEX CONCURRENTLY IF EXISTS handle_reservations_profile_idx;
CREATE INDEX CONCURRENTLY handle_reservations_profile_idx ON handle_reservations (profile_id);

DROP INDEX CONCURRENTLY IF EXISTS audit_events_actor_idx;
CREATE INDEX CONCURRENTLY audit_events_actor_idx ON audit_events (actor_id, occurred_at DESC, id DESC);
DROP INDEX CONCURRENTLY IF EXISTS audit_events_action_idx;
CREATE INDEX CONCURRENTLY audit_events_action_idx ON audit_events (action, occurred_at DESC, id DESC);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS audit_events_action_idx;
DROP INDEX CONCURRENTLY IF EXISTS audit_events_actor_idx;
DROP INDEX CONCURRENTLY IF EXISTS handle_reservations_profile_idx;
DROP INDEX CONCURRENTLY IF EXISTS profiles_suspended_handle_idx;
DROP INDEX CONCURRENTLY IF EXISTS profiles_suspended_created_idx;
DROP INDEX CONCURRENTLY IF EXISTS profiles_email_idx;
DROP INDEX CONCURRENTLY IF EXISTS profiles_name_idx;
DROP INDEX CONCURRENTLY IF EXISTS profiles_handle_search_idx;
DROP INDEX CONCURRENTLY IF EXISTS profiles_created_idx;
