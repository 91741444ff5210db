package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/profile-api/profile-api/cmd/internal/httpserver"
	"github.com/profile-api/profile-api/config"
	"github.com/profile-api/profile-api/delivery/rest"
	"github.com/profile-api/profile-api/domain"
	"github.com/profile-api/profile-api/usecase"
)

// drainer is what else works and must come to an end, before ctx does.
type drainer interface{ Drain(ctx context.Context) }

// serve answers on both addresses until ctx ends. Then: readiness off, wait for
// the load balancers to notice, stop accepting, finish what is in flight. The
// jobs drain at the same time, so that both together take no longer than one. What
// is last drains after all of it.
func serve(
	ctx context.Context, s *config.Settings, log *slog.Logger, health *usecase.Health, jobs, last drainer, api, ops http.Handler,
) error {
	// Not a map by address: both may be port 0 of one host.
	listeners, err := httpserver.Listen(ctx, s.HTTPAddr, s.OpsAddr)
	if err != nil {
		return err
	}
	return serveOn(ctx, listeners, s, log, health, jobs, last, api, ops)
}

// serveOn serves on the API's listener and the operators'.
func serveOn(
	ctx context.Context, listeners []net.Listener, s *config.Settings, log *slog.Logger, health *usecase.Health, jobs, last drainer, api, ops http.Handler,
) error {
	listeners[0] = rest.ProblemListener(listeners[0])
	apiServer := newServer(s, log, closeWhileDraining(health, api))
	opsServer := newServer(s, log, closeWhileDraining(health, ops))
	opsServer.ReadTimeout, opsServer.WriteTimeout = 0, 0 // a CPU profile takes as long as was asked for
	servers := []*http.Server{apiServer, opsServer}
	failed := make(chan error, len(servers))
	for i, srv := range servers {
		go func() {
			if err := srv.Serve(listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve on %s: %w", listeners[i].Addr(), err)
			}
		}()
	}
	log.LogAttrs(ctx, slog.LevelInfo, "serving",
		slog.String("http_addr", listeners[0].Addr().String()), slog.String("ops_addr", listeners[1].Addr().String()))

	var fault error
	select {
	case fault = <-failed:
		log.LogAttrs(ctx, slog.LevelError, "listener failed", slog.String("cause", fault.Error()), domain.FaultAttr(fault))
	case <-ctx.Done():
	}
	health.Drain()
	log.LogAttrs(ctx, slog.LevelInfo, "draining", slog.Float64("delay", s.ShutdownDrainDelay.Seconds()))
	delay := s.ShutdownDrainDelay
	if fault != nil {
		delay = 0
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), delay+s.ShutdownTimeout)
	defer cancel()
	var drained sync.WaitGroup
	drained.Go(func() { jobs.Drain(bounded) })
	time.Sleep(delay)
	// The API first: metrics stay readable until the last request is done.
	err := httpserver.Stop(bounded, apiServer)
	drained.Wait()
	err = errors.Join(fault, err, httpserver.Stop(bounded, opsServer))
	log.LogAttrs(ctx, slog.LevelInfo, "stopped", slog.Bool("clean", err == nil))
	last.Drain(bounded) // who does not listen to it must cost no request, nor make the end unclean
	return err
}

// newServer sets every timeout: net/http's own are all unlimited. The
// request's own deadline, in the chain, is shorter than these.
func newServer(s *config.Settings, log *slog.Logger, handler http.Handler) *http.Server {
	longest := max(s.RequestTimeout, s.AdminRequestTimeout) + httpserver.AnswerGrace
	return &http.Server{
		Handler:                      handler,
		ReadHeaderTimeout:            httpserver.HeaderTimeout,
		ReadTimeout:                  longest,
		WriteTimeout:                 longest,
		IdleTimeout:                  httpserver.IdleTimeout,
		MaxHeaderBytes:               httpserver.MaxHeaderBytes,
		ErrorLog:                     httpserver.NewLog(log),
		DisableGeneralOptionsHandler: true, // OPTIONS * goes through the chain too
	}
}

// closeWhileDraining asks clients to open their next connection elsewhere, so
// that none is cut off between two requests.
func closeWhileDraining(health *usecase.Health, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if health.Draining() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
