// Package setting keeps what an organisation may choose of the server's ways: each setting has a name, a default, what
// is allowed and one line of help, all in one table. A setting that was never set, or was set back, has its default.
//
// It knows what a value looks like and not what follows from it: the rooms that go by a setting read it here each time,
// so that a change works at once. It holds no secret.
package setting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// Errors that callers tell apart.
var (
	ErrUnknown = errors.New("no such setting")
	// ErrRefused means that the person may change settings, but not this one.
	ErrRefused = errors.New("refused")
)

const kindSetting barrier.Kind = "setting"

// Name names a setting.
type Name string

// The settings.
const (
	Requests        Name = "requests"
	CustomLock      Name = "custom-lock"
	SessionIdle     Name = "session-idle"
	SessionMax      Name = "session-max"
	TokenMax        Name = "token-max"
	PasswordMin     Name = "password-min"
	PasswordClasses Name = "password-classes"
	PasswordBanned  Name = "password-banned"
	PasswordHistory Name = "password-history"
	SecretMin       Name = "secret-min"
	SecretClasses   Name = "secret-classes"
	SecretBanned    Name = "secret-banned"
	SecretHistory   Name = "secret-history"
	AuditRetention  Name = "audit-retention"
	JobIssuers      Name = "job-issuers"
	JobAudience     Name = "job-audience"
)

// form is how a setting's text is read.
type form int

const (
	onOff form = iota
	span       // a duration
	count
	words   // separated by commas
	word    // one of them
	issuers // of tokens: https URLs, separated by commas
)

type definition struct {
	form     form
	fallback string
	// Bounds, both allowed. least is also what a span that is not 0 has to have; a span may be 0 where none is allowed.
	least, most int64
	none        string // what 0 means, where a span may be 0
	widens      bool   // it can widen what jobs get, so it takes grant.edit as well
	help        string
}

const day = int64(24 * time.Hour)

// table is every setting that there is.
var table = map[Name]definition{
	Requests: {form: onOff, fallback: "on",
		help: "whether people may ask for custom credentials that their owners have marked requestable"},
	CustomLock: {form: span, fallback: "24h", least: int64(time.Minute), most: 30 * day,
		help: "how long somebody's custom credentials are locked after another person has set the owner's password"},
	SessionIdle: {form: span, fallback: "30m", least: int64(time.Minute), most: day,
		help: "how long a session lasts without being used"},
	SessionMax: {form: span, fallback: "12h", least: int64(time.Minute), most: 30 * day,
		help: "how long a session lasts at most"},
	TokenMax: {form: span, fallback: "0s", least: int64(time.Hour), most: 3650 * day, none: "no limit",
		help: "how long an API token may last"},
	PasswordMin: {form: count, fallback: "12", least: 12, most: 256,
		help: "the least number of characters of a person's password"},
	PasswordClasses: {form: count, fallback: "1", least: 1, most: 4,
		help: "how many of lower case, upper case, digits and other characters a person's password needs"},
	PasswordBanned: {form: words, fallback: "", most: 1000,
		help: "words that a person's password may not contain, separated by commas"},
	PasswordHistory: {form: count, fallback: "5", least: 0, most: 24,
		help: "how many of a person's earlier passwords may not be used again"},
	SecretMin: {form: count, fallback: "0", least: 0, most: 128,
		help: "the least number of characters of a credential's password that is given; one that is generated has 32"},
	SecretClasses: {form: count, fallback: "0", least: 0, most: 4,
		help: "how many of lower case, upper case, digits and symbols such a password needs; one that is generated has all"},
	SecretBanned: {form: words, fallback: "", most: 1000,
		help: "words that no password of a credential may contain, separated by commas"},
	SecretHistory: {form: count, fallback: "0", least: 0, most: credential.MaxHistory,
		help: "how many of a credential's latest passwords may not be given again; a rollback still can"},
	AuditRetention: {form: span, fallback: "0s", least: 30 * day, most: 36500 * day, none: "for ever",
		help: "how long the audit log keeps its entries"},
	JobIssuers: {form: issuers, fallback: "", most: 2000, widens: true,
		help: "the issuers of tokens by which jobs may show who they are, such as that of a CI system; none: no token is taken"},
	JobAudience: {form: word, fallback: "strongroom", most: 255, widens: true,
		help: "the audience that a job's token has to be for"},
}

