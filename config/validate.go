package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strconv"
	"time"
)

// Validate checks every rule that the values alone can tell, for settings made
// by hand; what [Load] returns has passed it. The error is a [Faults].
func (s *Settings) Validate() error {
	if faults := check(s, nil); len(faults) > 0 {
		return faults.sorted()
	}
	return nil
}

// checker gathers the broken rules. Variables that were already at fault when
// they were read hold no value of theirs and are judged no further.
type checker struct {
	s      *Settings
	unread Faults
	faults Faults
}

func check(s *Settings, unread Faults) Faults {
	c := &checker{s: s, unread: unread}
	c.required()
	c.bounds()
	c.general()
	c.secretKeys()
	c.clerk()
	c.stores()
	c.events()
	c.network()
	c.rates()
	c.otel()
	return c.faults
}

func (c *checker) fault(variable, format string, args ...any) {
	if !c.unread.Has(variable) {
		c.faults.add(variable, format, args...)
	}
}

// readable tells whether all of the variables could be read, so that they may
// be compared with each other.
func (c *checker) readable(variables ...string) bool {
	for _, v := range variables {
		if c.unread.Has(v) {
			return false
		}
	}
	return true
}

func (c *checker) required() {
	values := reflect.ValueOf(c.s).Elem()
	for _, f := range fields() {
		if !values.Field(f.index).IsZero() {
			continue
		}
		switch {
		case f.need == "always":
			c.fault(f.name, "is required: %s", f.rule)
		case f.need == "production" && c.s.Production():
			c.fault(f.name, "is required in production: %s", f.rule)
		}
	}
}

// bounds checks the tags min and max.
func (c *checker) bounds() {
	values := reflect.ValueOf(c.s).Elem()
	for _, f := range fields() {
		if f.min == "" {
			continue
		}
		value, low, high := values.Field(f.index).Int(), bound(f, f.min), bound(f, f.max)
		if value < low || value > high {
			c.fault(f.name, "must be from %s to %s, not %s", f.min, f.max, describeNumber(f, value))
		}
	}
}

func bound(f field, text string) int64 {
	if f.typ == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil {
			panic(fmt.Sprintf("config: the bounds of %s are no durations", f.name))
		}
		return int64(d)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("config: the bounds of %s are no numbers", f.name))
	}
	return n
}

func describeNumber(f field, value int64) string {
	if f.typ == reflect.TypeFor[time.Duration]() {
		return formatDuration(time.Duration(value))
	}
	return strconv.FormatInt(value, 10)
}

// general checks what belongs to no capability of its own.
func (c *checker) general() {
	s := c.s
	switch s.Environment {
	case Development, Test, Staging, Production:
	default:
		c.fault("ENVIRONMENT", "must be development, test, staging or production")
	}
	if s.Debug && s.Production() {
		c.fault("DEBUG", "must be false in production")
	}
	if !filepath.IsAbs(s.DiskPath) {
		c.fault("DISK_PATH", "must be an absolute path%s", echo(s.DiskPath))
	}
	if s.LogFormat != LogJSON && s.LogFormat != LogText {
		c.fault("LOG_FORMAT", "must be json or text")
	}
	if every := s.ReconcileInterval; every > 0 && every < time.Minute {
		c.fault("RECONCILE_INTERVAL", "must be 1m or longer, or 0s for no periodic job; not %s", formatDuration(every))
	}
	if c.readable("DB_MAX_OPEN_CONNS") && s.DBMaxOpenConns > 0 && s.DBMaxIdleConns > s.DBMaxOpenConns {
		c.fault("DB_MAX_IDLE_CONNS", "must be at most DB_MAX_OPEN_CONNS, which is %d", s.DBMaxOpenConns)
	}
}

func (c *checker) rates() {
	for _, limit := range []struct {
		name string
		rate Rate
	}{
		{"RATE_LIMIT_USER", c.s.RateLimitUser},
		{"RATE_LIMIT_IP", c.s.RateLimitIP},
		{"RATE_LIMIT_GLOBAL", c.s.RateLimitGlobal},
	} {
		switch {
		case limit.rate.Off():
			if c.s.Production() {
				c.fault(limit.name, "must not be off in production; expected is quota/period such as 100/1m")
			}
		case limit.rate.Quota < 1 || limit.rate.Quota > maxQuota:
			c.fault(limit.name, "must have a quota from 1 to 1000000000")
		case limit.rate.Period < minPeriod || limit.rate.Period > maxPeriod:
			c.fault(limit.name, "must have a period from 1ms to 24h")
		}
	}
}
