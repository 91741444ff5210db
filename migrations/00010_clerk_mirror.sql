-- How profiles follow their people at Clerk; see domain.MirrorState. Each
-- statement stands alone, so that none holds the table's lock for another.
--
-- The default of the seeds says that handle and name are the person's own: what
-- was there before, or is inserted by a release that does not know the columns, is
-- never replaced by what Clerk proposes.

-- +goose NO TRANSACTION
-- +goose Up
ALTER TABLE profiles
    ADD COLUMN IF NOT EXISTS clerk_mark text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS handle_seed text DEFAULT '',
    ADD COLUMN IF NOT EXISTS display_name_seed text DEFAULT '',
    ADD COLUMN IF NOT EXISTS clerk_suspended boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS admin_suspended_until timestamptz;

-- An index row over a third of a page is refused, and with it the whole write.
ALTER TABLE profiles DROP CONSTRAINT IF EXISTS profiles_email_check;
ALTER TABLE profiles ADD CONSTRAINT profiles_email_check CHECK (char_length(email) <= 320) NOT VALID;
ALTER TABLE profiles VALIDATE CONSTRAINT profiles_email_check;
ALTER TABLE profiles DROP CONSTRAINT IF EXISTS profiles_avatar_url_check;
ALTER TABLE profiles ADD CONSTRAINT profiles_avatar_url_check CHECK (char_length(avatar_url) <= 2048) NOT VALID;
ALTER TABLE profiles VALIDATE CONSTRAINT profiles_avatar_url_check;

-- +goose Down
ALTER TABLE profiles DROP CONSTRAINT IF EXISTS profiles_avatar_url_check;
ALTER TABLE profiles DROP CONSTRAINT IF EXISTS profiles_email_check;
ALTER TABLE profiles
    DROP COLUMN IF EXISTS admin_suspended_until,
    DROP COLUMN IF EXISTS clerk_suspended,
    DROP COLUMN IF EXISTS display_name_seed,
    DROP COLUMN IF EXISTS handle_seed,
    DROP COLUMN IF EXISTS clerk_mark;
