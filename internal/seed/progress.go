package seed

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	barWidth = 30
	// drawEvery keeps a terminal from flickering.
	drawEvery = 100 * time.Millisecond
	// plainSteps is how many lines a whole run has where there is no terminal.
	plainSteps = 10
)

// Progress shows how far a run is: as a bar on a terminal, as a line for each
// tenth elsewhere. Its methods must not be called at the same time.
type Progress struct {
	out      io.Writer
	terminal bool
	total    int
	now      func() time.Time

	start, drawn time.Time
	steps        int
}

// NewProgress begins to measure.
func NewProgress(out io.Writer, terminal bool, total int, now func() time.Time) *Progress {
	return &Progress{out: out, terminal: terminal, total: total, now: now, start: now()}
}

// Show tells that so many of the total are done.
func (p *Progress) Show(done int) {
	now := p.now()
	if !p.terminal {
		if steps := done * plainSteps / p.total; steps > p.steps {
			p.steps = steps
			p.print(p.line(done, now) + "\n")
		}
		return
	}
	if done < p.total && now.Sub(p.drawn) < drawEvery {
		return
	}
	p.drawn = now
	filled := done * barWidth / p.total
	bar := "[" + strings.Repeat("#", filled) + strings.Repeat(".", barWidth-filled) + "] "
	end := ""
	if done >= p.total {
		end = "\n"
	}
	p.print("\r" + bar + p.line(done, now) + "\x1b[K" + end) // what a longer line left is cleared
}

func (p *Progress) line(done int, now time.Time) string {
	line := fmt.Sprintf("%3d %%  %s of %s people", done*100/p.total, Grouped(done), Grouped(p.total))
	elapsed := now.Sub(p.start).Seconds()
	if elapsed <= 0 || done == 0 {
		return line
	}
	rate := float64(done) / elapsed
	line += fmt.Sprintf("  %s/s", Grouped(int(rate)))
	if done < p.total {
		line += fmt.Sprintf("  %.0f s left", float64(p.total-done)/rate)
	}
	return line
}

func (p *Progress) print(s string) { _, _ = io.WriteString(p.out, s) } // a terminal that is gone cannot be told

// Grouped writes a number, not negative, with a comma before each three digits.
func Grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
