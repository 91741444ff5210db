package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// TestMain lets this test be the program too: what starts a replica calls it
// with serve, and the name that it is called by says how it behaves.
func TestMain(m *testing.M) {
	if len(os.Args) != 2 || os.Args[1] != "serve" {
		os.Exit(m.Run())
	}
	if err := standIn(filepath.Base(os.Args[0])); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// standIn is a replica without anything behind it, which starts at once. It says
// where it serves, tells what it answered and drains as the program does.
func standIn(behaviour string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	registry := prometheus.NewRegistry()
	clerk := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dependency_up"}, []string{"dependency"})
	clerk.WithLabelValues("clerk").Set(1)
	// The real series, by name, labels and the bound that the analysis reads; the long drill meets the program's own.
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "http_request_duration_seconds", Buckets: []float64{.1, slow, 1}}, []string{"method", "route", "status"})
	registry.MustRegister(clerk, took)
	api := http.NewServeMux()
	api.HandleFunc("/health/ready", func(w http.ResponseWriter, _ *http.Request) {
		if behaviour == "ponders" { // longer than the proxy's interval between two checks
			time.Sleep(800 * time.Millisecond)
		}
		if ctx.Err() != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	var served atomic.Int64
	api.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		begin, status := time.Now(), http.StatusOK
		if ctx.Err() != nil {
			w.Header().Set("Connection", "close")
		}
		switch {
		case behaviour == "slow":
			time.Sleep(700 * time.Millisecond)
		case behaviour == "fails" && rand.IntN(3) == 0:
			status = http.StatusInternalServerError
		case behaviour == "dies" && served.Add(1) > 20:
			os.Exit(3)
		}
		took.WithLabelValues(r.Method, r.URL.Path, fmt.Sprint(status)).Observe(time.Since(begin).Seconds())
		w.WriteHeader(status)
	})
	servers, names := [2]*http.Server{}, [2]string{}
	for i, it := range []struct {
		addr    string
		handler http.Handler
	}{{os.Getenv("HTTP_ADDR"), api}, {"127.0.0.1:0", promhttp.HandlerFor(registry, promhttp.HandlerOpts{})}} {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", it.addr)
		if err != nil {
			return err
		}
		servers[i], names[i] = &http.Server{Handler: it.handler, ReadHeaderTimeout: 5 * time.Second}, l.Addr().String()
		go func() { _ = servers[i].Serve(l) }() // ends with Shutdown
	}
	fmt.Printf(`{"msg":"serving","http_addr":%q,"ops_addr":%q}`+"\n", names[0], names[1])
	<-ctx.Done()
	// The proxy may have sent a request a moment before it was told to send none: who ends at once loses that.
	time.Sleep(500 * time.Millisecond)
	ending := context.Background()
	return errors.Join(servers[0].Shutdown(ending), servers[1].Shutdown(ending))
}
