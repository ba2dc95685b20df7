package workload

import (
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/grant"
)

const (
	hexA = "4f5cc6a1cbd8e3d2b7a09f61e5c2d4ab83719c6de0f2b4a5968778695a4b3c2d"
	hexB = "b1d9a8f70e6c5d4b3a29181706f5e4d3c2b1a09f8e7d6c5b4a39281716050403"
)

// What the kernel shows on real systems, and what somebody on them could make of it. Typed by hand.
func TestParseCgroup(t *testing.T) {
	t.Parallel()
	v1 := func(path string) string {
		return "12:pids:" + path + "\n11:cpuset:/\n4:cpu,cpuacct:" + path + "\n1:name=systemd:" + path + "\n0::/system.slice/containerd.service\n"
	}
	for _, tt := range []struct{ what, text, unit, container string }{
		{"systemd 252, a service", "0::/system.slice/backup.service\n", "backup.service", ""},
		{"the same on hybrid", "11:cpuset:/\n2:cpu,cpuacct:/system.slice/backup.service\n1:name=systemd:/system.slice/backup.service\n0::/system.slice/backup.service\n", "backup.service", ""},
		{"the same on v1", "11:memory:/system.slice/backup.service\n1:name=systemd:/system.slice/backup.service\n", "backup.service", ""},
		{"a service of a template", "0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service", ""},
		{"an escaped name", `0::/system.slice/system-systemd\x2dfsck.slice/systemd-fsck@dev-disk-by\x2duuid-1\x2d2.service` + "\n", `systemd-fsck@dev-disk-by\x2duuid-1\x2d2.service`, ""},
		{"a name that the kernel uses", "0::/system.slice/_cpu.service\n", "cpu.service", ""},
		{"a name that begins so itself", "0::/system.slice/__x.service\n", "_x.service", ""},
		{"a slice of its own", "0::/batch.slice/batch-nightly.slice/etl.service\n", "etl.service", ""},
		{"no slice", "0::/init.scope\n", "init.scope", ""},
		{"a socket's process", "0::/system.slice/web.socket\n", "web.socket", ""},
		{"a mount's helper", "0::/system.slice/srv-data.mount\n", "srv-data.mount", ""},
		{"a delegated group", "0::/system.slice/runner.service/job-17/step.service\n", "runner.service", ""},
		{"a delegated group like a container", "0::/system.slice/runner.service/docker-" + hexA + ".scope\n", "runner.service", ""},
		{"podman within a service", "0::/system.slice/web.service/libpod-payload-" + hexA + "\n", "web.service", ""},

		{"a session", "0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope", ""},
		{"a user's own service", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/backup.service\n", "user@1000.service", ""},
		{"a user's own service on v1", v1("/user.slice/user-1000.slice/user@1000.service/backup.service"), "user@1000.service", ""},
		{"a user's imitation of a system", "0::/user.slice/user-1000.slice/user@1000.service/system.slice/sshd.service\n", "user@1000.service", ""},
		{"a user's imitation of a container", "0::/user.slice/user-1000.slice/user@1000.service/docker/" + hexA + "\n", "user@1000.service", ""},
		{"rootless podman", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + hexA + ".scope/container\n", "user@1000.service", ""},

		{"docker, systemd driver", "0::/system.slice/docker-" + hexA + ".scope\n", "docker-" + hexA + ".scope", hexA},
		{"docker, cgroupfs driver", "0::/docker/" + hexA + "\n", "", hexA},
		{"docker on v1", v1("/docker/" + hexA), "", hexA},
		{"docker, systemd driver on v1", v1("/system.slice/docker-" + hexA + ".scope"), "docker-" + hexA + ".scope", hexA},
		{"a systemd within docker", "0::/docker/" + hexA + "/system.slice/sshd.service\n", "", hexA},
		{"a systemd within docker's scope", "0::/system.slice/docker-" + hexA + ".scope/system.slice/sshd.service\n", "docker-" + hexA + ".scope", hexA},
		{"docker within docker", "0::/docker/" + hexA + "/docker/" + hexB + "\n", "", hexA},
		{"docker within docker's scope", "0::/system.slice/docker-" + hexA + ".scope/docker/" + hexB + "\n", "docker-" + hexA + ".scope", hexA},
		{"docker's own service", "0::/system.slice/docker.service\n", "docker.service", ""},
		{"podman", "0::/machine.slice/libpod-" + hexA + ".scope/container\n", "libpod-" + hexA + ".scope", hexA},
		{"podman's monitor", "0::/machine.slice/libpod-conmon-" + hexA + ".scope\n", "libpod-conmon-" + hexA + ".scope", ""},
		{"a pod of podman", "0::/machine.slice/machine-libpod_pod_" + hexB + ".slice/libpod-" + hexA + ".scope\n", "libpod-" + hexA + ".scope", hexA},
		{"podman, cgroupfs", "0::/libpod_parent/libpod-" + hexA + "\n", "", hexA},
		{"nerdctl", "0::/system.slice/nerdctl-" + hexA + ".scope\n", "nerdctl-" + hexA + ".scope", hexA},
		{"kubernetes, containerd", "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b_2c3d.slice/cri-containerd-" + hexA + ".scope\n", "cri-containerd-" + hexA + ".scope", hexA},
		{"kubernetes, cri-o", "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod0a1b.slice/crio-" + hexA + ".scope\n", "crio-" + hexA + ".scope", hexA},
		{"cri-o's monitor", "0::/kubepods.slice/kubepods-pod0a1b.slice/crio-conmon-" + hexA + ".scope\n", "crio-conmon-" + hexA + ".scope", ""},
		{"kubernetes on v1", v1("/kubepods/burstable/pod0a1b-2c3d/" + hexA), "", hexA},
		{"kubernetes on v1, guaranteed", v1("/kubepods/pod0a1b-2c3d/" + hexA), "", hexA},
		{"kubernetes' cri-o on v1", v1("/kubepods/besteffort/pod0a1b/crio-" + hexA), "", hexA},
		{"containerd with the wrong driver", "0::/system.slice/containerd.service/kubepods-burstable-pod0a1b.slice:cri-containerd:" + hexA + "\n", "containerd.service", ""},
		{"systemd-nspawn", "0::/machine.slice/systemd-nspawn@web.service/payload/system.slice/sshd.service\n", "systemd-nspawn@web.service", ""},
		{"a virtual machine", `0::/machine.slice/machine-qemu\x2d1\x2dweb.scope/libvirt/emulator` + "\n", `machine-qemu\x2d1\x2dweb.scope`, ""},
		{"LXC", "0::/lxc.payload.web/system.slice/sshd.service\n", "", ""},
		{"LXC on v1", v1("/lxc/web/system.slice/sshd.service"), "", ""},

		{"nothing", "", "", ""},
		{"the root", "0::/\n", "", ""},
		{"the root on v1", "1:name=systemd:/\n0::/system.slice/x.service\n", "", ""},
		{"a hierarchy of somebody else's", "3:name=other:/system.slice/x.service\n0::/\n", "", ""},
		{"a controller called like systemd", "3:cpu,name=systemd:/system.slice/x.service\n0::/\n", "", ""},
		{"outside of the agent's namespace", "0::/../system.slice/backup.service\n", "", ""},
		{"outside, further down", "0::/system.slice/../x.service\n", "", ""},
		{"removed", "0::/system.slice/backup.service (deleted)\n", "", ""},
		{"a group that only looks like a unit's", "0::/web/backup.service\n", "", ""},
		{"a slice alone", "0::/system.slice\n", "", ""},
		{"a type alone", "0::/system.slice/.service\n", "", ""},
		{"no name of systemd's", "0::/system.slice/back up.service\n", "", ""},
		{"a type without processes", "0::/system.slice/backup.timer\n", "", ""},
		{"not a path", "0::system.slice/backup.service\n", "", ""},
		{"an ID that is too short", "0::/docker/" + hexA[:63] + "\n", "", ""},
		{"an ID in capitals", "0::/docker/" + strings.ToUpper(hexA) + "\n", "", ""},
		{"a scope that is too short", "0::/system.slice/docker-" + hexA[:63] + ".scope\n", "docker-" + hexA[:63] + ".scope", ""},
		{"a service like docker's scope", "0::/system.slice/docker-" + hexA + ".service\n", "docker-" + hexA + ".service", ""},
		{"no container in docker's folder", "0::/docker\n", "", ""},
		{"no pod", "0::/kubepods/burstable/" + hexA + "\n", "", ""},
		{"no container in a pod", "0::/kubepods/pod0a1b\n", "", ""},
		{"a colon in a name", "0::/system.slice/a:b.service\n", "a:b.service", ""},
		{"not lines of the kernel's", "hello\n0::/system.slice/backup.service\n", "", ""},
	} {
		if got := parseCgroup([]byte(tt.text)); got.unit != tt.unit || got.container != tt.container {
			t.Errorf("%s: unit %q, container %q; want %q, %q", tt.what, got.unit, got.container, tt.unit, tt.container)
		}
	}
}

// Nothing that is made below a group changes whose it is.
func FuzzParseCgroup(f *testing.F) {
	f.Add("/system.slice/backup.service", "docker/"+hexA)
	f.Add("/user.slice/user-1000.slice/user@1000.service", "system.slice/sshd.service")
	f.Add("/docker/"+hexA, "system.slice/sshd.service")
	f.Add("/kubepods/burstable/pod1/"+hexA, "..")
	f.Fuzz(func(t *testing.T, path, below string) {
		outer := parseCgroup([]byte("0::" + path + "\n"))
		if outer.unit != "" && !grant.IsUnit(outer.unit) || outer.container != "" && !isContainerID(outer.container) {
			t.Errorf("%q: %+v", path, outer)
		}
		if outer == (group{}) || strings.ContainsAny(path+below, "\n") {
			return
		}
		if inner := parseCgroup([]byte("0::" + path + "/" + below + "\n")); inner != outer && inner != (group{}) {
			t.Errorf("%q is %+v, and below it %q is %+v", path, outer, below, inner)
		}
	})
}
