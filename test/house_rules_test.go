package test

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// The floors: a room imports only rooms of lower floors. A room that is not here has no place in the house yet;
// whoever adds it says here where it stands.
var floors = map[string]int{
	"shared/crash":      1,
	"shared/durable":    2,
	"shared/secret":     1,
	"shared/credential": 2,
	"shared/envelope":   2,
	"shared/identity":   2,
	"shared/checkpoint": 2,
	"shared/grant":      3,
	"shared/bearer":     3,
	"shared/wire":       4,
	"shared/api":        4,
	"shared/httpauth":   4,
	"shared/cli":        4,

	"server/internal/admission": 1,
	"server/internal/outbound":  1,
	"server/internal/store":     1,
	"server/internal/seal":      1,
	"server/internal/backup":    1,
	"server/internal/barrier":   2,
	"server/internal/audit":     3,
	roomtest:                    4,
	"server/internal/setting":   4,
	"server/internal/repeat":    4,
	"server/internal/people":    5,
	"server/internal/claims":    5,
	"server/internal/fleet":     5,
	"server/internal/catalogue": 5,
	"server/internal/vault":     6,
	"server/internal/delivery":  8,
	"server/internal/rest":      9,

	"agent/internal/uplink":   1,
	"agent/internal/workload": 1,
	"agent/internal/lease":    2,
	"agent/internal/claims":   2,
	"agent/internal/deliver":  3,
	"agent/internal/template": 1,
	"agent/internal/helper":   1,
	"agent/internal/local":    3,
}

const (
	roomtest  = "server/internal/roomtest"        // the kit with which tests open the lower rooms
	storetest = "server/internal/store/storetest" // and the one that every engine of the store is tested with
)

// room gives the room a folder belongs to: shared/X, server/internal/X or agent/internal/X.
func room(dir string) (string, bool) {
	parts := strings.Split(dir, "/")
	switch {
	case len(parts) >= 2 && parts[0] == "shared":
		return path.Join(parts[:2]...), true
	case len(parts) >= 3 && parts[1] == "internal" && (parts[0] == "server" || parts[0] == "agent"):
		return path.Join(parts[:3]...), true
	}
	return "", false
}

func rules() []rule {
	return slices.Concat(importRules(), codeRules(), shapeRules())
}

// importsOnly complains of imports that match target in files that may not have them.
func importsOnly(target func(string) bool, allowed func(source) bool) func(tree) []string {
	return func(t tree) (complaints []string) {
		for _, s := range t.sources {
			for _, i := range s.imports {
				if target(i) && !allowed(s) {
					complaints = append(complaints, fmt.Sprintf("%s imports %s", s.path, i))
				}
			}
		}
		return complaints
	}
}

func below(roots ...string) func(string) bool {
	return func(name string) bool { return within(name, roots...) }
}

func in(dirs ...string) func(source) bool {
	return func(s source) bool { return within(s.dir, dirs...) }
}

// inOrTest also lets tests through: they open the real part to damage it or to stand on it.
func inOrTest(dirs ...string) func(source) bool {
	return func(s source) bool { return s.test() || within(s.dir, dirs...) }
}

