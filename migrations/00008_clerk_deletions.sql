-- People who were erased here and must still be deleted at Clerk. The Clerk id
-- is sealed under SECRET_KEY; the row goes when Clerk has deleted the person.

-- +goose Up
CREATE TABLE clerk_deletions (
    id              uuid PRIMARY KEY,
    sealed_clerk_id text NOT NULL,
    requested_at    timestamptz NOT NULL
);

-- +goose Down
DROP TABLE clerk_deletions;
