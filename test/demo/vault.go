package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// makeVault keeps what init tells once: the fingerprint for the commands, the password in a file for login.
func (s *stage) makeVault() error {
	var made struct {
		CAFingerprint string `json:"ca_fingerprint"`
		AdminPassword string `json:"admin_password"`
	}
	if err := s.output(&made, "strongroom-server", "init", "--data", "vault", "--key-file", "unseal.key", "--json"); err != nil {
		return err
	}
	s.env = append(s.env, "STRONGROOM_CA_FINGERPRINT="+made.CAFingerprint, "STRONGROOM_TOKEN_FILE="+filepath.Join(s.dir, "admin-token"))
	return os.WriteFile(filepath.Join(s.dir, "admin-password"), []byte(made.AdminPassword), 0o600)
}

func (s *stage) startServer() error {
	ready, err := s.daemon("server.log", "strongroom-server", "run", "--data", "vault", "--key-file", "unseal.key",
		"--agents", "127.0.0.1:0", "--console", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.env = append(s.env, "STRONGROOM_SERVER="+ready["console"])
	s.note("serving people at " + ready["console"] + " and agents at " + ready["agents"])
	return nil
}

func (s *stage) enrol() error {
	var token struct{ Join string }
	if err := s.output(&token, "strongroom", "host", "join-token", "--json"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "join"), []byte(token.Join), 0o600); err != nil {
		return err
	}
	return s.run("strongroom-agent", "enroll", "--join", "@join", "--state", "host", "--name", "demo-host")
}

func (s *stage) startAgent() error {
	socket := filepath.Join(s.dir, "agent.sock")
	ready, err := s.daemon("agent.log", "strongroom-agent", "run", "--state", "host", "--socket", socket)
	if err != nil {
		return err
	}
	s.host = ready["host"]
	s.env = append(s.env, "STRONGROOM_SOCKET="+socket)
	return s.awaitConnection()
}

// awaitConnection asks the agent until it has its server: a job of before would be turned away for another reason.
func (s *stage) awaitConnection() error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		cmd := exec.CommandContext(s.ctx, filepath.Join(s.bin, "strongroom-agent"), "status", "--json")
		cmd.Env, cmd.SysProcAttr = s.environment(), attributes()
		out, err := cmd.Output()
		var status struct{ Connected bool }
		if err == nil && json.Unmarshal(out, &status) == nil && status.Connected {
			return nil
		}
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
	}
	return fmt.Errorf("the agent is not connected after %v", patience)
}

// writeEnvironment leaves a file that a second terminal reads to type commands here.
func (s *stage) writeEnvironment() error {
	var text strings.Builder
	for _, pair := range s.env {
		fmt.Fprintf(&text, "export %s\n", pair)
	}
	fmt.Fprintf(&text, "export PATH=%s:$PATH\nexport GIT_TERMINAL_PROMPT=0\ncd %s\n", s.bin, s.dir)
	return os.WriteFile(filepath.Join(s.dir, "env"), []byte(text.String()), 0o600)
}

func (s *stage) sayWhatNext(username string) {
	fmt.Printf(`
It stays up until Ctrl-C. In a second terminal, as the same user:

    . %s
    cat clone.sh                                                    the job
    strongroom-agent exec --credential demo-git -- sh clone.sh      the job with its credential
    strongroom-agent get demo-git --field password                  the password itself, for jobs of %s
    strongroom explain --host %s --credential demo-git --job user=somebody
    strongroom audit list                                           who did what, and why it was allowed
    strongroom grant revoke demo-clone                              the agent wipes it within a second; try the job again

`, filepath.Join(s.dir, "env"), username, s.host)
}