func importRules() []rule {
	return []rule{{
		name:   "floors",
		reason: "imports run down the floors and none back up, so that every room can be read, tested and trusted without those above it",
		check:  checkFloors,
		bad: map[string]string{
			"server/internal/store/a.go":   "package store\nimport _ \"" + module + "/server/internal/vault\"",
			"server/internal/vault/a.go":   "package vault\nimport _ \"" + module + "/server/internal/barrier\"",
			"server/internal/fleet/a.go":   "package fleet\nimport _ \"" + module + "/server/internal/people\"",
			"server/internal/vault/x/a.go": "package x\nimport _ \"" + module + "/server/internal/rest\"",
			"server/internal/attic/a.go":   "package attic",
			"shared/secret/a.go":           "package secret\nimport _ \"" + module + "/shared/envelope\"",
			"agent/internal/lease/a.go":    "package lease\nimport _ \"" + module + "/agent\"",
		},
		want: []string{"store (floor 1) imports server/internal/vault (floor 6)", "fleet (floor 5) imports server/internal/people (floor 5)",
			"vault (floor 6) imports server/internal/rest (floor 9)", "server/internal/attic is on no floor",
			"secret (floor 1) imports shared/envelope (floor 2)", "agent/internal/lease/a.go imports agent, which stands above"},
	}, {
		name:   "ends",
		reason: "the two ends meet only in shared, so that neither can lean on the other's insides and each builds alone",
		check:  checkEnds,
		bad: map[string]string{
			"agent/a.go":             "package agent\nimport _ \"" + module + "/server\"",
			"server/internal/a/a.go": "package a\nimport _ \"" + module + "/agent/client\"",
			"shared/wire/a.go":       "package wire\nimport _ \"" + module + "/server/internal/vault\"",
			"configs/a.go":           "package configs\nimport _ \"" + module + "/shared/secret\"",
			"shared/api/a.go":        "package api\nimport _ \"" + module + "/test/kit\"",
			"server/cmd/strongroom/a.go": "package main\nimport (\n_ \"" + module + "/shared/api\"\n_ \"" +
				module + "/server/internal/vault\"\n)",
		},
		want: []string{"agent/a.go imports server", "server/internal/a/a.go imports agent/client", "shared/wire/a.go imports server/internal/vault",
			"configs/a.go imports shared/secret", "shared/api/a.go imports test/kit", "server/cmd/strongroom/a.go imports server/internal/vault"},
	}, {
		name:   "bbolt",
		reason: "only store knows the database, so that its panics become one error and another database can take its place",
		check:  importsOnly(below("go.etcd.io/bbolt"), in("server/internal/store")),
		bad: map[string]string{
			"server/internal/store/a.go":        "package store\nimport _ \"go.etcd.io/bbolt\"",
			"server/internal/barrier/a_test.go": "package barrier\nimport _ \"go.etcd.io/bbolt/errors\"",
		},
		want: []string{"server/internal/barrier/a_test.go imports go.etcd.io/bbolt/errors"},
	}, {
		name:   "store",
		reason: "only the barrier writes to the store, so that nothing unencrypted can reach the disk; server opens it for the barrier",
		check: importsOnly(below(module+"/server/internal/store"), func(s source) bool {
			return s.test() || s.dir == "server" || within(s.dir, "server/internal/barrier", "server/internal/store", roomtest)
		}),
		bad: map[string]string{
			"server/internal/barrier/a.go":    "package barrier\nimport _ \"" + module + "/server/internal/store\"",
			"server/a.go":                     "package server\nimport _ \"" + module + "/server/internal/store\"",
			"server/internal/vault/a_test.go": "package vault\nimport _ \"" + module + "/server/internal/store\"",
			"server/cmd/x/a.go":               "package main\nimport _ \"" + module + "/server/internal/store\"",
			"server/internal/vault/a.go":      "package vault\nimport _ \"" + module + "/server/internal/store\"",
		},
		want: []string{"server/internal/vault/a.go imports", "server/cmd/x/a.go imports"},
	}, {
		name:   "test kits",
		reason: "what only tests may do, such as opening rooms out of order, must not get into a program",
		check: importsOnly(below(module+"/"+roomtest, module+"/"+storetest, module+"/shared/api/apitest", module+"/shared/checkpoint/merkletest",
			module+"/shared/cli/clitest", module+"/test"), func(s source) bool {
			return s.test() || within(s.dir, "test", roomtest)
		}),
		bad: map[string]string{
			"server/internal/vault/a_test.go": "package vault\nimport _ \"" + module + "/server/internal/roomtest\"",
			"server/internal/vault/a.go":      "package vault\nimport _ \"" + module + "/server/internal/roomtest\"",
			"server/internal/barrier/a.go":    "package barrier\nimport _ \"" + module + "/server/internal/store/storetest\"",
			"server/internal/roomtest/a.go":   "package roomtest\nimport _ \"" + module + "/server/internal/store/storetest\"",
			"agent/a.go":                      "package agent\nimport _ \"" + module + "/test/kit\"",
			"server/cmd/strongroom/a.go":      "package main\nimport _ \"" + module + "/shared/cli/clitest\"",
		},
		want: []string{"server/internal/vault/a.go imports", "server/internal/barrier/a.go imports", "agent/a.go imports", "server/cmd/strongroom/a.go imports"},
	}, {
		name:   "configuration",
		reason: "only programs read configuration files, which cli does for all of them alike, so that a room gets what it needs as arguments; the catalogue parses the applications that are built in",
		check: importsOnly(below("go.yaml.in/yaml", "gopkg.in/yaml.v3", "github.com/goccy/go-yaml"), func(s source) bool {
			return s.test() || isCommand(s.dir) || s.dir == "shared/cli" || within(s.dir, "server/internal/catalogue")
		}),
		bad: map[string]string{
			"server/internal/catalogue/a.go":    "package catalogue\nimport _ \"go.yaml.in/yaml/v4\"",
			"server/cmd/strongroom-server/a.go": "package main\nimport _ \"go.yaml.in/yaml/v4\"",
			"shared/cli/a.go":                   "package cli\nimport _ \"go.yaml.in/yaml/v4\"",
			"server/internal/rest/a.go":         "package rest\nimport _ \"go.yaml.in/yaml/v4\"",
			"agent/a.go":                        "package agent\nimport _ \"gopkg.in/yaml.v3\"",
		},
		want: []string{"server/internal/rest/a.go imports go.yaml.in/yaml/v4", "agent/a.go imports gopkg.in/yaml.v3"},
	}, {
		name:   "service library",
		reason: "only the agent's program and the installer deal with the service manager, so that the agent runs the same without one",
		check:  importsOnly(below("github.com/kardianos/service"), in("agent/cmd", "installer")),
		bad: map[string]string{
			"installer/a.go":            "package installer\nimport _ \"github.com/kardianos/service\"",
			"agent/internal/local/a.go": "package local\nimport _ \"github.com/kardianos/service\"",
		},
		want: []string{"agent/internal/local/a.go imports"},
	}, {
		name:   "ciphers",
		reason: "AES is used in one place, which keeps keys and plaintext in locked memory and never repeats a nonce",
		check:  importsOnly(below("crypto/aes", "crypto/des", "crypto/rc4", "golang.org/x/crypto/chacha20poly1305"), inOrTest("shared/secret")),
		bad: map[string]string{
			"shared/secret/a.go":              "package secret\nimport _ \"crypto/aes\"",
			"server/internal/barrier/a.go":    "package barrier\nimport _ \"crypto/aes\"",
			"shared/envelope/a.go":            "package envelope\nimport _ \"golang.org/x/crypto/chacha20poly1305\"",
			"shared/envelope/vectors_test.go": "package envelope\nimport _ \"crypto/aes\"",
		},
		want: []string{"server/internal/barrier/a.go imports crypto/aes", "shared/envelope/a.go imports golang.org/x/crypto/chacha20poly1305"},
	}, {
		name:   "hpke",
		reason: "its Open returns plaintext on the heap, so only the two rooms that use it for keys alone may have it",
		check:  importsOnly(below("crypto/hpke"), in("shared/envelope", "server/internal/audit")),
		bad: map[string]string{
			"shared/envelope/a.go":       "package envelope\nimport _ \"crypto/hpke\"",
			"server/internal/audit/a.go": "package audit\nimport _ \"crypto/hpke\"",
			"agent/internal/lease/a.go":  "package lease\nimport _ \"crypto/hpke\"",
		},
		want: []string{"agent/internal/lease/a.go imports"},
	}, {
		name:   "required modules",
		reason: "a module comes with the code that uses it, so that go.mod says what the programs are made of",
		check:  checkModules,
		bad: map[string]string{
			"go.mod": "module " + module + "\nrequire (\n\texample.com/used v1.0.0\n\texample.com/idle v1.0.0\n" +
				"\texample.com/marked v1.0.0 // indirect\n\texample.com/deep v1.0.0 // indirect\n)\n",
			"server/a.go": "package server\nimport (\n_ \"example.com/used/x\"\n_ \"example.com/marked\"\n_ \"example.com/absent\"\n_ \"crypto/tls\"\n)",
		},
		want: []string{"example.com/idle is required and imported nowhere", "example.com/marked is imported but marked indirect",
			"server/a.go imports example.com/absent, which go.mod does not require"},
	}}
}

