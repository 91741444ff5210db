package postgres

// The columns that hand-written reads name: a column that the next release adds
// must not reach this one's scanner. A test holds them equal to the entities.
const (
	profileColumns = "id, clerk_user_id, email, handle, display_name, bio, avatar_url, banner_url, location, links, theme_color, " +
		"locale, time_zone, visibility, status, suspended_reason, suspended_until, metadata, app_metadata, version, " +
		"clerk_updated_at, clerk_mark, handle_seed, display_name_seed, clerk_suspended, admin_suspended_until, created_at, updated_at"
	// What the public view shows, and what tells who may see it.
	publicColumns = "id, clerk_user_id, handle, display_name, bio, avatar_url, banner_url, location, links, theme_color, " +
		"visibility, status, suspended_until, created_at, updated_at"
	auditColumns = "id, occurred_at, action, actor_kind, actor_id, impersonator, profile_id, changed_fields, request_id, client_network"
)
