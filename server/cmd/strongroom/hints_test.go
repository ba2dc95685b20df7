package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

// Who makes a grant is told which hosts have it now, as far as the server says.
func TestGrantHintsWhomItReaches(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		reaches *api.HostsReached
		want    string
	}{
		{nil, ""},
		{&api.HostsReached{}, "reaches no host yet\n"},
		{&api.HostsReached{Hosts: []string{"a"}, Total: 1}, "reaches 1 host: a\n"},
		{&api.HostsReached{Hosts: []string{"a", "b", "c"}, Total: 3}, "reaches 3 hosts: a, b, c\n"},
		{&api.HostsReached{Hosts: []string{"a", "b"}, Total: 7}, "reaches 7 hosts: a, b and 5 more\n"},
	} {
		if got := hinted(t, func(a *app) error { return a.showMade(&api.GrantMade{Reaches: row.reaches}) }); got != row.want {
			t.Errorf("%+v: %q, want %q", row.reaches, got, row.want)
		}
	}
}

// Who revokes a host is told what to change, and that there was more than they may know of.
func TestRevokedHostHints(t *testing.T) {
	t.Parallel()
	held := []api.VersionHeld{{Credential: "crm", Version: 2}, {Credential: "erp", Version: 1}}
	const private = "h1 is revoked; it held credentials that are private to others, or deleted: " +
		"who may read the audit log finds which with strongroom audit list --host h1\n"
	for _, row := range []struct {
		answer api.HostRevoked
		want   string
	}{
		{api.HostRevoked{Host: "h1", VersionsHeld: held}, "h1 is revoked; change what it held: crm, erp\n"},
		{api.HostRevoked{Host: "h1", VersionsHeld: held, PrivateHeld: true}, "h1 is revoked; change what it held: crm, erp\n" + private},
		{api.HostRevoked{Host: "h1", PrivateHeld: true}, private},
		{api.HostRevoked{Host: "h1"}, "h1 is revoked; nothing is known that it held since the server started, " +
			"but the audit log has all it was ever given: strongroom audit list --host h1\n"},
	} {
		if got := hinted(t, func(a *app) error { return a.showRevoked(&row.answer) }); got != row.want {
			t.Errorf("%+v: %q, want %q", row.answer, got, row.want)
		}
	}
}

// hinted is what a command writes to stderr.
func hinted(t *testing.T, show func(*app) error) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stderr")
	stderr, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	stdout, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	if err := show(&app{Program: cli.Program{Stdout: stdout, Stderr: stderr}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
