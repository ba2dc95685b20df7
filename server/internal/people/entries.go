package people

import (
	"strings"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/grant"
)

// resetText is what follows for a user whose way in somebody else has changed.
const resetText = "sessions and tokens end, custom credentials are locked for a time"

func (e UserEdit) text() string {
	var parts []string
	if e.Role != nil {
		parts = append(parts, "role "+*e.Role)
	}
	switch {
	case e.Disabled != nil && *e.Disabled:
		parts = append(parts, "sessions end, tokens are refused")
	case e.Disabled != nil:
		parts = append(parts, "logins and tokens are good again")
	}
	return strings.Join(parts, "; ")
}

func passwordEntry(who grant.Person, name string) audit.Entry {
	e := audit.Entry{Actor: who.Name, Action: "user.passwd", Target: name, Reason: "by the one before; sessions end"}
	if name != who.Name {
		e.Reason = "by somebody else; " + resetText
	}
	return e
}

func loginText(t Token, code string) string {
	how := "password"
	if code != "" {
		how = "password and code"
	}
	return how + "; until " + t.Expires.UTC().Format(time.RFC3339)
}

// text is what an API token is for.
func (t Token) text() string {
	text := "all that its user may do"
	if t.Scopes != nil {
		text = "scopes " + audit.List(t.Scopes)
	}
	if t.Expires.IsZero() {
		return text + "; no end"
	}
	return text + "; until " + t.Expires.UTC().Format(time.RFC3339)
}
