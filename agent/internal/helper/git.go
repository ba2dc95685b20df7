package helper

import (
	"fmt"
	"io"
	"strings"
)

// GitQuestion is what git asks of a credential helper (gitcredentials(7), git-credential(1)).
type GitQuestion struct {
	asked    place
	username string // empty: any
}

// ReadGit reads a question from git, at most MaxInput bytes up to an empty line or the end. It fails with ErrInput, and
// with ErrOtherHost for what is neither https nor loopback.
func ReadGit(r io.Reader) (GitQuestion, error) {
	text, err := readAll(r)
	if err != nil {
		return GitQuestion{}, err
	}
	known := map[string]string{"protocol": "", "host": "", "username": ""}
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			break
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || key == "" {
			return GitQuestion{}, fmt.Errorf("%w: git sends lines of KEY=VALUE", ErrInput)
		}
		// A return ends a line for some readers and not for others; git writes none.
		if strings.ContainsAny(line, "\r\x00") {
			return GitQuestion{}, fmt.Errorf("%w: a line holds a return or a NUL", ErrInput)
		}
		if _, ours := known[key]; !ours {
			continue // later versions of git say more
		}
		// A line break that somebody brought into a URL would show as a second host.
		if seen[key] {
			return GitQuestion{}, fmt.Errorf("%w: %s is there twice", ErrInput, key)
		}
		seen[key] = true
		known[key] = value
	}
	if known["protocol"] == "" || known["host"] == "" {
		return GitQuestion{}, fmt.Errorf("%w: git names no protocol or no host", ErrInput)
	}
	asked, err := placeOf(known["protocol"], known["host"])
	return GitQuestion{asked: asked, username: known["username"]}, err
}

// Git answers git's question. host takes the place of the credential's own, username of its field; both may be empty.
func (c Credential) Git(q GitQuestion, host, username string) ([]byte, error) {
	if err := c.isFor(q.asked, host); err != nil {
		return nil, err
	}
	user, password, named, err := c.login(username)
	if err != nil {
		return nil, err
	}
	if q.username != "" && q.username != user {
		if named {
			return nil, fmt.Errorf("%w: %s is of another user than the URL names", ErrOtherHost, c.Reference)
		}
		user = q.username // to a token any name will do, or the one that its server wants
	}
	for what, value := range map[string]string{"user name": user, "password": password} {
		if err := oneLine(what, value); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Reference, err)
		}
	}
	return fmt.Appendf(nil, "username=%s\npassword=%s\npassword_expiry_utc=%d\n", user, password, c.Ends.Unix()), nil
}

// readAll reads what a tool asks.
func readAll(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxInput+1))
	if err != nil {
		return "", fmt.Errorf("reading what is asked: %w", err)
	}
	if len(b) > MaxInput {
		return "", fmt.Errorf("%w: it is longer than %d bytes", ErrInput, MaxInput)
	}
	return string(b), nil
}
