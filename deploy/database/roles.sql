-- The roles of the database: one that owns the tables and changes the schema,
-- and one that the running program logs in as, which can do neither. Whoever
-- breaks into the program can then not drop a table, nor switch off the trigger
-- that keeps the audit trail, nor change or delete what is in it.
--
-- Run it as a superuser in the program's database, as often as you like, before
-- the first migration or after. The owner is the role that `profile-api migrate
-- up` logs in as: the database's owner, unless profile_api.owner names another.
--
--   psql -d profile_api -v ON_ERROR_STOP=1 -f deploy/database/roles.sql
--   PGOPTIONS='-c profile_api.owner=migrator' psql -d profile_api -v ON_ERROR_STOP=1 -f deploy/database/roles.sql
--
-- The two login roles cannot log in before they get a password:
-- ALTER ROLE profile_api_a LOGIN PASSWORD '…'. There are two, so that a password
-- can be replaced with overlap (docs/runbooks/rotate-database-credentials.md).
DO $$
DECLARE
    owner text := coalesce(nullif(current_setting('profile_api.owner', true), ''),
        (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()));
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['profile_api_app', 'profile_api_a', 'profile_api_b'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', name);
        END IF;
    END LOOP;
    GRANT profile_api_app TO profile_api_a, profile_api_b;

    -- Nobody gets in, or makes anything, who is not named here.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO profile_api_app', current_database());
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    GRANT USAGE ON SCHEMA public TO profile_api_app;

    -- The rows of what is there, and of what later migrations will make. No
    -- TRUNCATE, which no part of the program needs, no TRIGGER and no REFERENCES.
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO profile_api_app;
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO profile_api_app;
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public '
        'GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO profile_api_app', owner);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO profile_api_app', owner);

    -- Less for two of them. In a database without tables, migration 00014 does it.
    IF to_regclass('public.audit_events') IS NOT NULL THEN
        REVOKE UPDATE, DELETE ON audit_events FROM profile_api_app;
    END IF;
    IF to_regclass('public.goose_db_version') IS NOT NULL THEN
        REVOKE INSERT, UPDATE, DELETE ON goose_db_version FROM profile_api_app;
    END IF;
END
$$;
