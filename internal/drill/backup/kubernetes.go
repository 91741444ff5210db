package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/profile-api/profile-api/internal/process"
)

// The form of deploy/backup/kubernetes: the repository in an object store, and the backups taken by the jobs' settings through
// pgBackRest's TLS server beside PostgreSQL. The pods are left out: script, settings, certificates and lines of the README are the same.

// jobsConf is the configuration of the jobs.
const jobsConf = "jobs.conf"

// inCluster is what the form needs beside the cluster.
type inCluster struct {
	store  *objectStore
	server *process.Process // pgBackRest's
	port   int              // its
	env    []string         // the jobs' settings
}

// beginCluster makes certificates and store, and writes what the two Secrets and the ConfigMaps hold.
func (c *cluster) beginCluster(source string) (err error) {
	folder := filepath.Join(c.root, "tls")
	if err := c.account.Own(folder); err != nil {
		return err
	}
	k := &inCluster{}
	certificate, err := c.certify(folder)
	if err != nil {
		return err
	}
	if k.store, err = newObjectStore(certificate, "drill", "key-of-the-drill"); err != nil {
		return err
	}
	c.kubernetes = k
	if k.port, err = process.FreePort(); err != nil {
		return err
	}
	lines, err := storeLines(source, map[string]string{
		"repo1-type": "s3", "repo1-path": "/profile-api", "repo1-s3-bucket": k.store.bucket, "repo1-s3-endpoint": "localhost",
		"repo1-s3-region": "nowhere-1", "repo1-s3-key": k.store.key, "repo1-s3-key-secret": "a-secret-that-only-the-drill-has",
	})
	if err != nil {
		return err
	}
	// What a store on this machine needs beside the README's lines: it is found by no bucket's name, port or public certificate.
	lines += fmt.Sprintf("repo1-s3-uri-style=path\nrepo1-storage-port=%s\nrepo1-storage-ca-file=%s/ca.crt\n", k.store.port, folder)
	if err := c.account.WriteNew(filepath.Join(c.root, "conf.d", "repository.conf"), []byte(passphrase+lines)); err != nil {
		return err
	}
	k.env, err = jobSettings(source)
	return err
}

// storeLines are the README's lines for an object store, filled in.
func storeLines(source string, values map[string]string) (string, error) {
	text, err := os.ReadFile(filepath.Join(source, "deploy/backup/README.md")) // #nosec G304 -- our own source
	if err != nil {
		return "", err
	}
	names := regexp.MustCompile(`(?m)^(repo1-[a-z0-9-]+)=`).FindAllStringSubmatch(string(text), -1)
	var lines strings.Builder
	for _, name := range names {
		value, known := values[name[1]]
		if !known {
			return "", fmt.Errorf("deploy/backup/README.md has a line for %s, which the drill does not know", name[1])
		}
		delete(values, name[1])
		lines.WriteString(name[1] + "=" + value + "\n")
	}
	if len(values) > 0 {
		return "", fmt.Errorf("deploy/backup/README.md lacks a line for %v", values)
	}
	return lines.String(), nil
}

// jobSettings are the BACKUP_ settings that kustomize gives the jobs.
func jobSettings(source string) (env []string, err error) {
	text, err := os.ReadFile(filepath.Join(source, "deploy/backup/kubernetes/kustomization.yaml")) // #nosec G304 -- our own source
	if err != nil {
		return nil, err
	}
	for _, m := range regexp.MustCompile(`(?m)^ +- (BACKUP_[A-Z_]+=\d+)$`).FindAllStringSubmatch(string(text), -1) {
		env = append(env, m[1])
	}
	if len(env) < 3 {
		return nil, fmt.Errorf("the jobs have the settings %v alone", env)
	}
	return env, nil
}

// jobChanges are what differs here from the jobs' pgbackrest.conf: names, paths and ports.
func (c *cluster) jobChanges(port int) map[string]string {
	tls := filepath.Join(c.root, "tls")
	return map[string]string{
		"pg1-host": "localhost", "pg1-host-ca-file": filepath.Join(tls, "ca.crt"), "pg1-host-cert-file": filepath.Join(tls, "tls.crt"),
		"pg1-host-key-file": filepath.Join(tls, "tls.key"), "pg1-path": c.data(), "pg1-socket-path": filepath.Join(c.home(), "run"),
		"pg1-port": strconv.Itoa(port), "lock-path": filepath.Join(c.root, "lock-of-the-jobs"),
	}
}

// serveBackups starts pgBackRest's server, as the README wants it beside PostgreSQL.
func (c *cluster) serveBackups(ctx context.Context) (err error) {
	log, err := c.account.Log(filepath.Join(c.root, "pgbackrest-server.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	tls := filepath.Join(c.root, "tls")
	k := c.kubernetes
	k.server, err = process.Start(process.Spec{
		Path: c.pgbackrest, Dir: c.root, Account: c.account, Output: log, Orphan: syscall.SIGKILL, Env: c.environment("pgbackrest.conf"),
		Args: []string{
			"server", "--tls-server-address=127.0.0.1", "--tls-server-port=" + strconv.Itoa(k.port), "--tls-server-auth=backup=profile-api",
			"--tls-server-cert-file=" + filepath.Join(tls, "server.crt"), "--tls-server-key-file=" + filepath.Join(tls, "server.key"),
			"--tls-server-ca-file=" + filepath.Join(tls, "ca.crt"),
		},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, eventually)
	defer cancel()
	return k.server.WaitReady(ctx, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(k.port)))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (k *inCluster) close(ctx context.Context) (err error) {
	if k.server != nil {
		err = k.server.Stop(ctx, process.Rung{Signal: syscall.SIGTERM, Patience: eventually})
	}
	return errors.Join(err, k.store.close(ctx))
}

// certify makes an authority, the server's certificate, for PostgreSQL's side and the store, and the jobs' one.
func (c *cluster) certify(folder string) (server tls.Certificate, err error) {
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of the drill"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	_, authorityKey, err := c.sign(folder, "ca", authority, authority, nil)
	if err != nil {
		return server, err
	}
	ours := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}}
	der, key, err := c.sign(folder, "server", ours, authority, authorityKey)
	if err != nil {
		return server, err
	}
	jobs := &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "backup"}}
	_, _, err = c.sign(folder, "tls", jobs, authority, authorityKey)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// sign writes NAME.crt and NAME.key. Without a key of the parent's it signs itself.
func (c *cluster) sign(folder, name string, template, parent *x509.Certificate, by *ecdsa.PrivateKey) (der []byte, key *ecdsa.PrivateKey, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, err
	}
	if by == nil {
		by = key
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if der, err = x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by); err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	for suffix, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := c.account.WriteNew(filepath.Join(folder, name+suffix), pem.EncodeToMemory(block)); err != nil {
			return nil, nil, err
		}
	}
	return der, key, nil
}
