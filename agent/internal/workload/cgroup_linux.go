package workload

import (
	"bytes"
	"strings"

	"github.com/strongroom/strongroom/shared/grant"
)

// maxCgroup is above what the kernel writes: a path of up to 4096 bytes for each of a dozen hierarchies.
const maxCgroup = 64 << 10

// group is what a process' control group says of where it belongs.
type group struct {
	unit      string // systemd system unit
	container string // 64 hex digits
}

// parseCgroup reads /proc/PID/cgroup, a line for each hierarchy, ID:CONTROLLERS:PATH. The hierarchy that counts is
// systemd's own: name=systemd where there is one, else the unified one. (Beside name=systemd, the unified one may say of
// a container's process that it is in its runtime's service.) See cgroup_namespaces(7) for the paths.
func parseCgroup(text []byte) group {
	path, found := "", false
	for line := range bytes.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		switch {
		case len(fields) < 3:
			return group{}
		case fields[1] == "name=systemd":
			return groupOf(fields[2])
		case fields[0] == "0" && fields[1] == "" && !found:
			path, found = fields[2], true
		}
	}
	return groupOf(path)
}

// groupOf reads a path from the root of the hierarchy down to the first name that is not a slice's: a unit or a
// container. Nothing below that counts, since whoever is in there may have made it: a service its own groups, a
// container whole trees that look like a host's, and somebody's user manager units of any name. A path outside of the
// agent's own cgroup namespace begins with "..", which is no unit's name.
func groupOf(path string) group {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return group{}
	}
	if id := withoutSystemd(strings.Split(rest, "/")); id != "" {
		return group{container: id}
	}
	name := ""
	for more := true; more; {
		name, rest, more = strings.Cut(rest, "/")
		name = strings.TrimPrefix(name, "_") // what systemd puts before names that the kernel uses itself
		if !strings.HasSuffix(name, ".slice") {
			break
		}
	}
	if !grant.IsUnit(name) {
		return group{}
	}
	return group{unit: name, container: containerOf(name)}
}

// containerOf is the ID in the name of a scope that a container runtime asked systemd for.
func containerOf(scope string) string {
	name, ok := strings.CutSuffix(scope, ".scope")
	if !ok {
		return ""
	}
	for _, runtime := range []string{"docker-", "libpod-", "cri-containerd-", "crio-", "nerdctl-"} {
		if id, ok := strings.CutPrefix(name, runtime); ok && isContainerID(id) {
			return id
		}
	}
	return ""
}

// withoutSystemd is the ID in the path of a container whose runtime makes its groups itself.
func withoutSystemd(names []string) string {
	switch names[0] {
	case "docker":
		names = names[1:]
	case "libpod_parent":
		names = names[1:]
		if len(names) > 0 {
			names[0] = strings.TrimPrefix(names[0], "libpod-")
		}
	case "kubepods":
		names = names[1:]
		if len(names) > 0 && (names[0] == "burstable" || names[0] == "besteffort") {
			names = names[1:]
		}
		if len(names) < 2 || !strings.HasPrefix(names[0], "pod") {
			return ""
		}
		names = names[1:]
		names[0] = strings.TrimPrefix(names[0], "crio-")
	default:
		return ""
	}
	if len(names) == 0 || !isContainerID(names[0]) {
		return ""
	}
	return names[0]
}

func isContainerID(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }
