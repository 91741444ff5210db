package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/profile-api/profile-api/cmd/internal/httpserver"
	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/delivery/firewall"
	"github.com/profile-api/profile-api/delivery/rest"
)

// bodyTimeout is what a client gets, after its headers, until its body is whole.
const bodyTimeout = 30 * time.Second

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

	listeners, err := httpserver.Listen(ctx, s.HTTPAddr, s.OpsAddr)
	if err != nil {
		return err
	}
	front := newServer(p, logger, bodyTimeout, p.longest)
	ops := newServer(opsHandler(registry), logger, 0, bodyTimeout)
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
	err = errors.Join(fault, httpserver.Stop(bounded, front), httpserver.Stop(bounded, ops))
	logger.LogAttrs(ctx, slog.LevelInfo, "stopped", slog.Bool("clean", err == nil))
	return err
}

// newServer sets every limit: net/http's own are none. The body must be whole, and
// the answer written, that long after the headers.
func newServer(handler http.Handler, logger *slog.Logger, body, answer time.Duration) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: httpserver.HeaderTimeout, ReadTimeout: httpserver.HeaderTimeout + body,
		WriteTimeout: answer, IdleTimeout: httpserver.IdleTimeout, MaxHeaderBytes: httpserver.MaxHeaderBytes,
		ErrorLog: httpserver.NewLog(logger), DisableGeneralOptionsHandler: true, // OPTIONS * is judged too
	}
}

// longest is the time from a request's headers to the end of its answer.
func longest(s *config.Firewall) time.Duration {
	return bodyTimeout + s.RequestTimeout + httpserver.AnswerGrace
}

// folder is nil for no path: the built-in rules alone.
func folder(path string) fs.FS {
	if path == "" {
		return nil
	}
	return os.DirFS(path)
}

func opsHandler(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET "+httpserver.LivePath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	return mux
}
