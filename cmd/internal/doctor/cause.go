package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"regexp"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// cause says in our own words why something failed. The text of a library's error
// is never shown: it may hold the name of a user or host, or a URL with a password.
func cause(err error) string {
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var network net.Error
	var database interface{ SQLState() string }
	var server redis.Error
	switch {
	case errors.As(err, &database):
		return "it answered with SQLSTATE " + database.SQLState()
	case errors.As(err, &certificate):
		return "its certificate is not valid for that name or not signed by a known authority"
	case strings.Contains(err.Error(), "server refused TLS connection"): // pgx has no type for it
		return "it does not speak TLS"
	case errors.As(err, &name) && !name.IsTimeout:
		return "its name cannot be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "there was no answer in time"
	case errors.As(err, &server):
		if code := replyCode.FindString(server.Error()); code != "" {
			return "it answered with the error " + code
		}
		return "it answered with an error"
	}
	return "the connection failed or was closed"
}

// replyCode is the first word of an error of Valkey's, such as NOAUTH or OOM.
var replyCode = regexp.MustCompile(`^[A-Z]{2,20}\b`)

// databaseRemedy goes by SQLSTATE (PostgreSQL's documentation, appendix A).
func databaseRemedy(err error) string {
	var database interface{ SQLState() string }
	if errors.As(err, &database) {
		switch state := database.SQLState(); {
		case strings.HasPrefix(state, "28"):
			return "put the right user and password into DATABASE_URL (docs/runbooks/rotate-database-credentials.md)"
		case strings.HasPrefix(state, "3D"):
			return "create the database, or put its right name into DATABASE_URL"
		case state == "42501":
			return "give the role its rights: run deploy/database/roles.sql as a superuser"
		case state == "53300":
			return "free connections or raise max_connections (docs/runbooks/pool-exhausted.md)"
		}
	}
	return "look whether the server runs and DATABASE_URL names it, and ask it from here with psql (docs/runbooks/health-failing.md)"
}
