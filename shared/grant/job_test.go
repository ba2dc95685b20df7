package grant

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/credential"
)

const (
	docker = "4f5cc6a1cbd8e3d2b7a09f61e5c2d4ab83719c6de0f2b4a5968778695a4b3c2d"
	sum    = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	gitlab = "https://gitlab.example.com"
)

// nightly is a job that has every fact.
var nightly = Job{
	User: "etl", UID: "1001", PID: 7, Unit: "backup.service", Container: docker, Exe: "/usr/bin/etl", ExeSHA256: sum,
	Claims: []string{gitlab + ":sub=project_path:group/app:ref:main", gitlab + ":project_path=group/app"},
}

// Of each kind: a job that is named, and all that must not be taken for it. Reasons are typed by hand.
func TestConditionsOnJobs(t *testing.T) {
	t.Parallel()
	const (
		user      = "no grant of this credential for this host names this job's user"
		unit      = "no grant of this credential for this host and user names this job's unit"
		container = "no grant of this credential for this host and user names this job's container"
		exe       = "no grant of this credential for this host and user names this job's executable"
		hash      = "no grant of this credential for this host and user names the SHA-256 of this job's executable"
		claim     = "no grant of this credential for this host and user names a claim of this job"
		yes       = "allowed by grant g"
	)
	none := Job{User: "etl", UID: "1001"}
	for name, tt := range map[string]struct {
		jobs Jobs
		job  Job
		want string
	}{
		"none given":       {Jobs{}, Job{}, yes},
		"all given":        {Jobs{[]string{"etl"}, []string{"backup.service"}, []string{docker}, []string{"/usr/bin/etl"}, []string{sum}, []string{gitlab + ":project_path=group/app"}}, nightly, yes},
		"unit":             {Jobs{JobUnits: []string{"a.service", "backup.service"}}, nightly, yes},
		"another unit":     {Jobs{JobUnits: []string{"backup.scope"}}, nightly, unit},
		"a unit's start":   {Jobs{JobUnits: []string{"backup"}}, nightly, unit},
		"unit in capitals": {Jobs{JobUnits: []string{"Backup.service"}}, nightly, unit},
		"no unit":          {Jobs{JobUnits: []string{"backup.service"}}, none, unit},
		"an empty unit":    {Jobs{JobUnits: []string{""}}, none, unit},

		"container":            {Jobs{JobContainers: []string{docker}}, nightly, yes},
		"12 digits of it":      {Jobs{JobContainers: []string{docker[:12]}}, nightly, yes},
		"11 digits of it":      {Jobs{JobContainers: []string{docker[:11]}}, nightly, container},
		"the end of it":        {Jobs{JobContainers: []string{docker[12:]}}, nightly, container},
		"more than it":         {Jobs{JobContainers: []string{docker + "0"}}, nightly, container},
		"no container":         {Jobs{JobContainers: []string{docker}}, none, container},
		"an empty container":   {Jobs{JobContainers: []string{""}}, nightly, container},
		"nothing is the empty": {Jobs{JobContainers: []string{""}}, none, container},

		"path":             {Jobs{JobUsers: []string{"etl"}, JobExes: []string{"/usr/bin/etl"}}, nightly, yes},
		"path's end":       {Jobs{JobUsers: []string{"etl"}, JobExes: []string{"etl"}}, nightly, exe},
		"path below":       {Jobs{JobUsers: []string{"etl"}, JobExes: []string{"/usr/bin"}}, nightly, exe},
		"no path":          {Jobs{JobUsers: []string{"etl"}, JobExes: []string{"/usr/bin/etl"}}, none, exe},
		"an empty path":    {Jobs{JobUsers: []string{"etl"}, JobExes: []string{""}}, none, exe},
		"hash":             {Jobs{JobUsers: []string{"etl"}, JobExeHashes: []string{sum}}, nightly, yes},
		"hash's start":     {Jobs{JobUsers: []string{"etl"}, JobExeHashes: []string{sum[:63]}}, nightly, hash},
		"no hash":          {Jobs{JobUsers: []string{"etl"}, JobExeHashes: []string{sum}}, none, hash},
		"an empty hash":    {Jobs{JobUsers: []string{"etl"}, JobExeHashes: []string{""}}, none, hash},
		"claim":            {Jobs{JobClaims: []string{gitlab + ":project_path=group/other", gitlab + ":project_path=group/app"}}, nightly, yes},
		"both claims":      {Jobs{JobClaims: []string{gitlab + ":project_path=group/app", gitlab + ":ref=main"}}, Job{Claims: []string{gitlab + ":ref=main", gitlab + ":project_path=group/app"}}, yes},
		"one of two":       {Jobs{JobClaims: []string{gitlab + ":project_path=group/app", gitlab + ":ref=main"}}, Job{Claims: []string{gitlab + ":ref=main", gitlab + ":project_path=evil/fork"}}, claim},
		"value's start":    {Jobs{JobClaims: []string{gitlab + ":project_path=group"}}, nightly, claim},
		"another issuer":   {Jobs{JobClaims: []string{"https://evil.example.com:project_path=group/app"}}, nightly, claim},
		"no claims":        {Jobs{JobClaims: []string{gitlab + ":project_path=group/app"}}, none, claim},
		"an empty claim":   {Jobs{JobClaims: []string{""}}, Job{Claims: []string{""}}, claim},
		"unit, not user":   {Jobs{JobUsers: []string{"bob"}, JobUnits: []string{"backup.service"}}, nightly, user},
		"user, not unit":   {Jobs{JobUsers: []string{"etl"}, JobUnits: []string{"a.service"}}, nightly, unit},
		"all but the last": {Jobs{[]string{"etl"}, []string{"backup.service"}, []string{docker}, []string{"/usr/bin/etl"}, []string{sum}, []string{"x"}}, nightly, claim},
	} {
		d := ForJob([]Grant{{Name: "g", Conditions: Conditions{Access: Read, Jobs: tt.jobs}}}, tt.job)
		if d.Reason != tt.want || d.Allowed != (tt.want == yes) {
			t.Errorf("%s: allowed=%t %q, want %q", name, d.Allowed, d.Reason, tt.want)
		}
	}
}

