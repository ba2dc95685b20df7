package grant

import (
	"errors"
	"fmt"
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
	for _, claim := range j.Claims {
		if left, sub, _ := strings.Cut(claim, "="); strings.HasSuffix(left, subjectClaim) {
			return strings.TrimSuffix(left, subjectClaim) + ":" + sub
		}
	}
	return ""
}

// subjectClaim ends the left side of the claim that says whom a token is about.
const subjectClaim = ":sub"

// ForLog is the job with no more claims than String shows.
func (j Job) ForLog() Job {
	var shown []string
	for _, claim := range j.Claims {
		if left, _, _ := strings.Cut(claim, "="); strings.HasSuffix(left, subjectClaim) && len(shown) == 0 {
			shown = append(shown, claim)
		}
	}
	j.Claims = shown
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
// each must match, by one of its values; without any, every job is meant.
type Jobs struct {
	JobUsers      []string `json:"job_users,omitempty"`      // names, decimal uids or SIDs
	JobUnits      []string `json:"job_units,omitempty"`      // systemd system units
	JobContainers []string `json:"job_containers,omitempty"` // IDs, or the first 12 digits of them or more
	JobExes       []string `json:"job_exes,omitempty"`       // absolute paths
	JobExeHashes  []string `json:"job_exe_sha256,omitempty"`
	JobClaims     []string `json:"job_claims,omitempty"` // as Claim has them
}

// kindsOfJobs are the kinds of conditions, in the order in which they are judged.
var kindsOfJobs = []struct {
	reason string // of a refusal
	match  func(Jobs, Job) bool
}{
	{ReasonJob, Jobs.matchUser},
	{ReasonUnit, func(c Jobs, j Job) bool { return names(c.JobUnits, j.Unit) }},
	{ReasonContainer, Jobs.matchContainer},
	{ReasonExe, func(c Jobs, j Job) bool { return names(c.JobExes, j.Exe) }},
	{ReasonClaim, func(c Jobs, j Job) bool {
		return len(c.JobClaims) == 0 || slices.ContainsFunc(j.Claims, func(claim string) bool { return names(c.JobClaims, claim) })
	}},
	{ReasonExeHash, func(c Jobs, j Job) bool { return names(c.JobExeHashes, j.ExeSHA256) }},
}

// names tells whether a kind that is given has the fact. One that is not known
// is named by nobody.
func names(given []string, fact string) bool {
	return len(given) == 0 || fact != "" && slices.Contains(given, fact)
}

// matchUser compares numbers with the uid alone: an account may be called 1001.
func (c Jobs) matchUser(j Job) bool {
	return len(c.JobUsers) == 0 || slices.ContainsFunc(c.JobUsers, func(user string) bool {
		if IsUID(user) {
			return user == j.UID
		}
		return user != "" && user == j.User
	})
}

// minContainer is how many digits tell a container from every other one.
const minContainer = 12

func (c Jobs) matchContainer(j Job) bool {
	return len(c.JobContainers) == 0 || slices.ContainsFunc(c.JobContainers, func(id string) bool {
		return len(id) >= minContainer && strings.HasPrefix(j.Container, id)
	})
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
	return len(c.JobUsers) + len(c.JobUnits) + len(c.JobContainers) + len(c.JobExes) + len(c.JobExeHashes) + len(c.JobClaims)
}

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
	for _, kind := range []struct {
		name   string
		values []string
		good   func(string) bool
		wanted string
	}{
		{"job user", c.JobUsers, func(user string) bool { return len(user) <= 256 }, "at most 256 bytes are allowed"},
		{"job unit", c.JobUnits, isUnit, "write a system unit that has processes as systemctl shows it, such as backup.service"},
		{"job container", c.JobContainers, isContainer, "write its ID, or the first 12 digits of it or more, in lower-case hex"},
		{"job exe", c.JobExes, isPath, "write the absolute path of a file, without . and .. and doubled slashes"},
		{"job exe sha256", c.JobExeHashes, func(s string) bool { return len(s) == 64 && isHex(s) }, "write 64 lower-case hex digits"},
		{"job claim", c.JobClaims, isClaim, "write it as ISSUER:CLAIM=VALUE, such as https://gitlab.example.com:project_path=group/app"},
	} {
		for _, value := range kind.values {
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

// isUnit takes the types whose units have processes of their own.
func isUnit(s string) bool {
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
