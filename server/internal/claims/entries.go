package claims

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/strongroom/strongroom/shared/grant"
)

const (
	// maxEntry is as long as what a grant can name.
	maxEntry = 500
	// maxEntries is in bytes, of all entries of one token: they lie in the agent as long as the token is good.
	maxEntries = 32 << 10
)

// ofTheToken are claims that say nothing of the job, and are others in each token of it.
var ofTheToken = []string{"exp", "nbf", "iat", "jti"}

// entries writes claims in the form in which grants name them: a claim that is a list gives one for each element. What
// is no text, number, true or false is left out, and so is what no grant can name.
func entries(issuer string, all map[string]json.RawMessage) ([]string, error) {
	var out []string
	add := func(name string, raw json.RawMessage) {
		value, ok := valueOf(raw)
		if !ok {
			return
		}
		if entry := grant.Claim(issuer, name, value); entry != "" && len(entry) <= maxEntry {
			out = append(out, entry)
		}
	}
	for name, raw := range all {
		if slices.Contains(ofTheToken, name) {
			continue
		}
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			add(name, raw)
		}
		for _, one := range list {
			add(name, one)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	bytes := 0
	for _, entry := range out {
		bytes += len(entry)
	}
	if len(out) > grant.MaxClaims || bytes > maxEntries {
		return nil, fmt.Errorf("%w: it has more than %d claims, elements of lists counted, or more than %d bytes of them", ErrToken, grant.MaxClaims, maxEntries)
	}
	return out, nil
}

// valueOf is a text without its quotes, and a number, true or false as the token has it.
func valueOf(raw json.RawMessage) (string, bool) {
	if text, ok := textOf(raw); ok {
		return text, true
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || bytes.IndexByte([]byte("{[n"), raw[0]) >= 0 {
		return "", false
	}
	return string(raw), true
}