// Kinds of two grants never add up to one that nobody made.
func TestKindsOfTwoGrants(t *testing.T) {
	t.Parallel()
	grants := []Grant{
		{Name: "a", Conditions: Conditions{Access: Read, Jobs: Jobs{JobUsers: []string{"etl"}, JobUnits: []string{"other.service"}}}},
		{Name: "b", Conditions: Conditions{Access: Read, Jobs: Jobs{JobUsers: []string{"bob"}, JobUnits: []string{"backup.service"}}}},
		{Name: "c", Conditions: Conditions{Access: Use, Jobs: Jobs{JobUnits: []string{"backup.service"}}}},
	}
	if d := ForJob(grants, nightly); d.Allowed || d.Reason != "the grants of this credential for this job allow use, not read" {
		t.Errorf("%+v", d)
	}
	grants[2].Access = Read
	if d := ForJob(grants, nightly); !d.Allowed || len(d.Grants) != 1 || d.Grants[0].Name != "c" {
		t.Errorf("%+v, want allowed by c alone", d)
	}
}

func TestConditionsThatNameNoJob(t *testing.T) {
	t.Parallel()
	etl := []string{"etl"}
	for name, jobs := range map[string]Jobs{
		"nothing":      {},
		"a template":   {JobUnits: []string{`getty@tty1.service`, `a\x2db.service`, "user@1000.service", "session-3.scope", "a.socket", "-.mount", "a.swap"}},
		"containers":   {JobContainers: []string{docker, docker[:12]}},
		"executables":  {JobUnits: []string{"a.service"}, JobExes: []string{"/usr/bin/a b", "/x"}, JobExeHashes: []string{sum}},
		"claims":       {JobClaims: []string{gitlab + ":project_path=group/app", gitlab + ":ref=a=b:c", "https://h:8443/p:sub=", "https://h/:x=1"}},
		"users":        {JobUsers: []string{"etl", "1001", "S-1-5-18", `DOMAIN\etl`}},
		"user and exe": {JobUsers: etl, JobExes: []string{"/x"}},
	} {
		if err := jobs.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, tt := range []struct {
		jobs Jobs
		kind string
	}{
		{Jobs{JobExes: []string{"/x"}}, "job exe:"},
		{Jobs{JobExeHashes: []string{sum}}, "job exe:"},
		{Jobs{JobExes: []string{"/x"}, JobContainers: []string{docker}, JobClaims: []string{gitlab + ":a=b"}}, "job exe:"},
		{Jobs{JobUsers: []string{""}}, "job user:"},
		{Jobs{JobUsers: []string{"a\x00b"}}, "job user:"},
		{Jobs{JobUsers: []string{strings.Repeat("u", 257)}}, "job user:"},
		{Jobs{JobUnits: []string{""}}, "job unit:"},
		{Jobs{JobUnits: []string{"backup"}}, "job unit:"},
		{Jobs{JobUnits: []string{".service"}}, "job unit:"},
		{Jobs{JobUnits: []string{"backup.timer"}}, "job unit:"},
		{Jobs{JobUnits: []string{"system.slice"}}, "job unit:"},
		{Jobs{JobUnits: []string{"a b.service"}}, "job unit:"},
		{Jobs{JobUnits: []string{"system.slice/a.service"}}, "job unit:"},
		{Jobs{JobUnits: []string{strings.Repeat("u", 248) + ".service"}}, "job unit:"},
		{Jobs{JobContainers: []string{""}}, "job container:"},
		{Jobs{JobContainers: []string{docker[:11]}}, "job container:"},
		{Jobs{JobContainers: []string{docker + "0"}}, "job container:"},
		{Jobs{JobContainers: []string{strings.ToUpper(docker)}}, "job container:"},
		{Jobs{JobContainers: []string{"my-container-1"}}, "job container:"},
		{Jobs{JobUsers: etl, JobExes: []string{""}}, "job exe:"},
		{Jobs{JobUsers: etl, JobExes: []string{"etl"}}, "job exe:"},
		{Jobs{JobUsers: etl, JobExes: []string{"/"}}, "job exe:"},
		{Jobs{JobUsers: etl, JobExes: []string{"/a/../b"}}, "job exe:"},
		{Jobs{JobUsers: etl, JobExes: []string{"/a//b"}}, "job exe:"},
		{Jobs{JobUsers: etl, JobExes: []string{"/a/"}}, "job exe:"},
		{Jobs{JobUsers: etl, JobExes: []string{"/a\nb"}}, "job exe:"},
		{Jobs{JobUsers: etl, JobExes: []string{"/" + strings.Repeat("a", 500)}}, "job exe:"},
		{Jobs{JobUsers: etl, JobExeHashes: []string{sum[:63]}}, "job exe sha256:"},
		{Jobs{JobUsers: etl, JobExeHashes: []string{strings.ToUpper(sum)}}, "job exe sha256:"},
		{Jobs{JobUsers: etl, JobExeHashes: []string{"sha256:" + sum}}, "job exe sha256:"},
		{Jobs{JobClaims: []string{"project_path=group/app"}}, "job claim:"},
		{Jobs{JobClaims: []string{gitlab + ":project_path"}}, "job claim:"},
		{Jobs{JobClaims: []string{gitlab + ":=group/app"}}, "job claim:"},
		{Jobs{JobClaims: []string{"http://gitlab.example.com:a=b"}}, "job claim:"},
		{Jobs{JobClaims: []string{"https://:a=b"}}, "job claim:"},
		{Jobs{JobClaims: []string{"https://u@h:a=b"}}, "job claim:"},
		{Jobs{JobClaims: []string{gitlab + ":a=" + strings.Repeat("b", 500)}}, "job claim:"},
	} {
		err := tt.jobs.Check()
		if !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), tt.kind) {
			t.Errorf("%+v: %v, want an error about %s", tt.jobs, err, tt.kind)
		}
	}
}

