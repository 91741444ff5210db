package httpserver

import "time"

// What every server of ours grants a client.
const (
	HeaderTimeout  = 5 * time.Second  // until its headers are whole
	IdleTimeout    = 75 * time.Second // longer than the usual load balancer's 60 s, so that it closes first
	AnswerGrace    = 10 * time.Second // beyond the longest deadline of a handler, to write the answer
	MaxHeaderBytes = 32 << 10         // a token may have 8 KiB; the rest is headroom for proxies
)
