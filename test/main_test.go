package test

import (
	"os"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

func TestMain(m *testing.M) { os.Exit(kit.Main(m)) }

// addLogin stores a user name and a password for a made-up API under a name.
func addLogin(t *testing.T, admin kit.Admin, name, password string, flags ...string) {
	t.Helper()
	admin.With(password).Do(t, append([]string{"credential", "add", name, "--application", "generic-rest", "--auth-type", "basic",
		"--field", "url=https://api.example.com", "--field", "username=robot", "--secret", "password=-"}, flags...)...)
}

// password reads one field as a job does.
func password(t *testing.T, r kit.Result, want string) {
	t.Helper()
	if r.Want(t, 0).Stdout != want {
		t.Fatalf("%s\ngave %q, want %q", strings.Join(r.Args, " "), r.Stdout, want)
	}
}
