package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	numbers "math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/profile-api/profile-api/internal/testservers"
	"github.com/profile-api/profile-api/repository/postgres"
)

// certificate makes one for 127.0.0.1 that signs itself.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: numbers.NewInt(1), Subject: pkix.Name{CommonName: "a test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}

// Whether the connection is encrypted, and to whom, is told as it is.
func TestInspectTellsOfTLS(t *testing.T) {
	server := testservers.OwnPostgres(t)
	conn := asker(t, server.URL("postgres"))
	cert, key := certificate(t)
	dir := ask[string](t, conn, "SHOW data_directory")
	for name, text := range map[string]string{"server.crt": cert, "server.key": key} { // the server writes them, so that they are its own
		_, err := conn.Exec(within(t), fmt.Sprintf("COPY (SELECT unnest(string_to_array('%s', E'\\n'))) TO '%s'", strings.TrimSpace(text), filepath.Join(dir, name)))
		must(t, err)
		must(t, os.Chmod(filepath.Join(dir, name), 0o600)) // it refuses a key that others may read
	}
	for _, sql := range []string{"ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
		_, err := conn.Exec(within(t), sql)
		must(t, err)
	}
	eventually(t, "the server speaks TLS", func() bool {
		encrypted, err := pgx.Connect(within(t), strings.Replace(server.URL("postgres"), "sslmode=disable", "sslmode=require", 1))
		if err != nil {
			return false
		}
		must(t, encrypted.Close(within(t)))
		return true
	})
	root := filepath.Join(t.TempDir(), "root.crt")
	must(t, os.WriteFile(root, []byte(cert), 0o600))
	base, _, _ := strings.Cut(server.URL("postgres"), "?")
	for parameters, want := range map[string][2]bool{
		"sslmode=disable": {false, false}, "sslmode=require": {true, false},
		"sslmode=verify-ca&sslrootcert=" + root: {true, true}, "sslmode=verify-full&sslrootcert=" + root: {true, true},
	} {
		seen, err := openDB(t, postgres.Options{URL: base + "?" + parameters}).Inspect(within(t), time.Now)
		if err != nil || [2]bool{seen.Encrypted, seen.CertificateProven} != want || !seen.Local {
			t.Errorf("%s: %+v, %v; want %v", parameters, seen, err, want)
		}
	}
}