// A hash is asked for only where it alone decides.
func TestWhenAHashIsWanted(t *testing.T) {
	t.Parallel()
	hashed := Grant{Name: "h", Conditions: Conditions{Access: Read, Jobs: Jobs{JobUsers: []string{"etl"}, JobExeHashes: []string{sum}}}}
	anyone := Grant{Name: "a", Conditions: Conditions{Access: Read}}
	use := Grant{Name: "u", Conditions: Conditions{Access: Use}}
	looked, none := nightly, nightly
	looked.ExeSHA256, none.ExeSHA256 = NoHash, ""
	claimed := hashed
	claimed.JobClaims = []string{"x"}
	for what, tt := range map[string]struct {
		grants []Grant
		job    Job
		want   bool
	}{
		"by it alone":            {[]Grant{hashed}, none, true},
		"beside use":             {[]Grant{hashed, use}, none, true},
		"known":                  {[]Grant{hashed}, nightly, false},
		"looked for":             {[]Grant{hashed}, looked, false},
		"another user":           {[]Grant{hashed}, Job{User: "bob", UID: "7"}, false},
		"another claim as well":  {[]Grant{claimed}, none, false},
		"allowed without it":     {[]Grant{hashed, anyone}, none, false},
		"for use alone":          {[]Grant{{Conditions: Conditions{Access: Use, Jobs: hashed.Jobs}}}, none, false},
		"no grant":               {nil, none, false},
		"no grant that names it": {[]Grant{use}, none, false},
	} {
		if got := WantsHash(tt.grants, tt.job); got != tt.want {
			t.Errorf("%s: %t", what, got)
		}
	}
	if len(hashed.JobExeHashes) != 1 {
		t.Error("the grant was changed")
	}
	if d := ForJob([]Grant{hashed}, looked); d.Allowed || d.Reason != "no grant of this credential for this host and user names the SHA-256 of this job's executable" {
		t.Errorf("without a hash: %+v", d)
	}
}

