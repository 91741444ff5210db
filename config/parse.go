package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// parseError says what was expected of a value, never what the value was.
type parseError string

func (e parseError) Error() string { return string(e) }

// parsers turn the text of one value into the type of its field. Numbers and
// truth values have one spelling each: what viper would take besides (010 as 8,
// 1_000, t) reads differently to different people.
var parsers = map[reflect.Type]func(string) (any, error){
	reflect.TypeFor[string](): func(s string) (any, error) { return s, nil },
	reflect.TypeFor[Secret](): func(s string) (any, error) { return NewSecret(s), nil },
	reflect.TypeFor[bool]():   parseBool,
	reflect.TypeFor[int](): func(s string) (any, error) {
		n, err := parseInt(s)
		return int(n), err
	},
	reflect.TypeFor[int64]():         func(s string) (any, error) { return parseInt(s) },
	reflect.TypeFor[time.Duration](): parseDuration,
	reflect.TypeFor[Rate]():          func(s string) (any, error) { return parseRate(s) },
	reflect.TypeFor[netip.Prefix]():  parsePrefix,
	reflect.TypeFor[Environment]():   parseEnvironment,
	reflect.TypeFor[LogFormat]():     parseLogFormat,
	reflect.TypeFor[slog.Level]():    parseLogLevel,
}

func parseBool(s string) (any, error) {
	switch strings.ToLower(s) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return nil, parseError("must be true or false")
}

var plainInt = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

func parseInt(s string) (int64, error) {
	if !plainInt.MatchString(s) {
		return 0, parseError("must be a whole number")
	}
	n, err := strconv.ParseInt(s, 10, strconv.IntSize)
	if err != nil {
		return 0, parseError("must be a whole number that is not as large as that")
	}
	return n, nil
}

func parseDuration(s string) (any, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return nil, parseError("must be a duration with its unit, such as 500ms, 30s or 10m")
	}
	return d, nil
}

// parsePrefix reads a CIDR, or one address as the CIDR of itself.
func parsePrefix(s string) (any, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" || addr.Is4In6() {
			return nil, parseError("must be an IPv4 or IPv6 address without zone, IPv4 not written as IPv6")
		}
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return nil, parseError("must be a CIDR such as 10.0.0.0/8, or an address")
	}
	if prefix.Addr().Is4In6() {
		return nil, parseError("must write IPv4 as IPv4, such as 10.0.0.0/8")
	}
	if masked := prefix.Masked(); masked != prefix {
		return nil, parseError(fmt.Sprintf("must have no bits set beyond the length of the prefix; write %s or the address alone", masked))
	}
	return prefix, nil
}

func parseEnvironment(s string) (any, error) {
	switch e := Environment(s); e {
	case Development, Test, Staging, Production:
		return e, nil
	}
	return nil, parseError("must be development, test, staging or production")
}

func parseLogFormat(s string) (any, error) {
	switch f := LogFormat(s); f {
	case LogJSON, LogText:
		return f, nil
	}
	return nil, parseError("must be json or text")
}

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

func parseLogLevel(s string) (any, error) {
	if level, ok := logLevels[s]; ok {
		return level, nil
	}
	return nil, parseError("must be debug, info, warn or error")
}

// parseList makes a slice of a list type from its items.
func parseList(list reflect.Type, items []string) (any, error) {
	parse := parsers[list.Elem()]
	out := reflect.MakeSlice(list, 0, len(items))
	for i, item := range items {
		item = strings.TrimSpace(item)
		if item == "" {
			return nil, parseError(fmt.Sprintf("has nothing at place %d of its list", i+1))
		}
		v, err := parse(item)
		if err != nil {
			return nil, parseError(fmt.Sprintf("%s (place %d of the list)", err.Error(), i+1))
		}
		out = reflect.Append(out, reflect.ValueOf(v))
	}
	return out.Interface(), nil
}
