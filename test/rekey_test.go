package test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

type rekeyed struct {
	Running, Resumed bool
	Records, Left    int
	Finished         *string
}

// addCredentials makes some, and gives what each must reveal.
func addCredentials(t *testing.T, a kit.Admin, from, to int) map[string]string {
	t.Helper()
	there := map[string]string{}
	for i := from; i < to; i++ {
		name := fmt.Sprintf("crm-%d", i)
		there[name] = "secret of " + name
		a.With(there[name]).Do(t, "credential", "add", name, "--application", "generic-rest", "--auth-type", "basic",
			"--field", "username=etl", "--field", "url=https://crm.example.com", "--secret", "password=-")
	}
	return there
}

func reveals(t *testing.T, a kit.Admin, there map[string]string) {
	t.Helper()
	for name, want := range there {
		var shown struct{ Fields map[string]string }
		a.Do(t, "credential", "show", name, "--reveal", "--json").JSON(t, &shown)
		if shown.Fields["password"] != want {
			t.Errorf("%s reveals %q, want %q", name, shown.Fields["password"], want)
		}
	}
}

// Keys are rotated while somebody writes, and everything is there afterwards and after a restart.
func TestRekeyWhileServing(t *testing.T) {
	t.Parallel()
	s := kit.NewServer(t)
	there := addCredentials(t, s.Admin, 0, 5)
	var meanwhile map[string]string
	var writing sync.WaitGroup
	writing.Go(func() { meanwhile = addCredentials(t, s.Admin, 5, 10) })
	for range 2 {
		var done rekeyed
		s.Admin.Do(t, "rekey", "--json").JSON(t, &done)
		if done.Running || done.Resumed || done.Left != 0 || done.Records < 10 || done.Finished == nil {
			t.Errorf("%+v", done)
		}
	}
	writing.Wait()
	reveals(t, s.Admin, there)
	reveals(t, s.Admin, meanwhile)
	begun := 0
	for _, e := range s.Admin.Audit(t, "--action", "vault.rekey") {
		if e.Outcome != "allowed" || e.Actor != "admin" {
			t.Errorf("%+v", e)
		}
		if e.Reason == "new keys" {
			begun++
		}
	}
	if begun != 2 {
		t.Errorf("the log tells of %d rotations", begun)
	}
	s.Kill()
	s.Start(t)
	reveals(t, s.Admin, there)
	reveals(t, s.Admin, meanwhile)
	s.Admin.Do(t, "audit", "verify")
}

// The server is killed between the steps of a rotation: everything can be read as soon as it is there again, and it
// goes on by itself.
func TestRekeyCrashes(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"rekey.begun:1", "rekey.step:1", "rekey.step:2", "rekey.ended:1"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			v := newVictimServer(t)
			there := addCredentials(t, v.admin, 0, 25) // so that one step is not enough
			v.Arm(t, point)
			v.admin.Run(t, "rekey").Want(t, 5)
			<-v.process.Ended()
			v.start(t)
			reveals(t, v.admin, there)
			if point != "rekey.ended:1" {
				var done rekeyed
				v.admin.Do(t, "rekey", "--json").JSON(t, &done)
				finished := v.admin.Audit(t, "--action", "vault.rekey")[0]
				if done.Left != 0 || done.Running || finished.Reason != "old keys dropped" {
					t.Errorf("%+v, %+v", done, finished)
				}
			}
			v.process.Kill()
			v.start(t)
			reveals(t, v.admin, there)
			v.admin.Do(t, "audit", "verify")
			if text := v.process.Output(); strings.Contains(text, "stopped") {
				t.Error(text)
			}
		})
	}
}