// What was stored before there were units and the rest means what it meant, and is stored as it was.
func TestGrantsOfBefore(t *testing.T) {
	t.Parallel()
	const stored = `{"id":"g1","name":"ci","credentials":["c1"],"any_host":true,"job_users":["etl"],"access":"read","ttl":900000000000,` +
		`"created":"2026-01-03T03:04:05Z","created_by":"alice","revision":1}`
	var g Grant
	if err := json.Unmarshal([]byte(stored), &g); err != nil {
		t.Fatal(err)
	}
	if d := ForJob([]Grant{g}, Job{User: "etl"}); !d.Allowed || g.Jobs.Len() != 1 {
		t.Errorf("%+v, %+v", g, d)
	}
	if again, err := json.Marshal(g); err != nil || string(again) != stored {
		t.Errorf("stored again as %s, %v", again, err)
	}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	if got := Claim(gitlab, "project_path", "a=b:c"); got != "https://gitlab.example.com:project_path=a=b:c" {
		t.Error(got)
	}
	// Each would be another claim's text.
	for _, c := range [][3]string{{gitlab, "", "v"}, {gitlab, "a=b", "v"}, {"https://h", "8443:a", "v"}, {"https://h?x=1", "a", "v"}} {
		if got := Claim(c[0], c[1], c[2]); got != "" {
			t.Errorf("%q: %s", c, got)
		}
	}
}

func TestJobsInTheLog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		job  Job
		want string
	}{
		{Job{User: "etl", UID: "7", PID: 12, Exe: "/usr/bin/python3"}, "user=etl,exe=/usr/bin/python3,pid=12"},
		{Job{UID: "7"}, "uid=7"},
		{Job{User: "etl", Exe: "/tmp/a,user=root\n\xff"}, `user=etl,exe=/tmp/a\x2cuser\x3droot\n\xff`},
		{nightly, "user=etl,unit=backup.service,container=" + docker + ",exe=/usr/bin/etl,pid=7," +
			"subject=https://gitlab.example.com:project_path:group/app:ref:main"},
		{Job{User: "etl", Unit: `a\x2db.service`}, `user=etl,unit=a\\x2db.service`},
		{Job{User: "etl", Claims: []string{gitlab + ":name=sub=x", gitlab + ":sub=a,user=root"}},
			`user=etl,subject=https://gitlab.example.com:a\x2cuser\x3droot`},
		{Job{User: "etl", Claims: []string{gitlab + ":resub=x"}}, "user=etl"},
	} {
		if got := tt.job.String(); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
		if got := tt.job.ForLog().String(); got != tt.want {
			t.Errorf("for the log alone: %s, want %s", got, tt.want)
		}
	}
	long := strings.Repeat("\x01", 512)
	everything := Job{User: long, Unit: long, Container: long, Exe: long, PID: 1 << 30, Claims: []string{gitlab + ":sub=" + long}}
	if got := len(everything.String()); got > 4096 {
		t.Errorf("%d bytes, more than an entry of the log takes", got)
	}
	if got := nightly.ForLog(); len(got.Claims) != 1 || len(nightly.Claims) != 2 {
		t.Errorf("claims for the log: %q", got.Claims)
	}
}

// Every fact that a job is judged by makes other Facts, and nothing else does.
func TestFacts(t *testing.T) {
	t.Parallel()
	seen := map[string]string{nightly.Facts(): "the job itself"}
	v := reflect.ValueOf(&nightly).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		other := nightly
		field := reflect.ValueOf(&other).Elem().Field(i)
		switch field.Kind() {
		case reflect.String:
			field.SetString(field.String() + `" "x`)
		case reflect.Slice:
			other.Claims = append([]string{"x"}, other.Claims...)
		case reflect.Int32:
			if other.PID++; other.Facts() != nightly.Facts() {
				t.Error("another process of the same job has other facts")
			}
			continue
		}
		if before, ok := seen[other.Facts()]; ok {
			t.Errorf("another %s: the facts of %s", name, before)
		}
		seen[other.Facts()] = name
	}
}

func FuzzConditionsOnJobs(f *testing.F) {
	f.Add("etl", "backup.service", docker, "/x", sum, gitlab+":a=b")
	f.Fuzz(func(t *testing.T, user, unit, container, exe, hash, claim string) {
		jobs := Jobs{[]string{user}, []string{unit}, []string{container}, []string{exe}, []string{hash}, []string{claim}}
		if jobs.Check() != nil {
			return
		}
		g := []Grant{{Name: "g", Conditions: Conditions{Access: Read, Jobs: jobs}}}
		j := Job{User: user, UID: user, Unit: unit, Container: container, Exe: exe, ExeSHA256: hash, Claims: []string{claim}}
		if d := ForJob(g, j); !d.Allowed {
			t.Errorf("%+v does not name itself: %s", jobs, d.Reason)
		}
		if d := ForJob(g, Job{User: user, UID: user}); d.Allowed {
			t.Errorf("%+v names a job without facts", jobs)
		}
	})
}
