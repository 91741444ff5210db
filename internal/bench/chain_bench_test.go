package bench

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/jwt"
	"github.com/labstack/echo/v4"
)

// BenchmarkRequest answers, in one run: how many requests a second, and how
// much of this process's CPU and memory for each (PostgreSQL and Valkey are
// programs of their own), for bare Echo, for Echo with the SDK's RS256
// verification, and for GET /v1/profiles/me through the whole chain. The ratios
// to bare Echo are what can be compared between machines.
func BenchmarkRequest(b *testing.B) {
	c := newChain(b)
	var bare cost
	for _, subject := range []struct {
		name    string
		handler http.Handler
	}{
		{"bare-echo", bareEcho()},
		{"echo-rs256", verifyingEcho(b, c)},
		{"whole-chain", c.handler},
	} {
		b.Run(subject.name, func(b *testing.B) {
			statements, roundTrips := c.trips.statements.Load(), c.trips.roundTrips.Load()
			got := measure(b, subject.handler, c)
			if subject.name == "bare-echo" {
				bare = got
			}
			b.ReportMetric(got.perSecond, "req/s")
			b.ReportMetric(got.cpuMicros, "cpu-µs/req")
			b.ReportMetric(got.cpuMicros/bare.cpuMicros, "×cpu-of-bare")
			b.ReportMetric(float64(c.trips.statements.Load()-statements)/float64(b.N), "sql/req")
			b.ReportMetric(float64(c.trips.roundTrips.Load()-roundTrips)/float64(b.N), "valkey/req")
		})
	}
}

type cost struct{ perSecond, cpuMicros float64 }

func measure(b *testing.B, handler http.Handler, c *chain) cost {
	b.ReportAllocs()
	b.SetParallelism(8) // enough at once that waiting for the servers does not idle the CPUs
	before, start := cpuTime(), time.Now()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if status := serve(handler, c.request()); status != http.StatusOK {
				b.Errorf("answered %d", status)
				return
			}
		}
	})
	elapsed := time.Since(start)
	return cost{
		perSecond: float64(b.N) / elapsed.Seconds(),
		cpuMicros: float64((cpuTime() - before).Nanoseconds()) / 1e3 / float64(b.N),
	}
}

// cpuTime is what this process has used, user and system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func bareEcho() http.Handler {
	e := echo.New()
	e.GET("/v1/profiles/me", func(c echo.Context) error { return c.JSON(http.StatusOK, map[string]string{"status": "ok"}) })
	return e
}

// verifyingEcho is what a careful beginner writes: the SDK's verification with
// the key at hand, and nothing else.
func verifyingEcho(b *testing.B, c *chain) http.Handler {
	_, key := c.clerk.CurrentKey()
	jwk := &clerksdk.JSONWebKey{Key: &key.PublicKey, Algorithm: "RS256"}
	issuer := c.clerk.Issuer()
	e := echo.New()
	e.GET("/v1/profiles/me", func(ec echo.Context) error {
		token := ec.Request().Header.Get(echo.HeaderAuthorization)[len("Bearer "):]
		claims, err := jwt.Verify(ec.Request().Context(), &jwt.VerifyParams{Token: token, JWK: jwk, ProxyURL: &issuer})
		if err != nil {
			b.Error(err)
			return err
		}
		return ec.JSON(http.StatusOK, map[string]string{"sub": claims.Subject})
	})
	return e
}
