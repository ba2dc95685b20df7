package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// List is what a job may read.
type List struct {
	Items []Item `json:"items"`
	// Stale is set where the agent could not ask its server just now.
	Stale bool `json:"stale"`
}

// Item is a credential without its value.
type Item struct {
	Name        string `json:"name"`
	Kind        string `json:"kind"` // app or custom
	Application string `json:"application"`
	AuthType    string `json:"auth_type"`
	Version     uint64 `json:"version"`
}

// Credential is one version of a credential with its value. Printed or logged it shows its name and version only;
// whoever formats Fields itself gets the secrets.
type Credential struct {
	Name    string
	Version uint64
	// Fields are all values by name.
	Fields map[string][]byte
	// SecretFields are the names of those that must not be shown.
	SecretFields []string
	// Environment has, for each variable that the own tools of the credential's application read, the template of its
	// value over Fields: {password} in PGPASSWORD stands for that field's value.
	Environment map[string]string
	Lease       Lease
}

// Lease is how long a value is good.
type Lease struct {
	// Remaining is the time after which the agent no longer vouches for the value; ask again before.
	Remaining time.Duration
	// Stale is set where the agent serves a copy that it could not renew, as the grant allows for a while.
	Stale bool
}

// String is the name and version.
func (c Credential) String() string { return fmt.Sprintf("%s version %d", c.Name, c.Version) }

// Format is String for every verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalJSON is String: a value does not get into a document by accident.
func (c Credential) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

// LogValue is String.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// UnmarshalJSON reads the agent's answer.
func (c *Credential) UnmarshalJSON(b []byte) error {
	var answer struct {
		Credential   string            `json:"credential"`
		Version      uint64            `json:"version"`
		Fields       map[string]string `json:"fields"`
		FieldsBase64 map[string][]byte `json:"fields_base64"`
		SecretFields []string          `json:"secret_fields"`
		Environment  map[string]string `json:"environment"`
		Lease        struct {
			Remaining string `json:"remaining"`
			Stale     bool   `json:"stale"`
		} `json:"lease"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return err
	}
	remaining, err := time.ParseDuration(answer.Lease.Remaining)
	if err != nil {
		return errors.New("lease.remaining is not a duration")
	}
	*c = Credential{
		Name: answer.Credential, Version: answer.Version, SecretFields: answer.SecretFields,
		Fields:      make(map[string][]byte, len(answer.Fields)+len(answer.FieldsBase64)),
		Environment: answer.Environment,
		Lease:       Lease{Remaining: remaining, Stale: answer.Lease.Stale},
	}
	for name, text := range answer.Fields {
		c.Fields[name] = []byte(text)
	}
	for name, value := range answer.FieldsBase64 {
		c.Fields[name] = value
	}
	return nil
}

// Explanation is a decision and its reason.
type Explanation struct {
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`
	Host    string `json:"host"`
	Job     Job    `json:"job"`
	// Connected tells whether the agent could ask its server.
	Connected bool `json:"connected"`
	// AskAdmin is the command by which an admin sees more.
	AskAdmin string `json:"ask_admin"`
}

// Job is the caller as the agent sees it.
type Job struct {
	User      string `json:"user"`
	UID       uint32 `json:"uid"`
	PID       int32  `json:"pid"`
	Unit      string `json:"unit"`      // systemd system unit; empty: none
	Container string `json:"container"` // its ID; empty: none
	Exe       string `json:"exe"`
}

// Status is how an agent is.
type Status struct {
	Host      string `json:"host"`
	Connected bool   `json:"connected"`
	// Since is when Connected last changed.
	Since              time.Time `json:"since"`
	Leases             int       `json:"leases"`
	LockedBytes        int64     `json:"locked_bytes"`
	CertificateExpires time.Time `json:"certificate_expires"`
	Health             string    `json:"health"` // ok, degraded or revoked
	Why                string    `json:"why"`
	Server             string    `json:"server"` // HOST:PORT that it is connected to, or tries next
}

// decode reads one JSON document. Its errors repeat nothing of it, which may be a secret.
func decode[T any](b []byte) (*T, error) {
	answer := new(T)
	if err := json.Unmarshal(b, answer); err != nil {
		return nil, errors.New("the agent's answer is not what was asked for: is it of another version?")
	}
	return answer, nil
}

// refusal is an answer of the agent that is not the one asked for.
type refusal struct {
	kind   error // one of the sentinels, or nil
	detail string
}

func (r *refusal) Error() string { return r.detail }
func (r *refusal) Unwrap() error { return r.kind }

// problem reads the body of such an answer (RFC 9457).
func problem(status int, body []byte) error {
	var p struct {
		Title, Detail, Code string
	}
	if json.Unmarshal(body, &p) != nil || p.Detail == "" && p.Title == "" {
		return fmt.Errorf("what answers is no agent: %d %s; check the socket", status, http.StatusText(status))
	}
	if p.Detail == "" {
		p.Detail = p.Title
	}
	kinds := map[string]error{"refused": ErrRefused, "not_reachable": ErrNotReachable, "usage": ErrUsage}
	return &refusal{kind: kinds[p.Code], detail: p.Detail}
}
