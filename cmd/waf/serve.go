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

const (
	headerTimeout  = 5 * time.Second  // a client gets this long for its headers
	bodyTimeout    = 30 * time.Second // and this long until its body is whole
	idleTimeout    = 75 * time.Second // longer than the usual load balancer's 60 s, so that it closes first
	answerGrace    = 10 * time.Second // beyond the API's own time, to write the answer
	maxHeaderBytes = 32 << 10         // as the API
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

	listeners, err := httpserver.Listen(ctx, s.HTTPAddr, s.OpsAddr)
	if err != nil {
		return err
	}
	front := &http.Server{
		Handler: p, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout + bodyTimeout,
		WriteTimeout: longest(s), IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: httpserver.NewLog(logger), DisableGeneralOptionsHandler: true, // OPTIONS * is judged too
	}
	ops := &http.Server{
		Handler: opsHandler(registry), ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout,
		WriteTimeout: bodyTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: httpserver.NewLog(logger),
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
	err = errors.Join(fault, httpserver.Stop(bounded, front), httpserver.Stop(bounded, ops))
	logger.LogAttrs(ctx, slog.LevelInfo, "stopped", slog.Bool("clean", err == nil))
	return err
}

// longest is the time from a request's headers to the end of its answer.
func longest(s *config.Firewall) time.Duration { return bodyTimeout + s.RequestTimeout + answerGrace }

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
