package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/profile-api/profile-api/internal/process"
)

// proxy is HAProxy with the configuration that operators get.
type proxy struct {
	addr     string
	replicas []string // host:port, where the replicas are expected
	process  *process.Process
}

func startProxy(ctx context.Context, tree, dir string, say func(string, ...any)) (*proxy, error) {
	program, found := process.Find("haproxy")
	if !found {
		if err := process.Install(ctx, say, "haproxy"); err != nil {
			return nil, fmt.Errorf("HAProxy is missing (Debian: sudo apt-get install haproxy): %w", err)
		}
		if program, found = process.Find("haproxy"); !found {
			return nil, errors.New("HAProxy was installed and is not found")
		}
	}
	p := &proxy{}
	for range 4 {
		port, err := process.FreePort()
		if err != nil {
			return nil, err
		}
		p.replicas = append(p.replicas, fmt.Sprintf("127.0.0.1:%d", port))
	}
	p.addr, p.replicas = p.replicas[3], p.replicas[:3]
	log, err := os.Create(filepath.Join(dir, "haproxy.log")) // #nosec G304 -- below the drill's own directory
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // HAProxy has its own copy
	p.process, err = process.Start(process.Spec{
		Path: program, Args: []string{"-db", "-f", filepath.Join(tree, "deploy/haproxy/haproxy.cfg")}, Output: log, Orphan: syscall.SIGKILL,
		Env: []string{"LISTEN=" + p.addr, "REPLICA_1=" + p.replicas[0], "REPLICA_2=" + p.replicas[1], "REPLICA_3=" + p.replicas[2]},
	})
	if err != nil {
		return nil, err
	}
	return p, p.process.WaitReady(ctx, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (p *proxy) stop(ctx context.Context) error {
	return p.process.Stop(ctx, process.Rung{Signal: syscall.SIGTERM, Patience: 5 * time.Second})
}