func checkFloors(t tree) (complaints []string) {
	homeless := map[string]bool{}
	for _, s := range t.sources {
		from, ok := room(s.dir)
		if !ok {
			continue
		}
		if floors[from] == 0 {
			if !homeless[from] {
				complaints = append(complaints, from+" is on no floor; give it one in floors")
			}
			homeless[from] = true
			continue
		}
		for _, i := range s.imports {
			dir, ok := own(i)
			if !ok {
				continue
			}
			to, ok := room(dir)
			if !ok && within(dir, "server", "agent") && sameEnd(from, dir) && dir != "agent/client" {
				complaints = append(complaints, fmt.Sprintf("%s imports %s, which stands above all rooms", s.path, dir))
			}
			if to == roomtest && s.test() {
				continue // it stands beside the rooms that it opens
			}
			if ok && to != from && sameEnd(from, to) && floors[to] >= floors[from] {
				complaints = append(complaints, fmt.Sprintf("%s: %s (floor %d) imports %s (floor %d)", s.path, from, floors[from], to, floors[to]))
			}
		}
	}
	return complaints
}

func sameEnd(a, b string) bool {
	return strings.Split(a, "/")[0] == strings.Split(b, "/")[0]
}

// ends says for each folder of the module which of the module's other folders it may import. The longest entry counts.
var ends = map[string][]string{
	"configs":               {},
	"shared":                {"shared"},
	"server":                {"server", "shared", "configs"},
	"server/cmd/strongroom": {"server/cmd/strongroom", "shared"}, // a client of the REST API and of nothing else
	"agent":                 {"agent", "shared", "configs"},
	"installer":             {"installer", "agent", "shared", "configs"},
	"test":                  {"test", "shared", "agent/client"},
	"test/fleet":            {"test", "shared", "agent"}, // many agents in one process
}

