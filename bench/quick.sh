#!/bin/bash
# quick.sh [WORKLOAD...]: measure qscpd in a minute, and ngircd and inspircd if they are
# installed, once each (default: dm latency).
# Needs no root. README.md explains how to get figures for publication.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export PEERS=${PEERS:-$here/peers-run}
if [ ! -x "$PEERS/loadgen" ] || [ ! -x "$PEERS/venv/bin/python" ] ||
	[ -n "$(find "$here/loadgen" -name '*.go' -newer "$PEERS/loadgen")" ]; then
	mkdir -p "$PEERS"
	"$here/setup.sh" tools > "$PEERS/setup.log" 2>&1 || { tail -20 "$PEERS/setup.log" >&2; exit 1; }
fi
names=(qscpd)
for name in ngircd inspircd; do
	if PATH=$PATH:/usr/sbin command -v "$name" > /dev/null; then names+=("$name"); fi
done
RUNS=${RUNS:-1} SECS=${SECS:-2} WORK=${*:-dm latency} OUT=${OUT:-$PEERS/quick.jsonl} FRESH=1 "$here/run.sh" "${names[@]}"
