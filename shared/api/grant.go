package api

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// GrantRule is what a grant says. Credentials, applications and tags are a
// union, and so are hosts, host labels and any host.
type GrantRule struct {
	Name         string   `json:"name" maxLength:"63" example:"nightly-sync"`
	Credentials  []string `json:"credentials" required:"false" maxItems:"256" doc:"references"`
	Applications []string `json:"applications" required:"false" maxItems:"256"`
	Tags         []string `json:"tags" required:"false" maxItems:"256" doc:"KEY=VALUE; one that matches is enough"`
	Hosts        []string `json:"hosts" required:"false" maxItems:"256" doc:"host IDs"`
	HostLabels   []string `json:"host_labels" required:"false" maxItems:"256" doc:"KEY=VALUE; one that matches is enough"`
	AnyHost      bool     `json:"any_host" required:"false"`
	Jobs
	Access  string     `json:"access,omitempty" enum:"read,use" doc:"read gives the job the value (the default), use acts with it"`
	TTL     Duration   `json:"ttl,omitempty" pattern:"^(0|([0-9]+d)?([0-9.]+(h|m|s|ms|us|ns))*)$" patternDescription:"a duration such as 90d, 12h or 15m" doc:"how long a lease lasts; 15m where absent" example:"15m"`
	Offline Duration   `json:"offline" required:"false" pattern:"^(0|([0-9]+d)?([0-9.]+(h|m|s|ms|us|ns))*)$" patternDescription:"a duration such as 90d, 12h or 15m" doc:"how long a lease is served after its end while the host has no contact" example:"1h"`
	Until   *time.Time `json:"until" required:"false" doc:"when the grant ends; null: never"`
}

// Jobs says which jobs on a host are meant. Of the kinds that are given each
// must match, by one of its values; without any, every job on the host is meant.
type Jobs struct {
	JobUsers      []string `json:"job_users,omitzero" required:"false" maxItems:"256" doc:"account names or decimal uids"`
	JobUnits      []string `json:"job_units,omitzero" required:"false" maxItems:"256" doc:"systemd system units, such as backup.service"`
	JobContainers []string `json:"job_containers,omitzero" required:"false" maxItems:"256" doc:"container IDs, or the first 12 digits of them or more"`
	JobExes       []string `json:"job_exes,omitzero" required:"false" maxItems:"256" doc:"absolute paths of executables; only beside job_users or job_units"`
	JobExeHashes  []string `json:"job_exe_sha256,omitzero" required:"false" maxItems:"256" doc:"SHA-256 of executables, 64 lower-case hex digits; only beside job_users or job_units"`
	JobClaims     []string `json:"job_claims,omitzero" required:"false" maxItems:"256" doc:"claims of the job's verified token, ISSUER:CLAIM=VALUE"`
}

// Grant is a grant as the server keeps it.
type Grant struct {
	GrantRule
	Empty     bool      `json:"empty" doc:"whether it gives nothing, since what it named is gone"`
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`
	Revision  uint64    `json:"revision" doc:"for If-Match, in double quotes"`
}

// GrantMade answers POST /v1/grants and PUT /v1/grants/{name}.
type GrantMade struct {
	Grant
	Reaches *HostsReached `json:"reaches,omitempty" doc:"the hosts that it reaches now; for those who may list hosts"`
}

// HostsReached are the hosts that a grant is for.
type HostsReached struct {
	Hosts []string `json:"hosts" doc:"their names, up to 20"`
	Total int      `json:"total"`
}

// GrantList answers GET /v1/grants.
type GrantList struct {
	Items []Grant `json:"items"`
}

// GrantRevoked answers DELETE /v1/grants/{name}.
type GrantRevoked struct {
	Revoked     string `json:"revoked" doc:"the grant's name"`
	LeasesEnded int    `json:"leases_ended" doc:"the leases that hosts had by this grant alone"`
}

// Job is who asks on a host.
type Job struct {
	User      string   `json:"user,omitempty" maxLength:"256" doc:"account name or decimal uid" example:"etl"`
	Unit      string   `json:"unit,omitempty" maxLength:"256" doc:"systemd system unit" example:"etl.service"`
	Container string   `json:"container,omitempty" maxLength:"64" doc:"the container's whole ID"`
	Exe       string   `json:"exe,omitempty" maxLength:"4096" doc:"path of the executable" example:"/usr/bin/python3"`
	SHA256    string   `json:"sha256,omitempty" maxLength:"64" doc:"of the executable, in lower-case hex"`
	Claims    []string `json:"claims,omitempty" maxItems:"256" doc:"claims of the job's token, ISSUER:CLAIM=VALUE"`
}

// ExplainRequest is the body of POST /v1/explain.
type ExplainRequest struct {
	Host       string `json:"host" maxLength:"63" doc:"the host's ID"`
	Credential string `json:"credential" maxLength:"127" doc:"a reference"`
	Job        Job    `json:"job"`
}

// Explanation answers it: the decision that the gate would make now.
type Explanation struct {
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`
	Grant   string `json:"grant" doc:"the grant that allows it; empty where none does"`
}

// Duration is a length of time that is written as 90d, 12h, 15m or 1d12h.
type Duration time.Duration

// maxDays keeps every Duration within what a time.Duration can hold.
const maxDays = 36500

var errDuration = errors.New("not a duration such as 90d, 12h or 15m")

// ParseDuration reads days (d) followed by what time.ParseDuration reads;
// neither below zero nor above 100 years.
func ParseDuration(s string) (Duration, error) {
	days, rest, found := strings.Cut(s, "d")
	if !found {
		days, rest = "0", s
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > maxDays {
		return 0, errDuration
	}
	var d time.Duration
	if rest != "" || !found {
		if d, err = time.ParseDuration(rest); err != nil || d < 0 {
			return 0, errDuration
		}
	}
	if d += time.Duration(n) * 24 * time.Hour; d < 0 || d > maxDays*24*time.Hour {
		return 0, errDuration
	}
	return Duration(d), nil
}

// String gives the form that ParseDuration reads.
func (d Duration) String() string {
	days, rest := time.Duration(d)/(24*time.Hour), time.Duration(d)%(24*time.Hour)
	if days == 0 {
		return trimZero(rest)
	}
	if rest == 0 {
		return fmt.Sprintf("%dd", days)
	}
	return fmt.Sprintf("%dd%s", days, trimZero(rest))
}

func trimZero(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDuration.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}
