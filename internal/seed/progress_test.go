package seed_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/profile-api/profile-api/internal/seed"
)

func TestProgressOnATerminalIsOneLineThatIsDrawnAnew(t *testing.T) {
	now := time.Unix(0, 0)
	var out bytes.Buffer
	p := seed.NewProgress(&out, true, 2_000_000, func() time.Time { return now })
	now = now.Add(10 * time.Second)
	p.Show(500_000)
	p.Show(500_100) // too soon to be drawn
	now = now.Add(10 * time.Second)
	p.Show(2_000_000)
	want := "\r[#######.......................]  25 %  500,000 of 2,000,000 people  50,000/s  30 s left\x1b[K" +
		"\r[##############################] 100 %  2,000,000 of 2,000,000 people  100,000/s\x1b[K\n"
	if out.String() != want {
		t.Errorf("drawn:\n%q\nwant:\n%q", out.String(), want)
	}
}

func TestProgressElsewhereIsALineForEachTenth(t *testing.T) {
	now := time.Unix(0, 0)
	var out bytes.Buffer
	p := seed.NewProgress(&out, false, 1000, func() time.Time { return now })
	for done := 5; done <= 1000; done += 5 {
		now = now.Add(time.Second)
		p.Show(done)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 10 || lines[4] != " 50 %  500 of 1,000 people  5/s  100 s left" || strings.ContainsAny(out.String(), "\r\x1b") {
		t.Errorf("printed %d lines:\n%s", len(lines), out.String())
	}
}
