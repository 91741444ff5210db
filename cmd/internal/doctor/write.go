package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// Count tells how many findings there are of each status.
func Count(findings []Finding) map[Status]int {
	counts := map[Status]int{}
	for _, f := range findings {
		counts[f.Status]++
	}
	return counts
}

// worst is fail when one fails, else warn when one warns, else pass.
func worst(findings []Finding) Status {
	switch counts := Count(findings); {
	case counts[Fail] > 0:
		return Fail
	case counts[Warn] > 0:
		return Warn
	}
	return Pass
}

// WriteTable writes one line for each finding, for people, and a summary.
func WriteTable(w io.Writer, findings []Finding) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		text := f.Message
		if f.Remedy != "" {
			text += ". Remedy: " + f.Remedy
		}
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\n", f.Status, f.Check, text); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	counts := Count(findings)
	_, err := fmt.Fprintf(w, "%d pass, %d warn, %d fail\n", counts[Pass], counts[Warn], counts[Fail])
	return err
}

// WriteJSON writes an object with the worst status and every finding.
func WriteJSON(w io.Writer, findings []Finding) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Status Status    `json:"status"`
		Checks []Finding `json:"checks"`
	}{worst(findings), findings})
}