// Setting is one of them as it stands.
type Setting struct {
	Name    Name
	Value   string
	Default string
	Allowed string // in words
	Help    string
}

// Settings is the room. It is safe for concurrent use.
type Settings struct {
	barrier *barrier.Barrier
	log     *audit.Log

	mu  sync.RWMutex
	set map[Name]string
}

// Open reads what was set from an unsealed barrier. A setting that this version does not know is left alone.
func Open(b *barrier.Barrier, log *audit.Log) (*Settings, error) {
	s := &Settings{barrier: b, log: log, set: map[Name]string{}}
	err := b.View(func(tx *barrier.Tx) error {
		return tx.Scan(kindSetting, func(id string, text []byte) error {
			if d, known := table[Name(id)]; known && d.check(string(text)) == nil {
				s.set[Name(id)] = string(text)
			}
			return nil
		})
	})
	return s, err
}

// List returns all settings by name.
func (s *Settings) List() []Setting {
	out := make([]Setting, 0, len(table))
	for name := range table {
		one, _ := s.Get(name) // it is there
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Setting) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out
}

// Get returns one, or ErrUnknown.
func (s *Settings) Get(name Name) (Setting, error) {
	d, known := table[name]
	if !known {
		return Setting{}, fmt.Errorf("%w: strongroom setting list shows those that there are", ErrUnknown)
	}
	return Setting{Name: name, Value: s.text(name), Default: d.fallback, Allowed: d.allowed(), Help: d.help}, nil
}

// Set changes one and returns it as it is now. The empty text sets it back to its default.
func (s *Settings) Set(ctx context.Context, who grant.Person, name Name, text string) (Setting, error) {
	d, known := table[name]
	if !known {
		return s.Get(name)
	}
	text, err := d.normal(text)
	if err != nil {
		return Setting{}, fmt.Errorf("%w %s: %s", credential.ErrInvalid, name, d.allowed())
	}
	entry := audit.Entry{Actor: who.Name, Action: "setting.set", Target: string(name), Outcome: audit.Allowed}
	entry.Reason = fmt.Sprintf("to %s; before %s", cmp.Or(text, "nothing"), cmp.Or(audit.List(s.Words(name)), "nothing"))
	if d.widens && !who.Can(grant.GrantEdit) {
		entry.Outcome, entry.Reason = audit.Refused, "needs "+grant.GrantEdit.String()
		if _, err := s.log.Append(ctx, entry); err != nil {
			return Setting{}, err
		}
		return Setting{}, fmt.Errorf("%w: %s says which jobs get credentials, so it takes %s as well", ErrRefused, name, grant.GrantEdit)
	}
	err = s.log.Change(ctx, s.barrier, entry, func(tx *barrier.Tx) error { return tx.Put(kindSetting, string(name), []byte(text)) })
	if err != nil {
		return Setting{}, err
	}
	s.mu.Lock()
	s.set[name] = text
	s.mu.Unlock()
	return s.Get(name)
}

// On reads a setting that is on or off.
func (s *Settings) On(name Name) bool { return s.text(name) == "on" }

// Duration reads one that is a time.
func (s *Settings) Duration(name Name) time.Duration {
	d, _ := time.ParseDuration(s.text(name)) // what is stored was checked
	return d
}

// Count reads one that is a number.
func (s *Settings) Count(name Name) int {
	n, _ := strconv.Atoi(s.text(name))
	return n
}

// Words reads one that is a list.
func (s *Settings) Words(name Name) []string { return split(s.text(name)) }

func (s *Settings) text(name Name) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if text, ok := s.set[name]; ok {
		return text
	}
	return table[name].fallback
}

func split(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}
