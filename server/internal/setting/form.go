package setting

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/strongroom/strongroom/shared/credential"
)

var errForm = errors.New("not of the setting's form")

func (d definition) check(text string) error {
	_, err := d.normal(text)
	return err
}

// normal returns the one way in which a value is written, and the default for nothing.
func (d definition) normal(text string) (string, error) {
	if text == "" {
		return d.fallback, nil
	}
	switch d.form {
	case onOff:
		if text == "on" || text == "off" {
			return text, nil
		}
	case count:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= d.least && n <= d.most {
			return strconv.FormatInt(n, 10), nil
		}
	case span:
		n, err := parseSpan(text)
		if err == nil && (n == 0 && d.none != "" || int64(n) >= d.least && int64(n) <= d.most) {
			return n.String(), nil
		}
	case words:
		if int64(len(text)) <= d.most && credential.ValidText("words", text, len(text)) == nil {
			return strings.Join(split(text), ","), nil
		}
	case word:
		parts := func(r rune) bool { return r == ',' || unicode.IsSpace(r) }
		if int64(len(text)) <= d.most && credential.ValidText("word", text, len(text)) == nil && !strings.ContainsFunc(text, parts) {
			return text, nil
		}
	case issuers:
		if all := split(text); int64(len(text)) <= d.most && !slices.ContainsFunc(all, func(one string) bool { return !isIssuer(one) }) {
			return strings.Join(all, ","), nil
		}
	}
	return "", errForm
}

// isIssuer takes what OpenID Connect lets an issuer be (Discovery 1.0, section 3), but for = in it: in a grant, that ends
// the name of a claim, which follows the issuer.
func isIssuer(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil && !strings.ContainsAny(text, "?#=\\")
}

// parseSpan reads Go's durations, and whole days.
func parseSpan(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * time.Duration(day), err
	}
	return time.ParseDuration(text)
}

// allowed says in words what a value may be.
func (d definition) allowed() string {
	switch d.form {
	case onOff:
		return "on or off"
	case count:
		return fmt.Sprintf("a number from %d to %d", d.least, d.most)
	case words:
		return fmt.Sprintf("words separated by commas, %d bytes in all", d.most)
	case word:
		return fmt.Sprintf("one word of at most %d bytes, without commas", d.most)
	case issuers:
		return fmt.Sprintf("https URLs as the tokens have them, separated by commas, without a query and without =, %d bytes in all", d.most)
	}
	s := fmt.Sprintf("a duration such as 90m, 12h or 7d, from %s to %s", spanText(d.least), spanText(d.most))
	if d.none != "" {
		s += ", or 0s: " + d.none
	}
	return s
}

func spanText(n int64) string {
	if n%day == 0 {
		return strconv.FormatInt(n/day, 10) + "d"
	}
	s := strings.TrimSuffix(time.Duration(n).String(), "0s")
	return strings.TrimSuffix(s, "0m")
}
