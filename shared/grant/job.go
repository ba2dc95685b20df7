package grant

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
)

// MaxClaims is how many claims of one job are taken.
const MaxClaims = 256

// Job is who asks on a host. The server only has the agent's word for it. What
// the host cannot tell is empty, and no condition on it is then met.
type Job struct {
	User      string // account name
	UID       string // decimal uid, or SID
	PID       int32
	Unit      string // systemd system unit, as systemctl shows it
	Container string // its whole ID
	Exe       string // absolute path
	ExeSHA256 string // of the executable's bytes, 64 lower-case hex digits, or NoHash; empty: see WantsHash
	// Claims are those of a verified token, each as Claim has it.
	Claims []string
}

// Facts names all that a job is judged by: jobs whose facts are equal get the
// same decisions.
func (j Job) Facts() string {
	return fmt.Sprintf("%q", append([]string{j.User, j.UID, j.Unit, j.Container, j.Exe, j.ExeSHA256}, j.Claims...))
}

// maxLogged is how much of a fact stands in the log, so that all of them fit.
const maxLogged = 640

// String is how a job stands in the log and in messages. What a host or a file's
// name could forge another field with is escaped.
func (j Job) String() string {
	plain := func(s string) string {
		quoted := strconv.QuoteToASCII(s)
		s = strings.NewReplacer(",", `\x2c`, "=", `\x3d`).Replace(quoted[1 : len(quoted)-1])
		return s[:min(len(s), maxLogged)]
	}
	s := "user=" + plain(j.User)
	if j.User == "" {
		s = "uid=" + plain(j.UID)
	}
	pid := ""
	if j.PID != 0 {
		pid = strconv.Itoa(int(j.PID))
	}
	for _, fact := range [][2]string{
		{"unit", j.Unit}, {"container", j.Container}, {"exe", j.Exe}, {"pid", pid}, {"subject", j.subject()},
	} {
		if fact[1] != "" {
			s += "," + fact[0] + "=" + plain(fact[1])
		}
	}
	return s
}

// subject is whom the job's token is about, ISSUER:SUB; empty: there is none.
func (j Job) subject() string {
	for _, claim := range j.ForLog().Claims {
		return strings.Replace(claim, subjectClaim+"=", ":", 1)
	}
	return ""
}

// subjectClaim ends the left side of the claim that says whom a token is about.
const subjectClaim = ":sub"

// ForLog is the job with no more claims than String shows.
func (j Job) ForLog() Job {
	i := slices.IndexFunc(j.Claims, func(claim string) bool {
		left, _, _ := strings.Cut(claim, "=")
		return strings.HasSuffix(left, subjectClaim)
	})
	if i < 0 {
		j.Claims = nil
	} else {
		j.Claims = j.Claims[i : i+1]
	}
	return j
}

// Claim is one claim of a job's token as conditions name it, ISSUER:NAME=VALUE.
// It is empty for a name that would make another claim of it.
func Claim(issuer, name, value string) string {
	if name == "" || strings.ContainsAny(name, ":=") || strings.Contains(issuer, "=") {
		return ""
	}
	return issuer + ":" + name + "=" + value
}

// Jobs says which jobs on a host a grant is for. Of the kinds that are given
// each must match, by one of its values; without any, every job is meant. Each
// claim of an issuer is a kind of its own: a branch says nothing without its
// project.
type Jobs struct {
	JobUsers      []string `json:"job_users,omitempty"`      // names, decimal uids or SIDs
	JobUnits      []string `json:"job_units,omitempty"`      // systemd system units
	JobContainers []string `json:"job_containers,omitempty"` // IDs, or the first 12 digits of them or more
	JobExes       []string `json:"job_exes,omitempty"`       // absolute paths
	JobExeHashes  []string `json:"job_exe_sha256,omitempty"`
	JobClaims     []string `json:"job_claims,omitempty"` // as Claim has them
}

// kind is one kind of conditions on jobs.
type kind struct {
	name   string // in messages
	reason string // of a refusal
	values func(Jobs) []string
	match  func(given []string, j Job) bool // called where some are given
	good   func(value string) bool
	wanted string // said of a value that is not good
}

// kinds are all of them, in the order in which they are judged.
var kinds = []kind{
	{"job user", ReasonJob, func(c Jobs) []string { return c.JobUsers }, anyOf(isUser),
		func(user string) bool { return len(user) <= 256 }, "at most 256 bytes are allowed"},
	{"job unit", ReasonUnit, func(c Jobs) []string { return c.JobUnits }, anyOf(func(v string, j Job) bool { return v == j.Unit }),
		IsUnit, "write a system unit that has processes as systemctl shows it, such as backup.service"},
	{"job container", ReasonContainer, func(c Jobs) []string { return c.JobContainers }, anyOf(inContainer),
		isContainer, "write its ID, or the first 12 digits of it or more, in lower-case hex"},
	{"job exe", ReasonExe, func(c Jobs) []string { return c.JobExes }, anyOf(func(v string, j Job) bool { return v == j.Exe }),
		isPath, "write the absolute path of a file, without . and .. and doubled slashes"},
	{"job claim", ReasonClaim, func(c Jobs) []string { return c.JobClaims }, matchClaims,
		isClaim, "write it as ISSUER:CLAIM=VALUE, such as https://gitlab.example.com:project_path=group/app"},
	{"job exe sha256", ReasonExeHash, func(c Jobs) []string { return c.JobExeHashes }, anyOf(func(v string, j Job) bool { return v == j.ExeSHA256 }),
		func(s string) bool { return len(s) == 64 && isHex(s) }, "write 64 lower-case hex digits"},
}

