-- One row per person. The check constraints are a second line behind the rules
-- of the domain package, not a replacement: their failure is a fault of ours.

-- +goose Up
CREATE TABLE profiles (
    id               uuid PRIMARY KEY,
    clerk_user_id    text NOT NULL CONSTRAINT profiles_clerk_user_id_key UNIQUE,
    email            text, -- not unique: Clerk sees to that, and its webhooks come in any order
    handle           text NOT NULL CONSTRAINT profiles_handle_check CHECK (handle ~ '^[A-Za-z0-9_]{3,30}$'),
    display_name     text CONSTRAINT profiles_display_name_check CHECK (char_length(display_name) BETWEEN 1 AND 100),
    bio              text CONSTRAINT profiles_bio_check CHECK (char_length(bio) <= 500),
    avatar_url       text,
    banner_url       text CONSTRAINT profiles_banner_url_check CHECK (char_length(banner_url) <= 2048),
    location         text CONSTRAINT profiles_location_check CHECK (char_length(location) <= 100),
    links            jsonb NOT NULL DEFAULT '[]' CONSTRAINT profiles_links_check
                     CHECK (jsonb_typeof(links) = 'array' AND jsonb_array_length(links) <= 10),
    theme_color      text CONSTRAINT profiles_theme_color_check CHECK (theme_color ~ '^#[0-9A-Fa-f]{6}$'),
    locale           text CONSTRAINT profiles_locale_check CHECK (char_length(locale) BETWEEN 1 AND 100),
    time_zone        text CONSTRAINT profiles_time_zone_check CHECK (char_length(time_zone) BETWEEN 1 AND 64),
    visibility       text NOT NULL DEFAULT 'public' CONSTRAINT profiles_visibility_check CHECK (visibility IN ('public', 'private')),
    status           text NOT NULL DEFAULT 'active' CONSTRAINT profiles_status_check CHECK (status IN ('active', 'suspended')),
    suspended_reason text,
    suspended_until  timestamptz,
    -- PostgreSQL prints a space after each comma and colon: at most twice the 8 KiB of compact JSON.
    metadata         jsonb NOT NULL DEFAULT '{}' CONSTRAINT profiles_metadata_check
                     CHECK (jsonb_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 16384),
    app_metadata     jsonb NOT NULL DEFAULT '{}' CONSTRAINT profiles_app_metadata_check
                     CHECK (jsonb_typeof(app_metadata) = 'object' AND octet_length(app_metadata::text) <= 16384),
    version          bigint NOT NULL DEFAULT 1 CONSTRAINT profiles_version_check CHECK (version >= 1),
    clerk_updated_at timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
);

-- Unique whatever the case. The C collation keeps lower() the same everywhere
-- (a Turkish one knows another i) and lets the index serve prefixes as well.
CREATE UNIQUE INDEX profiles_handle_key ON profiles (lower(handle COLLATE "C"));

-- +goose Down
DROP TABLE profiles;
