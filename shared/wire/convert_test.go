package wire_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/wire"
)

// across is what the other end reads of a message.
func across[M proto.Message](t *testing.T, in, out M) M {
	t.Helper()
	b, err := proto.Marshal(in)
	if err == nil {
		err = proto.Unmarshal(b, out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestJobArrivesWhole(t *testing.T) {
	t.Parallel()
	job := grant.Job{
		User: "etl", UID: "7", PID: 12, Unit: "backup.service", Container: "4f5cc6a1cbd8", Exe: "/usr/bin/etl", ExeSHA256: "e3b0",
		Claims: []string{"https://h:sub=a", "https://h:ref=b"},
	}
	if got := wire.ToJob(across(t, wire.FromJob(job), &wire.Job{})); !reflect.DeepEqual(got, job) {
		t.Errorf("%+v, want %+v", got, job)
	}
}

// What a host says of a job is bounded, and a part of it is never what a condition names: those are shorter.
func TestJobIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 4096)
	job := wire.ToJob(&wire.Job{Unit: long, Exe: "/" + long, Claims: append(make([]string, 300), long)})
	if len(job.Unit) != 512 || len(job.Exe) != 512 || len(job.Claims) != 256 {
		t.Errorf("unit of %d, path of %d bytes, %d claims", len(job.Unit), len(job.Exe), len(job.Claims))
	}
	if err := (grant.Jobs{JobUsers: []string{"etl"}, JobExes: []string{job.Exe}}).Check(); err == nil {
		t.Error("a condition may name what was cut off")
	}
}

func TestTermsArriveWhole(t *testing.T) {
	t.Parallel()
	jobs := grant.Jobs{
		JobUsers: []string{"etl"}, JobUnits: []string{"backup.service"}, JobContainers: []string{"4f5cc6a1cbd8"},
		JobExes: []string{"/usr/bin/etl"}, JobExeHashes: []string{"e3b0"}, JobClaims: []string{"https://h:sub=a"},
	}
	all := grant.Conditions{Jobs: jobs, Access: grant.Read, TTL: time.Minute, Offline: time.Hour}
	for i := range reflect.TypeFor[grant.Jobs]().NumField() {
		c := grant.Conditions{Access: grant.Use, TTL: time.Minute}
		reflect.ValueOf(&c.Jobs).Elem().Field(i).Set(reflect.ValueOf(jobs).Field(i))
		for _, c := range []grant.Conditions{c, all} {
			terms := across(t, wire.FromGrants([]grant.Grant{{Name: "g", Conditions: c}}, time.Now())[0], &wire.Terms{})
			if got := wire.ToGrants([]*wire.Terms{terms})[0].Conditions; !reflect.DeepEqual(got, c) {
				t.Errorf("%+v, want %+v", got, c)
			}
			// An agent from before there were units and the rest looks at this alone.
			if old := terms.GetAccess(); (old == "") != (c.Jobs.Len() > len(c.JobUsers)) {
				t.Errorf("%+v: an agent that knows users alone is told access %q", c, old)
			}
		}
	}
}

// The catalogue's fields arrive as templates, and no more and no longer ones than the most of the catalogue.
func TestEnvironmentArrives(t *testing.T) {
	t.Parallel()
	sent := &wire.LeaseResponse{Environment: wire.FromEnvironment(map[string]string{"PGPASSWORD": "password", "PGHOST": "host"})}
	got, err := wire.ToEnvironment(across(t, sent, &wire.LeaseResponse{}).GetEnvironment())
	if want := map[string]string{"PGPASSWORD": "{password}", "PGHOST": "{host}"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	most := map[string]string{}
	for i := range 64 {
		most[strings.Repeat("A", 61)+string(rune('A'+i/10))+string(rune('0'+i%10))] = strings.Repeat("x", 1024)
	}
	if got, err := wire.ToEnvironment(most); err != nil || len(got) != 64 {
		t.Errorf("the most: %d, %v", len(got), err)
	}
	most["ONE_MORE"] = "{k}"
	for what, over := range map[string]map[string]string{
		"too many": most, "a long name": {strings.Repeat("A", 64): "{k}"}, "a long template": {"A": strings.Repeat("x", 1025)},
	} {
		if got, err := wire.ToEnvironment(over); err == nil || got != nil {
			t.Errorf("%s: %d taken", what, len(got))
		}
	}
}