// met tells whether the kind is not given, or names the job.
func (k kind) met(c Jobs, j Job) bool {
	given := k.values(c)
	return len(given) == 0 || k.match(given, j)
}

// anyOf tells whether one of the values names the job. What is not known of a job, or empty in a condition, is named by
// nobody.
func anyOf(is func(value string, j Job) bool) func(given []string, j Job) bool {
	return func(given []string, j Job) bool {
		return slices.ContainsFunc(given, func(v string) bool { return v != "" && is(v, j) })
	}
}

// matchClaims demands of each claim that is named one of its values.
func matchClaims(given []string, j Job) bool {
	shown := map[string]bool{}
	for _, claim := range given {
		name, _, _ := strings.Cut(claim, "=")
		shown[name] = shown[name] || claim != "" && slices.Contains(j.Claims, claim)
	}
	return !slices.Contains(slices.Collect(maps.Values(shown)), false)
}

// isUser compares numbers with the uid alone: an account may be called 1001.
func isUser(user string, j Job) bool {
	if IsUID(user) {
		return user == j.UID
	}
	return user == j.User
}

// minContainer is how many digits tell a container from every other one.
const minContainer = 12

func inContainer(id string, j Job) bool {
	return len(id) >= minContainer && strings.HasPrefix(j.Container, id)
}

// IsUID says whether a job's user is given as a number or as a Windows SID, not
// by name.
func IsUID(user string) bool {
	digits := strings.TrimPrefix(user, "S-1-")
	return digits != "" && strings.Trim(digits, "0123456789-") == ""
}

// ErrHashWanted is no refusal yet: the job is to be judged again with the hash
// of its executable, which it costs too much to find out for every job.
var ErrHashWanted = errors.New("the hash of the job's executable is wanted")

// NoHash stands in a job for the hash of an executable that the host looked at
// and cannot hash.
const NoHash = "none"

// WantsHash tells whether a job, whose hash nobody looked for yet, is refused
// for the want of it alone.
func WantsHash(grants []Grant, j Job) bool {
	if j.ExeSHA256 != "" || ForJob(grants, j).Allowed {
		return false
	}
	any := slices.Clone(grants)
	for i := range any {
		any[i].JobExeHashes = nil
	}
	return ForJob(any, j).Allowed
}

// Len counts the values of all kinds.
func (c Jobs) Len() int {
	n := 0
	for _, kind := range kinds {
		n += len(kind.values(c))
	}
	return n
}

// maxJobsText bounds all values together, in bytes: they travel with every lease.
const maxJobsText = 16 << 10

// maxJobText is the longest value of a condition. What a host says of a job is
// cut off further on (package wire), so that no rest can be taken for a whole.
const maxJobText = 500

// Check refuses what names no job. The error wraps credential.ErrInvalid and
// says which kind it is about.
func (c Jobs) Check() error {
	if len(c.JobExes)+len(c.JobExeHashes) > 0 && len(c.JobUsers)+len(c.JobUnits) == 0 {
		return fmt.Errorf("%w job exe: a process can start any program and go on in its name, so name the job's user or unit as well",
			credential.ErrInvalid)
	}
	size := 0
	for _, kind := range kinds {
		for _, value := range kind.values(c) {
			if size += len(value); size > maxJobsText {
				return fmt.Errorf("%w %s: the conditions on jobs have more than %d bytes together; make several grants", credential.ErrInvalid, kind.name, maxJobsText)
			}
			if value == "" {
				return fmt.Errorf("%w %s: it is empty", credential.ErrInvalid, kind.name)
			}
			if err := credential.ValidText(kind.name, value, maxJobText); err != nil {
				return err
			}
			if !kind.good(value) {
				return fmt.Errorf("%w %s: %s", credential.ErrInvalid, kind.name, kind.wanted)
			}
		}
	}
	return nil
}

// IsUnit tells whether a name is one of a systemd unit, of the types whose units
// have processes of their own.
func IsUnit(s string) bool {
	const allowed = `abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.@\-`
	name, typ := strings.TrimSuffix(s, path.Ext(s)), path.Ext(s)
	return len(s) < 256 && name != "" && strings.Trim(s, allowed) == "" &&
		slices.Contains([]string{".service", ".scope", ".socket", ".mount", ".swap"}, typ)
}

func isContainer(s string) bool { return len(s) >= minContainer && len(s) <= 64 && isHex(s) }

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

func isPath(s string) bool {
	return len(s) > 1 && strings.HasPrefix(s, "/") && path.Clean(s) == s && !strings.ContainsAny(s, "\n\t")
}

func isClaim(s string) bool {
	left, _, found := strings.Cut(s, "=")
	colon := strings.LastIndexByte(left, ':')
	if !found || colon < 0 || left[colon+1:] == "" {
		return false
	}
	issuer, err := url.Parse(left[:colon])
	return err == nil && issuer.Scheme == "https" && issuer.Host != "" && issuer.User == nil && issuer.Fragment == ""
}
