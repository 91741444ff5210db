// Package valkey keeps the state that replicas share in a Valkey or Redis
// server: so far the counts of the rate limiter. Every use of the server has a
// short deadline and a way to go on without it, for the server may be away and
// requests may not wait for that.
package valkey
