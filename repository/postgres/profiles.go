package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/profile-api/profile-api/domain"
)

// handleKey is the unique index over handles whatever their case.
const handleKey = "profiles_handle_key"

// returningProfile names the columns of a row that is read back.
var returningProfile = func() (r clause.Returning) {
	for name := range strings.SplitSeq(profileColumns, ", ") {
		r.Columns = append(r.Columns, clause.Column{Name: name})
	}
	return r
}()

// Profiles keeps profiles.
type Profiles struct{ db *DB }

// NewProfiles makes the store.
func NewProfiles(db *DB) *Profiles { return &Profiles{db} }

// ByClerkID gives a person's profile, or an error of kind NotFound.
func (s *Profiles) ByClerkID(ctx context.Context, clerkUserID string) (*domain.Profile, error) {
	return s.one(ctx, func(q *gorm.DB) *gorm.DB { return q.Where("clerk_user_id = ?", clerkUserID) })
}

// ByClerkIDForUpdate also locks the row until the transaction ends.
func (s *Profiles) ByClerkIDForUpdate(ctx context.Context, clerkUserID string) (*domain.Profile, error) {
	return s.one(ctx, func(q *gorm.DB) *gorm.DB {
		return q.Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate}).Where("clerk_user_id = ?", clerkUserID)
	})
}

// ByHandle finds a profile whatever the case of the handle, or gives an error of kind NotFound.
func (s *Profiles) ByHandle(ctx context.Context, handle string) (*domain.Profile, error) {
	return s.one(ctx, func(q *gorm.DB) *gorm.DB { return q.Where(`lower(handle COLLATE "C") = ?`, domain.HandleKey(handle)) })
}

// ByID finds a profile by its id, or gives an error of kind NotFound.
func (s *Profiles) ByID(ctx context.Context, id string) (*domain.Profile, error) {
	return s.one(ctx, func(q *gorm.DB) *gorm.DB { return q.Where("id = ?", id) })
}

// ByIDForUpdate also locks the row until the transaction ends.
func (s *Profiles) ByIDForUpdate(ctx context.Context, id string) (*domain.Profile, error) {
	return s.one(ctx, func(q *gorm.DB) *gorm.DB {
		return q.Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate}).Where("id = ?", id)
	})
}

// PublicByHandles finds the profiles of these handle keys in one statement, in
// no order, with [publicColumns] alone.
func (s *Profiles) PublicByHandles(ctx context.Context, keys []string) ([]domain.Profile, error) {
	return list[domain.Profile](ctx, s.db, batchQuery(foldedHandle, "text", keys))
}

// PublicByIDs is PublicByHandles for ids.
func (s *Profiles) PublicByIDs(ctx context.Context, ids []string) ([]domain.Profile, error) {
	return list[domain.Profile](ctx, s.db, batchQuery("id", "uuid", ids))
}

func batchQuery(column, sqlType string, values []string) query {
	var q query
	q.sql = "SELECT " + publicColumns + " FROM profiles WHERE " + column + " = ANY(" + q.arg(values, sqlType+"[]") + ")"
	return q
}

func (s *Profiles) one(ctx context.Context, where func(*gorm.DB) *gorm.DB) (*domain.Profile, error) {
	var p domain.Profile
	if err := s.db.read(ctx, func(q *gorm.DB) error { return where(q).Take(&p).Error }); err != nil {
		return nil, err
	}
	return &p, nil
}

// Insert writes a new profile, unless its Clerk id, handle or id is there: then
// it gives false and no error. It waits for a transaction in flight that
// decides that. No conflict target is named, because one beside a second unique
// index would still fail on the other.
func (s *Profiles) Insert(ctx context.Context, p *domain.Profile) (bool, error) {
	res := s.db.conn(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(p)
	return res.RowsAffected == 1, translate(ctx, res.Error)
}

// Delete removes the profile with what hangs on it.
func (s *Profiles) Delete(ctx context.Context, id string) error {
	return translate(ctx, s.db.conn(ctx).Where("id = ?", id).Delete(&domain.Profile{}).Error)
}

// Update writes the named fields (their JSON names), updated_at, version and how
// the profile follows Clerk where the stored version is p.Version-1, and reads the
// row back into p. Errors: handle-taken; kind Conflict when that version is gone.
func (s *Profiles) Update(ctx context.Context, p *domain.Profile, changed []string) error {
	columns := mirrorColumns(p)
	columns["version"], columns["updated_at"] = p.Version, p.UpdatedAt
	for _, name := range changed {
		value, err := profileColumn(p, name)
		if err != nil {
			return errInternal.WithCause(err)
		}
		columns[name] = value
	}
	var stored domain.Profile
	res := s.db.conn(ctx).Model(&stored).Clauses(returningProfile).
		Where("id = ? AND version = ?", p.ID, p.Version-1).Updates(columns)
	if res.Error != nil {
		return translate(ctx, res.Error)
	}
	if res.RowsAffected == 0 {
		return errConflict
	}
	*p = stored
	return nil
}

// SaveMirror writes how the profile follows Clerk, and the handle, where the
// stored version is p.Version. Errors: handle-taken; kind Conflict when that version is gone.
func (s *Profiles) SaveMirror(ctx context.Context, p *domain.Profile) error {
	columns := mirrorColumns(p)
	columns["handle"] = p.Handle
	res := s.db.conn(ctx).Model(&domain.Profile{}).Where("id = ? AND version = ?", p.ID, p.Version).Updates(columns)
	if res.Error != nil {
		return translate(ctx, res.Error)
	}
	if res.RowsAffected == 0 {
		return errConflict
	}
	return nil
}

func mirrorColumns(p *domain.Profile) map[string]any {
	return map[string]any{
		"clerk_updated_at": p.ClerkUpdatedAt, "clerk_mark": p.Mirror.Newest, "handle_seed": p.Mirror.HandleSeed,
		"display_name_seed": p.Mirror.DisplayNameSeed, "clerk_suspended": p.Mirror.Suspended, "admin_suspended_until": p.Mirror.AdminUntil,
	}
}

// profileColumn gives the value of a column that Update may write. A map is
// needed because GORM skips the zero fields of a struct and so clears nothing.
func profileColumn(p *domain.Profile, name string) (any, error) {
	switch name {
	case "handle":
		return p.Handle, nil
	case "email":
		return p.Email, nil
	case "avatar_url":
		return p.AvatarURL, nil
	case "display_name":
		return p.DisplayName, nil
	case "bio":
		return p.Bio, nil
	case "banner_url":
		return p.BannerURL, nil
	case "location":
		return p.Location, nil
	case "theme_color":
		return p.ThemeColor, nil
	case "locale":
		return p.Locale, nil
	case "time_zone":
		return p.TimeZone, nil
	case "visibility":
		return p.Visibility, nil
	case "links":
		return jsonText(p.Links)
	case "metadata":
		return string(p.Metadata), nil
	case "app_metadata":
		return string(p.AppMetadata), nil
	case "status":
		return p.Status, nil
	case "suspended_reason":
		return p.SuspendedReason, nil
	case "suspended_until":
		return p.SuspendedUntil, nil
	}
	return nil, fmt.Errorf("profile has no writable field %q", name)
}

// jsonText is a string, which every query mode of pgx sends right to a jsonb column.
func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
