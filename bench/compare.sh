#!/bin/bash
# compare.sh OLD [WORKLOAD...]: this checkout against another one of the project, in turn.
# Each round runs old, new and old again, so that the spread of old against old in the
# same alternation says which differences mean nothing.
#   git worktree add ../old COMMIT && bench/compare.sh ../old
# Generator and scripts are those of this checkout, for both; configuration and accounts are each its own.
# Environment: ROUNDS (9), SECS (4), PEERS and PIN as in run.sh; needs `setup.sh tools` once.
# Leaves the measurements in $PEERS/compare/, prints ratios per CPU-second.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { sed -n '2,8s/^# //p' "$0" >&2; exit 2; }
old=$(cd "$1" && pwd) new=$(dirname "$here")
shift
PEERS=${PEERS:-$here/peers-run}
ROUNDS=${ROUNDS:-9}
work=${*:-dm fan100 fan1000}
folder=$PEERS/compare
rm -rf "$folder"
for side in old new again; do
	mkdir -p "$folder/$side"
	for tool in loadgen venv cert.pem key.pem; do ln -s "$PEERS/$tool" "$folder/$side/$tool"; done
done

measure() { # measure SIDE CHECKOUT WORKLOAD
	PEERS=$folder/$1 CHECKOUT=$2 OUT=$folder/$1.jsonl RUNS=1 SECS=${SECS:-4} WORK=$3 \
		"$here/run.sh" qscpd > /dev/null
}
for round in $(seq "$ROUNDS"); do
	echo "round $round of $ROUNDS" >&2
	for workload in $work; do
		measure old "$old" "$workload"
		measure new "$new" "$workload"
		measure again "$old" "$workload"
	done
done
"$PEERS/venv/bin/python" "$here/compare_report.py" "$folder"
