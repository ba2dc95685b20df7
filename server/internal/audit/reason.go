package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Bounds of List, in bytes, so that ten of them fit into one reason.
const (
	maxList = 300
	maxName = 200
)

// List is names as a reason has them. What does not fit is counted, so that nobody takes a part for the whole.
func List(names []string) string {
	text := ""
	for i, name := range names {
		if len(name) > maxName {
			name = strings.ToValidUTF8(name[:maxName], "") + "…"
		}
		switch {
		case i == 0:
			text = name
		case len(text)+len(", ")+len(name) > maxList:
			return fmt.Sprintf("%s, and %d more", text, len(names)-i)
		default:
			text += ", " + name
		}
	}
	return text
}

// Labels is what a change makes of labels: key=value for each that it sets, -key for each that it takes away.
func Labels(before, after map[string]string) string {
	var all []string
	for key, text := range after {
		if old, there := before[key]; !there || old != text {
			all = append(all, key+"="+text)
		}
	}
	for key := range maps.Keys(before) {
		if _, there := after[key]; !there {
			all = append(all, "-"+key)
		}
	}
	slices.Sort(all)
	return List(all)
}
