package test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/test/kit"
)

// TestService installs the agent under a systemd that has booted, as an admin does, and runs jobs that are units.
func TestService(t *testing.T) {
	t.Parallel()
	s := kit.NewServer(t)
	s.Admin.With("canary-under-systemd").Do(t, "credential", "add", "crm", "--application", "generic-rest", "--auth-type", "access_token", "--secret", "token=-")
	join := kit.File(t, s.JoinString(t))
	m := kit.NewMachine(t, filepath.Dir(join))
	agent := func(args ...string) kit.Result { return m.Run(t, "strongroom-agent", args...) }
	// A unit's name is free a moment after its last job has ended.
	run := func(args ...string) (r kit.Result) {
		kit.Eventually(t, kit.Patience, "the unit's name is free", func() bool {
			r = m.Run(t, "systemd-run", append([]string{"--quiet", "--pipe", "--wait", "--collect"}, args...)...)
			return !strings.Contains(r.Stderr, "was already loaded")
		})
		return r
	}

	if r := agent("start"); r.Code != 1 || !strings.Contains(r.Stderr, "the service is not installed: strongroom-agent install") {
		t.Errorf("start before install: %d, %s", r.Code, r.Stderr)
	}
	// A program that others could replace is not made root's; the join string is still good after that.
	m.Run(t, "cp", "/usr/local/bin/strongroom-agent", "/tmp/agent").Want(t, 0)
	if r := m.Run(t, "/tmp/agent", "install", "--join", "@"+join); r.Code != 1 || !strings.Contains(r.Stderr, "others than root may write to /tmp,") {
		t.Errorf("install of a program in /tmp: %d, %s", r.Code, r.Stderr)
	}
	if r := agent("install", "--join", "@"+join, "--socket", "/run/x.sock"); r.Code != 1 || !strings.Contains(r.Stderr, "such as /run/strongroom") {
		t.Errorf("install with a socket in /run: %d, %s", r.Code, r.Stderr)
	}
	agent("install", "--join", "@"+join).Want(t, 0)
	var status kit.Status
	kit.Eventually(t, kit.Patience, "a connected agent", func() bool {
		agent("status", "--json").Want(t, 0).JSON(t, &status)
		return status.Connected
	})
	if active := m.Run(t, "systemctl", "is-active", "strongroom-agent").Stdout; active != "active\n" {
		t.Errorf("is-active: %s", active)
	}
	if enabled := m.Run(t, "systemctl", "is-enabled", "strongroom-agent").Stdout; enabled != "enabled\n" {
		t.Errorf("is-enabled: %s", enabled)
	}

	s.Admin.Do(t, "grant", "add", "nightly", "--credential", "crm", "--any-host", "--job-unit", "nightly.service")
	job := func(unit string) kit.Result {
		return run("--uid=nobody", "--unit="+unit, "strongroom-agent", "get", "crm", "--field", "token")
	}
	if r := job("nightly"); r.Code != 0 || r.Stdout != "canary-under-systemd" {
		t.Errorf("the unit that the grant names: %d, %q, %s", r.Code, r.Stdout, r.Stderr)
	}
	if r := job("other"); r.Code != 3 || r.Stdout != "" {
		t.Errorf("another unit of the same user: %d, %q", r.Code, r.Stdout)
	}
	if r := agent("get", "crm"); r.Code != 3 {
		t.Errorf("root outside of every unit: %d, %q", r.Code, r.Stdout)
	}

	// The agent is confined to a view of the files of its own, and knows the jobs' programs all the same.
	shell := strings.TrimSpace(m.Run(t, "readlink", "-f", "/bin/sh").Stdout)
	s.Admin.With("canary-of-a-program").Do(t, "credential", "add", "erp", "--application", "generic-rest", "--auth-type", "access_token", "--secret", "token=-")
	s.Admin.Do(t, "grant", "add", "by-program", "--credential", "erp", "--any-host", "--job-unit", "nightly.service", "--job-exe", shell)
	program := func(path string) kit.Result {
		return run("--unit=nightly", path, "-c", "strongroom-agent get erp --field token; exit $?")
	}
	if r := program(shell); r.Code != 0 || r.Stdout != "canary-of-a-program" {
		t.Errorf("the program that the grant names: %d, %q, %s", r.Code, r.Stdout, r.Stderr)
	}
	if r := program("/bin/bash"); r.Code != 3 {
		t.Errorf("another program of the same unit: %d, %q", r.Code, r.Stdout)
	}

	// Killed, it is there again by itself, and holds nothing until it has asked.
	pid := func() string {
		return m.Run(t, "systemctl", "show", "--property=MainPID", "--value", "strongroom-agent").Stdout
	}
	first := pid()
	m.Run(t, "systemctl", "kill", "--signal=KILL", "strongroom-agent").Want(t, 0)
	kit.Eventually(t, kit.Patience, "an agent that systemd started again", func() bool {
		return pid() != first && agent("status").Code == 0
	})
	kit.Eventually(t, kit.Patience, "the job served again", func() bool { return job("nightly").Code == 0 })

	// The same command again is no error: Ansible gives it every night.
	if r := agent("install", "--join", "@"+join); r.Code != 0 || !strings.Contains(r.Stderr, "enrolled already") {
		t.Errorf("install again: %d, %s", r.Code, r.Stderr)
	}
	agent("stop").Want(t, 0)
	if r := agent("status", "--wait", "100ms"); r.Code != 5 {
		t.Errorf("status once it is stopped: %d, %s", r.Code, r.Stderr)
	}
	agent("start").Want(t, 0)
	agent("restart").Want(t, 0)
	began := time.Now()
	agent("uninstall").Want(t, 0)
	if took := time.Since(began); took > 60*time.Second { // after 90 s systemd kills what does not end
		t.Errorf("stopping took %s", took)
	}
	if r := m.Run(t, "systemctl", "cat", "strongroom-agent"); r.Code == 0 {
		t.Errorf("after uninstall: %s", r.Stdout)
	}
	m.Run(t, "test", "-s", "/var/lib/strongroom-agent/identity.json").Want(t, 0)
}
