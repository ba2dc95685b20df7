package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of List, in bytes, so that ten of them fit into one reason.
const (
	maxList = 300
	maxName = 200
)

// List is names as a reason has them. What does not fit is counted, so that nobody takes a part for the whole. A name that
// could pass for more than one, or for another part of the reason, is quoted.
func List(names []string) string {
	text := ""
	for i, name := range names {
		name = shown(name)
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

// shown is a name as List has it.
func shown(name string) string {
	whole, write := len(name), func(name string) string { return name }
	if !plain(name) {
		write = strconv.Quote
	}
	if whole > maxName {
		name = strings.ToValidUTF8(name[:maxName], "")
	}
	for len(write(name)) > maxName+len(`""`) { // quoting makes it longer
		_, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
	}
	if len(name) < whole {
		return write(name) + "…"
	}
	return write(name)
}

// plain says that a name has nothing in it of what is between names, nor of what follows them.
func plain(name string) bool {
	special := func(r rune) bool { return strings.ContainsRune(`,;"`, r) || !strconv.IsPrint(r) }
	return utf8.ValidString(name) && !strings.ContainsFunc(name, special) &&
		strings.TrimSpace(name) == name && !strings.HasPrefix(name, "and ")
}

// Labels is what a change makes of labels: key=value for each that it sets, -key for each that it takes away.
func Labels(before, after map[string]string) string {
	var all []string
	for key, text := range after {
		if old, there := before[key]; !there || old != text {
			all = append(all, key+"="+text)
		}
	}
	for key := range before {
		if _, there := after[key]; !there {
			all = append(all, "-"+key)
		}
	}
	slices.Sort(all)
	return List(all)
}
