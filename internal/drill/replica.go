package drill

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/profile-api/profile-api/internal/process"
)

// readyLimit bounds how long a replica may take to listen and become ready; it says nothing of how fast that should be.
const readyLimit = 60 * time.Second

// prober asks replicas how they are.
var prober = &http.Client{Timeout: 5 * time.Second}

// Replica is one running `serve`.
type Replica struct {
	API, Ops string // host:port
	LogPath  string // its log lines, JSON
	process  *process.Process
	log      *os.File
}

// StartReplica starts `serve` and waits until it listens; ready is something else.
func StartReplica(ctx context.Context, binary, logPath string, env Settings) (*Replica, error) {
	log, err := os.Create(logPath) // #nosec G304 -- below the drill's own directory
	if err != nil {
		return nil, err
	}
	p, err := process.Start(process.Spec{Path: binary, Args: []string{"serve"}, Output: log, Env: env.environ(), Orphan: syscall.SIGKILL})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	r := &Replica{LogPath: logPath, process: p, log: log}
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	if err := p.WaitReady(ctx, r.findAddresses); err != nil {
		return nil, errors.Join(fmt.Errorf("the replica does not listen: %w; it said: %s", err, r.telling()), r.Kill())
	}
	return r, nil
}

// findAddresses reads the log for the line that names them.
func (r *Replica) findAddresses(context.Context) error {
	text, err := os.ReadFile(r.LogPath)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var line struct {
			Msg string `json:"msg"`
			API string `json:"http_addr"`
			Ops string `json:"ops_addr"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			r.API, r.Ops = line.API, line.Ops
			return nil
		}
	}
	return errors.New("no log line says where it serves")
}

// AwaitReady waits until /health/ready answers 200 and Clerk's keys are there. A replica that ends first is an error.
func (r *Replica) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	if err := r.process.WaitReady(ctx, r.probe); err != nil {
		return fmt.Errorf("the replica does not become ready: %w; it said: %s", err, r.telling())
	}
	return nil
}

func (r *Replica) probe(ctx context.Context) error {
	if err := get(ctx, "http://"+r.API+"/health/ready", nil); err != nil {
		return err
	}
	return get(ctx, "http://"+r.Ops+"/metrics", func(body []byte) error {
		if !bytes.Contains(body, []byte(`dependency_up{dependency="clerk"} 1`)) {
			return errors.New("no key of Clerk's yet")
		}
		return nil
	})
}

// Running reports whether the replica has not ended.
func (r *Replica) Running() bool { return r.process.Running() }

// Pid is the process id.
func (r *Replica) Pid() int { return r.process.Pid() }

// Stop sends SIGTERM and waits for the end; a replica that must be killed is an error.
func (r *Replica) Stop(ctx context.Context) error {
	if err := r.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyLimit)
	defer cancel()
	select {
	case <-r.process.Done():
		return r.log.Close()
	case <-ctx.Done():
		return errors.Join(errors.New("the replica does not end after SIGTERM"), r.Kill())
	}
}

// Signal sends a signal.
func (r *Replica) Signal(sig syscall.Signal) error { return r.process.Signal(sig) }

// Kill ends the replica as a crash would.
func (r *Replica) Kill() error { return errors.Join(r.process.Kill(), r.log.Close()) }

// telling are the last lines of the log, for messages.
func (r *Replica) telling() string {
	text, err := os.ReadFile(r.LogPath)
	if err != nil {
		return err.Error()
	}
	return process.LastLines(string(text), 5)
}

// get wants a 200 and lets check judge the body.
func get(ctx context.Context, url string, check func(body []byte) error) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := prober.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d", url, resp.StatusCode)
	}
	if check == nil {
		return nil
	}
	return check(body.Bytes())
}
