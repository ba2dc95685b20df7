package test

import (
	"regexp"
	"strconv"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/test/kit"
)

// counted is how often an entry says that what a host did by itself happened.
var counted = regexp.MustCompile(`^allowed by grant all(?:, ([0-9]+) times)? \(claimed by the host\)`)

// accountedFor counts the reads of crm that the log has, those that the server answered and those that a host did.
func accountedFor(t *testing.T, admin kit.Admin) (served, claimed int) {
	t.Helper()
	for _, e := range admin.Audit(t, "--action", "credential.read", "--limit", "1000") {
		said := counted.FindStringSubmatch(e.Reason)
		n, err := 1, error(nil)
		if said != nil && said[1] != "" {
			n, err = strconv.Atoi(said[1])
		}
		switch {
		case err != nil || e.Outcome != "allowed" || e.Target != "crm":
			t.Errorf("the log has %+v (%v)", e, err)
		case said != nil:
			claimed += n
		default:
			served++
		}
	}
	return served, claimed
}

// read reads crm as a job does, some times in a row, and gives how often it got it.
func read(t *testing.T, job *client.Client, times int) (got int) {
	for range times {
		c, err := job.Get(t.Context(), "crm")
		if err != nil || string(c.Fields["password"]) != "a secret" {
			t.Errorf("after %d reads: %v", got, err)
			return got
		}
		got++
	}
	return got
}

// A lease is served to its end without the server however often a job reads it, and afterwards the log has every read.
func TestOfflineReadsAreAllReported(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	host := server.Enroll(t)
	addLogin(t, server.Admin, "crm", "a secret")
	server.Admin.Do(t, "grant", "add", "all", "--credential", "crm", "--any-host", "--ttl", "8h")
	job := client.New(client.Options{Socket: host.Socket})
	read(t, job, 1)
	server.Kill()
	kit.Eventually(t, kit.Patience, "the agent knows that its server is away", func() bool { return !host.Status(t).Connected })
	if got := read(t, job, 5000); got != 5000 {
		t.Errorf("%d reads without the server, want 5000", got)
	}
	server.Start(t)
	var served, claimed int
	kit.Eventually(t, kit.Patience, "the log has what was read meanwhile", func() bool {
		served, claimed = accountedFor(t, server.Admin)
		return claimed >= 5000
	})
	if served != 1 || claimed != 5000 {
		t.Errorf("the log has %d reads that the server answered and %d that the host did, want 1 and 5000", served, claimed)
	}
}

// No read is refused because jobs read faster than the server logs it, and the log has every one.
func TestFastReadersAreAllReported(t *testing.T) {
	t.Parallel()
	const readers, each = 8, 1500
	server := kit.NewServer(t)
	host := server.Enroll(t)
	addLogin(t, server.Admin, "crm", "a secret")
	server.Admin.Do(t, "grant", "add", "all", "--credential", "crm", "--any-host", "--ttl", "8h")
	var working sync.WaitGroup
	for range readers {
		working.Go(func() { read(t, client.New(client.Options{Socket: host.Socket}), each) })
	}
	working.Wait()
	var served, claimed int
	kit.Eventually(t, kit.Patience, "the log has every read", func() bool {
		served, claimed = accountedFor(t, server.Admin)
		return served+claimed >= readers*each
	})
	if served+claimed != readers*each {
		t.Errorf("the log has %d reads that the server answered and %d that the host did, want %d together", served, claimed, readers*each)
	}
}
