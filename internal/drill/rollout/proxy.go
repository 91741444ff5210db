package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/profile-api/profile-api/internal/process"
)

// proxy is HAProxy with the configuration that operators get.
type proxy struct {
	addr           string
	admin          string   // the socket of its runtime API
	stable, canary []server // where replicas are expected
	process        *process.Process
}

// server is one of the backend's, by its name in the configuration.
type server struct{ name, addr string }

const slots = 3 // of either kind in the configuration

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
	p := &proxy{admin: filepath.Join(dir, "haproxy.sock")}
	addrs := make([]string, 1+2*slots)
	for i := range addrs {
		port, err := process.FreePort()
		if err != nil {
			return nil, err
		}
		addrs[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	p.addr = addrs[0]
	env := []string{"LISTEN=" + p.addr, "ADMIN_SOCKET=" + p.admin}
	for i := range slots {
		s, c := server{fmt.Sprint("replica", i+1), addrs[1+i]}, server{fmt.Sprint("canary", i+1), addrs[1+slots+i]}
		p.stable, p.canary = append(p.stable, s), append(p.canary, c)
		env = append(env, fmt.Sprintf("REPLICA_%d=%s", i+1, s.addr), fmt.Sprintf("CANARY_%d=%s", i+1, c.addr))
	}
	log, err := os.Create(filepath.Join(dir, "haproxy.log")) // #nosec G304 -- below the drill's own directory
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // HAProxy has its own copy
	p.process, err = process.Start(process.Spec{
		Path: program, Args: []string{"-db", "-f", filepath.Join(tree, "deploy/haproxy/haproxy.cfg")}, Output: log, Orphan: syscall.SIGKILL, Env: env,
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

// weights are those of each stable server and of each canary by which all the
// canaries together get share percent of the requests. HAProxy's go to 256, which a share such as 99 % exceeds.
func weights(share, stable, canaries int) (ofStable, ofCanary int) {
	a, b := (100-share)*canaries, share*stable
	if share == 0 || canaries == 0 {
		return 1, 0
	}
	gcd, rest := a, b
	for rest != 0 {
		gcd, rest = rest, gcd%rest
	}
	return a / gcd, b / gcd
}

// give lets the first n canaries together have share percent of the requests
// from now on. No connection is closed and no request is cut off by that.
func (p *proxy) give(ctx context.Context, share, n int) error {
	answer, err := p.ask(ctx, p.commands(share, n))
	if err == nil && answer != "" {
		err = fmt.Errorf("HAProxy does not take the weights: %s", answer)
	}
	return err
}

// commands are those of HAProxy's runtime API that give the share. Who gets
// more comes first, so that there is always somebody who gets something.
func (p *proxy) commands(share, n int) string {
	ofStable, ofCanary := weights(share, len(p.stable), n)
	set := func(list []server, weight int) (commands []string) {
		for _, s := range list {
			commands = append(commands, fmt.Sprintf("set server replicas/%s weight %d", s.name, weight))
		}
		return commands
	}
	first, second := set(p.canary[:n], ofCanary), set(p.stable, ofStable)
	if ofCanary == 0 {
		first, second = second, first
	}
	return strings.Join(append(first, second...), "; ")
}

// awaitUp waits until the proxy has found the server to be ready.
func (p *proxy) awaitUp(ctx context.Context, s server) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	return p.process.WaitReady(ctx, func(ctx context.Context) error {
		table, err := p.ask(ctx, "show servers state replicas")
		if err != nil {
			return err
		}
		const name, state, running = 3, 5, "2"
		for line := range strings.Lines(table) {
			if column := strings.Fields(line); len(column) > state && column[name] == s.name && column[state] == running {
				return nil
			}
		}
		return fmt.Errorf("HAProxy has not found %s ready", s.name)
	})
}

// ask sends commands to HAProxy's runtime API and returns what it says, which is nothing when a change was made.
func (p *proxy) ask(ctx context.Context, commands string) (answer string, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", p.admin)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, commands+"\n"); err != nil {
		return "", err
	}
	text, err := io.ReadAll(conn)
	return strings.TrimSpace(string(text)), err
}
