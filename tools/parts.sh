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
	ip) echo iproute2 ;;
	lighttpd | nginx | openssl) echo "$1" ;;
	protoc) echo protobuf-compiler ;;
	python3-oauthlib) echo "python3 python3-oauthlib python3-jwt python3-cryptography" ;;
	ssh-keygen) echo openssh-client ;;
	unshare) echo util-linux ;;
	*)
		echo "tools/parts.sh: no package is known for '$1'; name it in package_of" >&2
		return 1
		;;
	esac
}

present() {
	case $1 in
	python3-oauthlib) /usr/bin/python3 -c 'import oauthlib, jwt, cryptography' ;;
	*) command -v "$1" ;;
	esac >/dev/null 2>&1
}

PATH=$PATH:/usr/sbin:/sbin # where some parts live, and not everybody looks
packages=
for part in "$@"; do
	package=$(package_of "$part")
	present "$part" || packages="$packages $package"
done
[ -n "$packages" ] || exit 0

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
log=$(mktemp)
quiet=
trap 'rm -f "$log" $quiet' EXIT
if [ ! -e /usr/sbin/policy-rc.d ]; then # servers are for the tests to start, not for the system
	quiet=/usr/sbin/policy-rc.d
	printf '#!/bin/sh\nexit 101\n' >$quiet
	chmod 755 $quiet
fi
# shellcheck disable=SC2086 # a list of packages is meant to be split
if ! { apt-get update && apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1; then
	cat "$log" >&2
	echo "could not install$packages" >&2
	exit 1
fi
