//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// printTable is for people. The ratio is the median of the rounds' own ratios, ours to the floor.
func printTable(w io.Writer, m *machine, results []result) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "GOAL\tWHAT\tOURS\tFLOOR\t\tRATIO\tMIN–MAX\tWANTED\tMET")
	for _, r := range results {
		ratios := r.ratios()
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s–%s\t%s\t%s\n", r.Goal, r.What,
			figure(median(r.Ours), r.Unit), figure(median(r.Floor), r.Unit), r.Beside,
			ratio(median(ratios)), ratio(slices.Min(ratios)), ratio(slices.Max(ratios)), r.wanted(), r.verdict())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", m)
	return err
}

func ratio(f float64) string {
	if f < 0.1 {
		return fmt.Sprintf("%.3f", f)
	}
	return fmt.Sprintf("%.2f", f)
}

func figure(f float64, unit string) string {
	switch {
	case unit == "KB":
		return fmt.Sprintf("%.1f %s", f, unit)
	case unit == "/s":
		return fmt.Sprintf("%.0f%s", f, unit)
	}
	return fmt.Sprintf("%.0f %s", f, unit)
}

func (r result) wanted() string {
	switch r.Want {
	case ratioAtLeast:
		return fmt.Sprintf("≥ %.2f", r.Bound)
	case ratioAtMost:
		return fmt.Sprintf("≤ %.2f", r.Bound)
	case oursAtMost:
		return "≤ " + figure(r.Bound, r.Unit)
	default:
		return "–"
	}
}

func (r result) verdict() string {
	switch {
	case r.Want == nothing:
		return "–"
	case r.met():
		return "yes"
	default:
		return "no"
	}
}

// printJSON is for machines: every round's figures besides what the table has.
func printJSON(w io.Writer, m *machine, results []result) error {
	type line struct {
		result
		Ratio  float64   `json:"ratio"`
		Ratios []float64 `json:"ratios"`
		Wanted string    `json:"wanted"`
		Met    string    `json:"met"`
	}
	lines := make([]line, len(results))
	for i, r := range results {
		lines[i] = line{r, median(r.ratios()), r.ratios(), r.wanted(), r.verdict()}
	}
	return json.NewEncoder(w).Encode(map[string]any{"machine": m, "results": lines})
}