func checkEnds(t tree) (complaints []string) {
	for _, s := range t.sources {
		home := ""
		for dir := range ends {
			if within(s.dir, dir) && len(dir) > len(home) {
				home = dir
			}
		}
		if home == "" {
			complaints = append(complaints, s.path+" is in no folder that the house has; name it in ends")
			continue
		}
		for _, i := range s.imports {
			dir, ok := own(i)
			// Any package's own tests may start the built programs.
			if ok && !within(dir, ends[home]...) && !(s.test() && within(dir, "test/kit")) {
				complaints = append(complaints, fmt.Sprintf("%s imports %s", s.path, dir))
			}
		}
	}
	return complaints
}

func checkModules(t tree) (complaints []string) {
	mod, err := modfile.Parse("go.mod", t.gomod, nil)
	if err != nil {
		return []string{err.Error()}
	}
	used := map[string]bool{}
	for _, s := range t.sources {
		for _, i := range s.imports {
			if !strings.Contains(strings.Split(i, "/")[0], ".") || within(i, module) {
				continue
			}
			best := ""
			for _, r := range mod.Require {
				if within(i, r.Mod.Path) && len(r.Mod.Path) > len(best) {
					best = r.Mod.Path
				}
			}
			if best == "" {
				complaints = append(complaints, fmt.Sprintf("%s imports %s, which go.mod does not require", s.path, i))
			}
			used[best] = true
		}
	}
	for _, r := range mod.Require {
		switch {
		case used[r.Mod.Path] && r.Indirect:
			complaints = append(complaints, r.Mod.Path+" is imported but marked indirect; run go mod tidy")
		case !used[r.Mod.Path] && !r.Indirect:
			complaints = append(complaints, r.Mod.Path+" is required and imported nowhere")
		}
	}
	return complaints
}
