package rest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/domain"
)

const mimeMergePatch = "application/merge-patch+json"

// profilePatchFields are the fields that a person may write of their own
// profile. A field that is not listed cannot be assigned, whatever is stored.
var profilePatchFields = []string{
	"handle", "display_name", "bio", "banner_url", "location", "links",
	"theme_color", "locale", "time_zone", "visibility", "metadata",
}

// adminPatchFields are the fields that an admin may write of anybody's profile.
var adminPatchFields = append(slices.Clone(profilePatchFields), "app_metadata")

// readProfilePatch reads the body of PATCH /v1/profiles/me, a merge patch (RFC
// 7396). Errors: 400, 413, 415; 422 with every fault of shape, and with what the
// domain says of the other fields, so that a client learns all at once.
func readProfilePatch(c echo.Context, current *domain.Profile, now time.Time) (domain.ProfilePatch, error) {
	patch, err := readPatch(c, profilePatchFields, func() (*domain.Profile, error) { return current, nil }, now)
	return patch.ProfilePatch, err
}

// readAdminPatch is readProfilePatch for an admin; current is asked only when
// there is a fault to complete.
func readAdminPatch(c echo.Context, current func() (*domain.Profile, error), now time.Time) (domain.AdminPatch, error) {
	return readPatch(c, adminPatchFields, current, now)
}

func readPatch(c echo.Context, fields []string, current func() (*domain.Profile, error), now time.Time) (domain.AdminPatch, error) {
	var patch domain.AdminPatch
	object, err := readObject(c, mimeMergePatch, echo.MIMEApplicationJSON)
	if err != nil {
		return patch, err
	}
	list, err := members(object, fields)
	if err != nil {
		return patch, err
	}
	var p patchReader
	texts := map[string]*domain.Opt[string]{
		"handle": &patch.Handle, "display_name": &patch.DisplayName, "bio": &patch.Bio, "banner_url": &patch.BannerURL,
		"location": &patch.Location, "theme_color": &patch.ThemeColor, "locale": &patch.Locale,
		"time_zone": &patch.TimeZone, "visibility": &patch.Visibility,
	}
	for _, m := range list {
		pointer := "/" + escapePointer(m.name)
		switch {
		case !slices.Contains(fields, m.name):
			p.unknown(pointer)
		case m.name == "links":
			if patch.Links, err = p.links(pointer, m.value); err != nil {
				return patch, err
			}
		case m.name == "metadata":
			patch.Metadata = p.object(pointer, m.value)
		case m.name == "app_metadata":
			patch.AppMetadata = p.object(pointer, m.value)
		default:
			*texts[m.name] = p.text(pointer, m.value)
		}
	}
	if len(p.faults) == 0 {
		return patch, nil
	}
	stored, err := current()
	if err != nil {
		return patch, err
	}
	faults := slices.Concat(p.faults, ruleFaults(patch, p.faults, *stored, now))
	return patch, domain.ValidationFailed(faults[:min(len(faults), maxFaults)]...)
}

// ruleFaults tries the patch on a copy, and leaves out what the faults of shape
// say already: fields at fault are empty in the patch.
func ruleFaults(patch domain.AdminPatch, shape []domain.FieldError, scratch domain.Profile, now time.Time) []domain.FieldError {
	_, err := scratch.ApplyAdmin(patch, now)
	var broken *domain.Error
	if !errors.As(err, &broken) {
		return nil
	}
	return slices.DeleteFunc(broken.Fields(), func(f domain.FieldError) bool {
		return slices.ContainsFunc(shape, func(known domain.FieldError) bool {
			return f.Pointer == known.Pointer || strings.HasPrefix(f.Pointer, known.Pointer+"/")
		})
	})
}
