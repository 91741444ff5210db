-- Default privileges (deploy/database/roles.sql) give the program's own role all
-- rows of every new table. The audit trail, and the list of what was migrated,
-- are for it to read, the trail to append to as well: whoever has rights on them
-- and is not their owner loses the others. Where there is one role for all, this
-- changes nothing, and the trigger guards the trail as before.

-- +goose Up
SET LOCAL lock_timeout = '3s';
-- +goose StatementBegin
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT DISTINCT g.table_name, g.privilege_type, g.grantee
        FROM information_schema.role_table_grants g
        JOIN pg_class c ON c.oid = to_regclass(quote_ident(g.table_schema) || '.' || quote_ident(g.table_name))
        WHERE g.table_schema = current_schema() AND g.grantee <> pg_get_userbyid(c.relowner)
          AND (g.table_name = 'audit_events' AND g.privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
            OR g.table_name = 'goose_db_version' AND g.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER'))
    LOOP
        EXECUTE format('REVOKE %s ON %I FROM %s', held.privilege_type, held.table_name,
            CASE held.grantee WHEN 'PUBLIC' THEN 'PUBLIC' ELSE quote_ident(held.grantee) END);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- Rights are given back by deploy/database/roles.sql, not here: nobody needs them to go back.
SELECT 1;
