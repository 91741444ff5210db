package seed

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

var (
	profileColumns = strings.Fields("id clerk_user_id email handle display_name bio avatar_url banner_url location links theme_color " +
		"locale time_zone visibility status suspended_reason suspended_until metadata app_metadata version clerk_updated_at created_at updated_at")
	preferencesColumns = strings.Fields("profile_id theme email_product email_security email_digest content_language reduced_motion " +
		"version created_at updated_at")
	eventColumns = strings.Fields("id occurred_at action actor_kind actor_id profile_id changed_fields request_id client_network")
)

// copyPeople streams the rows of each table (COPY), profiles first: the preferences refer to them.
func copyPeople(ctx context.Context, tx pgx.Tx, people []person) error {
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"profiles"}, profileColumns, pgx.CopyFromSlice(len(people), func(i int) ([]any, error) {
		return profileRow(&people[i])
	}))
	if err != nil {
		return fmt.Errorf("write profiles: %w", err)
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"preferences"}, preferencesColumns, pgx.CopyFromSlice(len(people), func(i int) ([]any, error) {
		p := &people[i].preferences
		return []any{
			binaryID(p.ProfileID), string(p.Theme), p.EmailNotifications.Product, p.EmailNotifications.Security, p.EmailNotifications.Digest,
			p.ContentLanguage, p.ReducedMotion, p.Version, p.CreatedAt, p.UpdatedAt,
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("write preferences: %w", err)
	}
	var events [][]any
	for i := range people {
		for _, e := range people[i].events {
			fields, err := json.Marshal(e.ChangedFields)
			if err != nil {
				return err
			}
			events = append(events, []any{
				binaryID(e.ID), e.OccurredAt, string(e.Action), string(e.ActorKind), binaryID(*e.ActorID), binaryID(e.ProfileID),
				json.RawMessage(fields), e.RequestID, e.ClientNetwork,
			})
		}
	}
	if _, err = tx.CopyFrom(ctx, pgx.Identifier{"audit_events"}, eventColumns, pgx.CopyFromRows(events)); err != nil {
		return fmt.Errorf("write audit events: %w", err)
	}
	return nil
}

func profileRow(made *person) ([]any, error) {
	p := &made.profile
	links, err := json.Marshal(p.Links)
	return []any{
		binaryID(p.ID), p.ClerkUserID, p.Email, p.Handle, p.DisplayName, p.Bio, p.AvatarURL, p.BannerURL, p.Location, json.RawMessage(links),
		p.ThemeColor, p.Locale, p.TimeZone, string(p.Visibility), string(p.Status), p.SuspendedReason, p.SuspendedUntil,
		p.Metadata, p.AppMetadata, p.Version, p.ClerkUpdatedAt, p.CreatedAt, p.UpdatedAt,
	}, err
}

// binaryID spares pgx the reading of text. The ids are our own, so they parse.
func binaryID(id string) (b [16]byte) {
	digits := id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:]
	_, _ = hex.Decode(b[:], []byte(digits))
	return b
}
