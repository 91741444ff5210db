package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/delivery/firewall"
	"github.com/profile-api/profile-api/delivery/rest"
)

const (
	headerTimeout  = 5 * time.Second  // a client gets this long for its headers
	bodyTimeout    = 30 * time.Second // and this long until its body is whole
	idleTimeout    = 75 * time.Second // longer than the usual load balancer's 60 s, so that it closes first
	answerGrace    = 10 * time.Second // beyond the API's own time, to write the answer
	maxHeaderBytes = 32 << 10         // as the API

	livePath = "/health/live"
)

// serve answers on both addresses until ctx ends. Then: /health/ready off, wait
// for the load balancers to notice, stop accepting, finish what is in flight.
func serve(ctx context.Context, s *config.Firewall, logger *slog.Logger) error {
	engine, err := firewall.New(firewall.Options{
		DetectOnly: s.DetectOnly, ParanoiaLevel: s.ParanoiaLevel, AnomalyThreshold: s.AnomalyThreshold,
		MaxBodyBytes: s.MaxBodyBytes, Overrides: folder(s.RulesDir),
	})
	if err != nil {
		return fmt.Errorf("WAF_RULES_DIR: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p := newProxy(s, engine, newMetrics(registry), logger)

	listeners, err := listen(ctx, s.HTTPAddr, s.OpsAddr)
	if err != nil {
		return err
	}
	front := &http.Server{
		Handler: p, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout + bodyTimeout,
		WriteTimeout: bodyTimeout + s.RequestTimeout + answerGrace, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: quietLog(), DisableGeneralOptionsHandler: true, // OPTIONS * is judged too
	}
	ops := &http.Server{
		Handler: opsHandler(registry), ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout,
		WriteTimeout: bodyTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: quietLog(),
	}
	failed := make(chan error, 2)
	for i, srv := range []*http.Server{front, ops} {
		listener := listeners[i]
		if srv == front {
			listener = rest.ProblemListener(listener)
		}
		go func() {
			if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve on %s: %w", listener.Addr(), err)
			}
		}()
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "serving", slog.String("http_addr", listeners[0].Addr().String()),
		slog.String("ops_addr", listeners[1].Addr().String()), slog.String("mode", p.mode), slog.Int("paranoia_level", s.ParanoiaLevel))

	var fault error
	delay := s.DrainDelay
	select {
	case fault = <-failed:
		delay = 0
	case <-ctx.Done():
	}
	p.draining.Store(true)
	logger.LogAttrs(ctx, slog.LevelInfo, "draining", slog.Float64("delay", delay.Seconds()))
	time.Sleep(delay)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.ShutdownTimeout)
	defer cancel()
	err = errors.Join(fault, stop(bounded, front), stop(bounded, ops))
	logger.LogAttrs(ctx, slog.LevelInfo, "stopped", slog.Bool("clean", err == nil))
	return err
}

// folder is nil for no path: the built-in rules alone.
func folder(path string) fs.FS {
	if path == "" {
		return nil
	}
	return os.DirFS(path)
}

func listen(ctx context.Context, addrs ...string) (list []net.Listener, err error) {
	var lc net.ListenConfig
	for _, addr := range addrs {
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			for _, open := range list {
				err = errors.Join(err, open.Close())
			}
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
		list = append(list, l)
	}
	return list, nil
}

// stop finishes what is in flight, and cuts it off when the time is over.
func stop(ctx context.Context, srv *http.Server) error {
	if err := srv.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("shut down: %w", err), srv.Close())
	}
	return nil
}

// quietLog drops what net/http says of connections: it may quote a client.
func quietLog() *log.Logger { return log.New(io.Discard, "", 0) } //nolint:forbidigo // net/http takes no other kind

func opsHandler(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET "+livePath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	return mux
}
