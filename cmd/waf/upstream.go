package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/profile-api/profile-api/domain"
)

// upstreamAway answers when the API does not.
func (p *proxy) upstreamAway(w http.ResponseWriter, r *http.Request, err error) {
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		p.answer(w, r, p.tooLarge())
		return
	case errors.Is(r.Context().Err(), context.Canceled): // the client has gone
		panic(http.ErrAbortHandler)
	}
	p.metrics.upstreamFailures.Inc()
	p.log.LogAttrs(r.Context(), slog.LevelError, "the API does not answer", p.about(r)...)
	p.answer(w, r, domain.UnavailableError(err, 0))
}

// about is what a log line tells of a request.
func (p *proxy) about(r *http.Request) []slog.Attr {
	return []slog.Attr{slog.String("request_id", requestID(r)), slog.String("route", p.templates.Of(r))}
}

// watch has it told when the API does not end what it began to answer. The client
// sees its connection end, and nothing else would tell why.
func (p *proxy) watch(res *http.Response) error {
	r := res.Request
	res.Body = &answerBody{res.Body, func() {
		if !errors.Is(r.Context().Err(), context.Canceled) { // else the client has gone
			p.metrics.upstreamFailures.Inc()
			p.log.LogAttrs(r.Context(), slog.LevelError, "the API broke off its answer, or did not end it in time", p.about(r)...)
		}
	}}
	return nil
}

// answerBody is an answer on its way from the API.
type answerBody struct {
	io.ReadCloser
	broken func()
}

// Read implements io.Reader.
func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.broken()
	}
	return n, err
}
