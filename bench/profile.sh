#!/bin/bash
# profile.sh [WORKLOAD]: where qscpd's CPU time goes under load (default: dm).
# Starts qscpd and the load, samples for SECS (6) seconds with py-spy, native
# frames and all threads, and prints the shares. The samples stay in
# $PEERS/profile/: stacks.txt is in the collapsed form that flame graph tools read.
# Where perf may be used, it says beside that which library or the kernel ran.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export PEERS=${PEERS:-$here/peers-run} PIN=${PIN-0}
SECS=${SECS:-6} work=${1:-dm}
into=$PEERS/profile
mkdir -p "$into"
"$here/peer.sh" start qscpd
load=
trap '[ -z "$load" ] || kill "$load" 2>/dev/null || true; "$here/peer.sh" stop qscpd' EXIT
pid=$(cat "$PEERS/run/qscpd/pid")
# Two windows of SECS: py-spy looks at the first, perf at the second.
"$PEERS/loadgen" -peer qscpd -proto qscp -addr "$("$here/peer.sh" addr qscpd)" -pid "$pid" \
	-warm 1s -time "$((2 * SECS + 6))s" "$work" > "$into/result.json" &
load=$!
sleep 5 # logging in
"$PEERS/venv/bin/py-spy" record --native --threads --rate 200 --duration "$SECS" --format raw \
	--output "$into/stacks.txt" --pid "$pid" > "$into/py-spy.log" 2>&1 || { cat "$into/py-spy.log" >&2; exit 1; }
if command -v perf > /dev/null; then
	perf record -q -F 999 -o "$into/perf.data" -p "$pid" -- sleep "$SECS" > "$into/perf.log" 2>&1 || echo "perf: $(tail -1 "$into/perf.log")" >&2
fi
wait "$load"
load=
cat "$into/result.json"
"$PEERS/venv/bin/python" "$here/profile_report.py" "$into/stacks.txt"
[ ! -s "$into/perf.data" ] || perf report -i "$into/perf.data" --sort dso,sym --stdio --percent-limit 0.8 2>/dev/null | grep -v '^#' | grep -v '^$' | head -45
