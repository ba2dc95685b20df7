// Package configs embeds what ships with the programs: the catalogue of applications and the units of systemd. It holds
// data only; packages catalogue and service read it.
package configs

import "embed"

// Applications holds one YAML file an application, under applications/.
//
//go:embed applications/*.yaml
var Applications embed.FS

// AgentUnit is the agent's unit for systemd, in the template language of kardianos/service. @WRITABLE@ stands for the
// folders that the agent writes to.
//
//go:embed systemd/strongroom-agent.service
var AgentUnit string
