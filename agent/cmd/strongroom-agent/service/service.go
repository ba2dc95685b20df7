// Package service puts the agent under the care of the machine's service manager: systemd, another of Linux, or that of
// Windows. It knows how the agent is started there and what it may do; it neither enrols a host nor serves a job.
package service

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	manager "github.com/kardianos/service"

	"github.com/strongroom/strongroom/configs"
)

// Name is what the service is called.
const Name = "strongroom-agent"

// Service is the agent's, installed or not.
type Service struct{ under manager.Service }

// Settings is how the agent is to be run. All paths are absolute.
type Settings struct {
	State, Socket string
	Config        string // empty: none
}

// Check fails where a service with these settings would be less safe than root is (Unix only): where others than root may
// write its program, its configuration or its state, or change the way to them, and where it could write to folders that
// are not the agent's own. It changes nothing.
func (s Settings) Check() error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the program: %w", err)
	}
	return checkAccess(s, program)
}

// New finds the machine's service manager. It changes nothing. Settings matter to Install alone.
func New(s Settings) (*Service, error) {
	args := []string{"run", "--state", s.State, "--socket", s.Socket}
	if s.Config != "" {
		args = append(args, "--config", s.Config)
	}
	for _, arg := range args {
		// The managers have different ideas of what these mean, and none is needed in a path.
		if strings.ContainsAny(arg, "\"'%$\n") {
			return nil, fmt.Errorf("%q: a service's path has no quotes, no percent or dollar sign and no line end", arg)
		}
	}
	writable := fmt.Sprintf("%q %q", "-"+s.State, "-"+filepath.Dir(s.Socket))
	under, err := manager.New(idle{}, &manager.Config{
		Name: Name, DisplayName: "Strongroom agent",
		Description: "Strongroom agent: hands each job on this host the credentials it may have",
		Arguments:   args,
		Option: manager.KeyValue{
			"SystemdScript": strings.ReplaceAll(configs.AgentUnit, "@WRITABLE@", writable),
			"OnFailure":     "restart", "OnFailureDelayDuration": "2s", // Windows
		},
	})
	if errors.Is(err, manager.ErrNoServiceSystemDetected) {
		err = errors.New("no service manager that is known here: let yours run strongroom-agent run")
	}
	return &Service{under}, err
}

// installed tells whether the manager knows the service, running or not.
func (s *Service) installed() bool {
	_, err := s.under.Status()
	return !errors.Is(err, manager.ErrNotInstalled)
}

// Install makes the service known and lets it begin with the machine. What was installed before is replaced; an agent
// that runs goes on as it was until Restart.
func (s *Service) Install() error {
	if s.installed() {
		if err := s.under.Uninstall(); err != nil {
			return fmt.Errorf("replacing the service: %w", err)
		}
	}
	if err := s.under.Install(); err != nil {
		return fmt.Errorf("installing the service: %w", err)
	}
	return nil
}

// Uninstall stops the service and makes it unknown. The host's identity stays.
func (s *Service) Uninstall() error {
	if err := s.Stop(); err != nil {
		return err
	}
	if err := s.under.Uninstall(); err != nil {
		return fmt.Errorf("removing the service: %w", err)
	}
	return nil
}

// Start begins serving and returns once jobs are served, if the manager can tell.
func (s *Service) Start() error { return s.control("starting", s.under.Start) }

// Stop ends serving: what the agent holds is wiped.
func (s *Service) Stop() error { return s.control("stopping", s.under.Stop) }

// Restart is Stop and Start.
func (s *Service) Restart() error { return s.control("restarting", s.under.Restart) }

func (s *Service) control(doing string, what func() error) error {
	if !s.installed() {
		return errors.New("the service is not installed: strongroom-agent install")
	}
	if err := what(); err != nil {
		return fmt.Errorf("%s the service: %w; see journalctl -u %s, or the manager's own log", doing, err, Name)
	}
	return nil
}

// idle is for the programs that control the service and are not it.
type idle struct{}

func (idle) Start(manager.Service) error { return nil }
func (idle) Stop(manager.Service) error  { return nil }
