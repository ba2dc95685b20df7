// Command demo shows Strongroom at work: a vault, a host, and a job that fails without its credential and succeeds
// with it. `make demo` builds it and the programs; it types what a person would type, on a temporary folder and free
// ports, and removes all of it at the end. It must use nothing but the programs' commands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"syscall"
)

func init() {
	// The daemons are told to end with the thread that started them, so main must stay on one that lasts.
	runtime.LockOSThread()
}

func main() {
	bin := flag.String("bin", "bin", "folder of the built programs")
	once := flag.Bool("once", false, "end right after the job")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := demo(ctx, *bin, *once)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo runs all steps in a folder that it removes again.
func demo(ctx context.Context, bin string, once bool) (err error) {
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "strongroom-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := newStage(ctx, bin, dir)
	defer s.close()
	if err := play(s, me.Username); err != nil {
		return err
	}
	if once {
		return nil
	}
	if err := s.writeEnvironment(); err != nil {
		return err
	}
	s.sayWhatNext(me.Username)
	return s.wait()
}

// play is the story, step by step.
func play(s *stage, username string) error {
	site, err := newSite(s.ctx, s.dir)
	if err != nil {
		return err
	}
	s.onClose(site.close)

	s.step("A git server starts that demands a password nobody here knows by heart.")
	s.note("serving " + site.url)

	s.step("A vault is made: encrypted, with a key file, a first admin and a certificate authority.")
	if err := s.makeVault(); err != nil {
		return err
	}
	s.step("The server opens the vault and serves it.")
	if err := s.startServer(); err != nil {
		return err
	}
	s.step("The admin logs in.")
	if err := s.run("strongroom", "login", "--user", "admin", "--password", "@admin-password", "--token-out", "admin-token"); err != nil {
		return err
	}
	s.step("The git server's user name and password go into the vault, and nowhere else.")
	if err := s.runWith(site.password, "strongroom", "credential", "add", "demo-git", "--application", "generic-rest", "--auth-type", "basic",
		"--field", "url="+site.url, "--field", "username="+site.username, "--secret", "password=-"); err != nil {
		return err
	}
	s.step("This machine becomes a host: its agent gets a certificate for a token that is good once.")
	if err := s.enrol(); err != nil {
		return err
	}
	s.step("The agent starts and connects to the server.")
	if err := s.startAgent(); err != nil {
		return err
	}
	if err := writeJob(s.dir, site.url); err != nil {
		return err
	}
	s.step("A job clones the repository without the credential: the git server turns it away.")
	if err := s.mustFail("sh", "clone.sh"); err != nil {
		return err
	}
	job := []string{"strongroom-agent", "exec", "--credential", "demo-git", "--", "sh", "clone.sh"}
	s.step("The job asks the agent for it: refused, since nobody has granted it.")
	if err := s.mustFail(job...); err != nil {
		return err
	}
	s.step("The admin grants it: on this host, to jobs of the user " + username + ".")
	if err := s.run("strongroom", "grant", "add", "demo-clone", "--credential", "demo-git", "--host", s.host, "--job-user", username); err != nil {
		return err
	}
	s.step("The same job again, this time with its credential: it clones.")
	if err := s.run(job...); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "hello", "README"))
	if err != nil {
		return err
	}
	s.note("hello/README says: " + string(text))
	return nil
}

// writeJob leaves the job as a script. It takes user name and password from its environment, where exec puts them.
func writeJob(dir, url string) error {
	text := `rm -rf hello
git -c credential.helper= -c credential.helper='!f() { echo "username=$DEMO_GIT_USERNAME"; echo "password=$DEMO_GIT_PASSWORD"; }; f' \
    clone --quiet ` + url + `/hello.git hello
`
	return os.WriteFile(filepath.Join(dir, "clone.sh"), []byte(text), 0o600)
}
