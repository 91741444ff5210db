package rest

import (
	"encoding/json"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/delivery/rest/middleware"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

type preferencesHandlers struct{ preferences *usecase.Preferences }

// preferencesView is what a person reads of their preferences.
type preferencesView struct {
	Theme              domain.Theme              `json:"theme"`
	EmailNotifications domain.EmailNotifications `json:"email_notifications"`
	ContentLanguage    *string                   `json:"content_language"`
	ReducedMotion      bool                      `json:"reduced_motion"`
	Version            int64                     `json:"version"`
}

func viewPreferences(p *domain.Preferences) preferencesView {
	return preferencesView{p.Theme, p.EmailNotifications, p.ContentLanguage, p.ReducedMotion, p.Version}
}

// own answers GET /v1/profiles/me/preferences.
func (h preferencesHandlers) own(c echo.Context) error {
	p, err := h.preferences.Own(c.Request().Context(), middleware.StateOf(c).Caller())
	if err != nil {
		return err
	}
	return writeConditional(c, versionTag(p.Version), viewPreferences(p))
}

// update answers PATCH /v1/profiles/me/preferences.
func (h preferencesHandlers) update(c echo.Context) error {
	c.Response().Header().Set("Accept-Patch", mimeMergePatch+", "+echo.MIMEApplicationJSON)
	patch, err := readPreferencesPatch(c)
	if err != nil {
		return err
	}
	p, err := h.preferences.UpdateOwn(c.Request().Context(), middleware.StateOf(c).Caller(), patch, ifMatchOf(c))
	if err != nil {
		return err
	}
	c.Response().Header().Set("ETag", versionTag(p.Version))
	return writeJSON(c, http.StatusOK, echo.MIMEApplicationJSON, viewPreferences(p))
}

var (
	preferencesFields        = []string{"theme", "email_notifications", "content_language", "reduced_motion"}
	emailNotificationsFields = []string{"product", "security", "digest"}
)

// readPreferencesPatch reads a merge patch (RFC 7396). Errors: 400, 413, 415, 422.
func readPreferencesPatch(c echo.Context) (domain.PreferencesPatch, error) {
	var patch domain.PreferencesPatch
	object, err := readObject(c, mimeMergePatch, echo.MIMEApplicationJSON)
	if err != nil {
		return patch, err
	}
	list, err := members(object, preferencesFields)
	if err != nil {
		return patch, err
	}
	var p patchReader
	for _, m := range list {
		pointer := "/" + escapePointer(m.name)
		switch m.name {
		case "theme":
			patch.Theme = p.text(pointer, m.value)
		case "email_notifications":
			if patch.EmailNotifications, err = p.emailNotifications(pointer, m.value); err != nil {
				return patch, err
			}
		case "content_language":
			patch.ContentLanguage = p.text(pointer, m.value)
		case "reduced_motion":
			patch.ReducedMotion = p.flag(pointer, m.value)
		default:
			p.unknown(pointer)
		}
	}
	if len(p.faults) > 0 {
		return patch, domain.ValidationFailed(p.faults...)
	}
	return patch, nil
}

func (p *patchReader) emailNotifications(pointer string, v jsontext.Value) (domain.Opt[domain.EmailNotificationsPatch], error) {
	object := p.object(pointer, v)
	if !object.Set || object.Null {
		return domain.Opt[domain.EmailNotificationsPatch]{Set: object.Set, Null: object.Null}, nil
	}
	var patch domain.EmailNotificationsPatch
	list, err := members(v, emailNotificationsFields)
	if err != nil {
		return domain.Opt[domain.EmailNotificationsPatch]{}, err
	}
	for _, m := range list {
		at := pointer + "/" + escapePointer(m.name)
		switch m.name {
		case "product":
			patch.Product = p.flag(at, m.value)
		case "security":
			patch.Security = p.flag(at, m.value)
		case "digest":
			patch.Digest = p.flag(at, m.value)
		default:
			p.unknown(at)
		}
	}
	return domain.Some(patch), nil
}

// flag reads a boolean or null.
func (p *patchReader) flag(pointer string, v jsontext.Value) domain.Opt[bool] {
	if v.Kind() == 'n' {
		return domain.Null[bool]()
	}
	var b bool
	if err := json.Unmarshal(v, &b); err != nil {
		p.fault(pointer, domain.FieldInvalidType, "This must be true or false.")
		return domain.Opt[bool]{}
	}
	return domain.Some(b)
}
