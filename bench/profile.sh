#!/bin/bash
# profile.sh [FLAG... WORKLOAD]: profile qscpd's CPU time under load (default: dm;
# for example -window 1 dm).
# Starts qscpd and the load. py-spy samples the Python functions for SECS (6)
# seconds, on CPU only; then perf, if installed and permitted, samples libraries, the
# kernel and their functions. Prints the shares and keeps the samples in $PEERS/profile/:
# stacks.txt is in the collapsed form of flame graph tools.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export PEERS=${PEERS:-$here/peers-run} PIN=${PIN-0}
SECS=${SECS:-6}
[ $# -gt 0 ] || set -- dm
into=$PEERS/profile
mkdir -p "$into"
rm -f "$into"/*
"$here/peer.sh" start qscpd
load=
trap '[ -z "$load" ] || kill "$load" 2>/dev/null || true; "$here/peer.sh" stop qscpd' EXIT
pid=$(cat "$PEERS/run/qscpd/pid")
taskset -c "${GENPIN:-1}" "$PEERS/loadgen" -peer qscpd -proto qscp -addr "$("$here/peer.sh" addr qscpd)" -pid "$pid" \
	-time "$((3 * SECS + 20))s" "$@" > "$into/result.json" & # longer than needed; stopped below
load=$!
sleep 5 # logging in
"$PEERS/venv/bin/py-spy" record --nonblocking --threads --rate 250 --duration "$SECS" --format raw \
	--output "$into/stacks.txt" --pid "$pid" > "$into/py-spy.log" 2>&1 || { cat "$into/py-spy.log" >&2; exit 1; }
if command -v perf > /dev/null; then
	perf record -q -F 1999 -o "$into/perf.data" -p "$pid" -- sleep "$SECS" > "$into/perf.log" 2>&1 || echo "perf: $(tail -1 "$into/perf.log")" >&2
	perf stat -e 'syscalls:sys_enter_*' -o "$into/calls.txt" -p "$pid" -- sleep 2 2> /dev/null || true
fi
kill -0 "$load" || { echo "the load generator ended early; see $into/result.json" >&2; exit 1; }
"$PEERS/venv/bin/python" "$here/profile_report.py" "$into/stacks.txt"
[ -s "$into/perf.data" ] || exit 0
table() { # table TITLE KEYS LIMIT
	printf '\n%s\n' "$1"
	perf report -i "$into/perf.data" --sort "$2" --stdio --percent-limit "$3" 2>/dev/null | grep -v -e '^#' -e '^$' | head -50
}
table "Threads, libraries and the kernel (perf)" pid,dso 0.5
table "Their functions (perf)" dso,sym 0.7
if [ -s "$into/calls.txt" ]; then
	printf '\nSystem calls in 2 s (perf)\n'
	tr -d , < "$into/calls.txt" | awk '$1 + 0 > 20 && sub(/syscalls:sys_enter_/, "") { printf "%9d  %s\n", $1, $2 }' | sort -rn
fi
