// Package configs embeds what ships with the programs: the catalogue of
// applications. It holds data only; package catalogue reads it.
package configs

import "embed"

// Applications holds one YAML file an application, under applications/.
//
//go:embed applications/*.yaml
var Applications embed.FS
