package rest

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/profile-api/profile-api/usecase"
)

// securityTextLife is how far Expires lies ahead. RFC 9116, section 2.5.5,
// recommends less than a year; a program that nobody restarts stays valid.
const securityTextLife = 180 * 24 * time.Hour

// securityText answers GET /.well-known/security.txt (RFC 9116).
type securityText struct {
	contact string // a mailto: or https: URI
	clock   usecase.Clock
}

func (s securityText) get(c echo.Context) error {
	expires := s.clock.Now().UTC().Truncate(24 * time.Hour).Add(securityTextLife) // whole days, so that the text holds still
	c.Response().Header().Set("Cache-Control", "public, max-age=3600")
	return c.Blob(http.StatusOK, "text/plain; charset=utf-8",
		fmt.Appendf(nil, "Contact: %s\nExpires: %s\nPreferred-Languages: en\n", s.contact, expires.Format(time.RFC3339)))
}
