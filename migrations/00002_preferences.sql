-- +goose Up
CREATE TABLE preferences (
    profile_id       uuid PRIMARY KEY CONSTRAINT preferences_profile_id_fkey REFERENCES profiles (id) ON DELETE CASCADE,
    theme            text NOT NULL DEFAULT 'system' CONSTRAINT preferences_theme_check CHECK (theme IN ('system', 'light', 'dark')),
    email_product    boolean NOT NULL DEFAULT false,
    email_security   boolean NOT NULL DEFAULT true,
    email_digest     boolean NOT NULL DEFAULT false,
    content_language text CONSTRAINT preferences_content_language_check CHECK (char_length(content_language) BETWEEN 1 AND 100),
    reduced_motion   boolean NOT NULL DEFAULT false,
    version          bigint NOT NULL DEFAULT 1 CONSTRAINT preferences_version_check CHECK (version >= 1),
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
);

-- +goose Down
DROP TABLE preferences;
