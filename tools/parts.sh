#!/bin/sh
# Installs the system parts a target needs: tools/parts.sh COMMAND...
# A part that is missing and cannot be installed ends the run; nothing is ever skipped.
set -eu

package_of() {
	case $1 in
	apache2) echo apache2-bin ;; # the server without its service
	gcc) echo "gcc libc6-dev" ;; # the race detector links with cgo
	gcore) echo gdb ;;
	git) echo git ;;
	debootstrap) echo debootstrap ;;
	ip) echo iproute2 ;;
	lighttpd | nginx | openssl) echo "$1" ;;
	protoc) echo protobuf-compiler ;;
	node) echo nodejs ;;
	npm) echo npm ;;
	ssh-keygen) echo openssh-client ;;
	systemd-nspawn) echo systemd-container ;;
	unshare) echo util-linux ;;
	*)
		echo "tools/parts.sh: no package is known for '$1'; name it in package_of" >&2
		return 1
		;;
	esac
}

PATH=$PATH:/usr/sbin:/sbin # where some parts live, and not everybody looks
cd "$(dirname "$0")/.."

# install installs Debian packages.
install() {
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "missing here, and there is no apt-get to install it with:$packages" >&2
		exit 1
	fi
	if [ "$(id -u)" != 0 ]; then
		echo "missing here; install and try again: sudo apt-get install -y --no-install-recommends$packages" >&2
		exit 1
	fi
	echo "installing$packages" >&2
	export DEBIAN_FRONTEND=noninteractive
	if [ ! -e /usr/sbin/policy-rc.d ]; then # servers are for the tests to start, not for the system
		quiet=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' >$quiet
		chmod 755 $quiet
	fi
	if ! thrice apt "$packages" >"$log" 2>&1; then
		cat "$log" >&2
		echo "could not install$packages" >&2
		exit 1
	fi
}

apt() {
	# shellcheck disable=SC2086 # a list of packages is meant to be split
	apt-get update && apt-get install -y --no-install-recommends $1
}

npm_ci() { (cd bin/npm.partial && npm ci --ignore-scripts --no-audit --no-fund); }

# thrice runs what downloads, and again where it fails: one download of many may.
thrice() {
	"$@" || { sleep 5 && "$@"; } || { sleep 15 && "$@"; }
}

# install_npm installs into bin/npm what test/npm names, unless that is there; it runs nothing of what it installs.
install_npm() {
	cmp -s test/npm/package-lock.json bin/npm/package-lock.json && return
	echo "installing what test/npm names" >&2
	rm -rf bin/npm bin/npm.partial
	mkdir -p bin/npm.partial
	cp test/npm/package.json test/npm/package-lock.json bin/npm.partial
	if ! thrice npm_ci >"$log" 2>&1; then
		cat "$log" >&2
		echo "could not install what test/npm names" >&2
		exit 1
	fi
	mv bin/npm.partial bin/npm
}

log=$(mktemp)
quiet=
trap 'rm -f "$log" $quiet' EXIT
packages= npm=
for part in "$@"; do
	package=$(package_of "$part")
	command -v "$part" >/dev/null 2>&1 || packages="$packages $package"
	[ "$part" != npm ] || npm=wanted
done
[ -z "$packages" ] || install
[ -z "$npm" ] || install_npm
