#!/bin/bash
# run.sh [PEER...]: measure every workload for every peer, RUNS times, with one JSON
# line per measurement in $PEERS/results.jsonl; then print the medians. In each
# round the peers take turns within a workload, so that a slow minute of the
# machine affects all of them.
# Environment: PEERS (see peer.sh), RUNS (3), WORK (see below; also "sasl" for
# ergo), SECS (5) and WARM (1.5) seconds, PIN server CPU (0), GENPIN generator CPU (1), FRESH=1
# to empty the results file first, OUT another results file, GENFLAGS more flags of the generator.
# "sustained-" before a workload counts all CPU time until the server has caught up.
# Exit code 1 when a server did not start or a measurement failed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
export PEERS=${PEERS:-$here/peers-run}
RUNS=${RUNS:-3} SECS=${SECS:-5} WORK=${WORK:-dm dm1 fan10 fan100 fan100x1 fan1000 rooms20x10 latency receipts sustained-dm sustained-dm1 storm online1000 login idle2000 idle5000}
export PIN=${PIN-0}
GENPIN=${GENPIN-1}
out=${OUT:-$PEERS/results.jsonl}
[ -x "$PEERS/loadgen" ] || { echo "$PEERS/loadgen not found; run setup.sh first" >&2; exit 1; }
[ -n "${FRESH:-}" ] && : > "$out"
ulimit -n "$(ulimit -Hn)"
if [ $# -eq 0 ]; then
	set -- qscpd ngircd inspircd mosquitto prosody prosody+mam ejabberd
	[ ! -x "$PEERS/floor" ] || set -- "$@" floor floor+log
	[ ! -x "$PEERS/ergo/ergo-bin" ] || set -- "$@" ergo
fi

gen() { # gen NAME flags... workload
	local name=$1; shift
	local pre=(timeout 1800)
	[ -n "$GENPIN" ] && pre+=(taskset -c "$GENPIN")
	# shellcheck disable=SC2086 # several flags
	"${pre[@]}" "$PEERS/loadgen" -peer "$name" -proto "$(sh_peer proto "$name")" -addr "$(sh_peer addr "$name")" \
		-pid "$(cat "$PEERS/run/$name/pid")" -time "${SECS}s" -warm "${WARM:-1.5}s" -workers "$(workers "$name")" ${GENFLAGS:-} "$@"
}
sh_peer() { "$here/peer.sh" "$@"; }
workers() { # simultaneous logins
	case $1 in
		inspircd*) echo 400 ;;            # it completes registrations only once a second
		prosody*|ejabberd*) echo 32 ;;    # several round trips for each login
		*) echo 8 ;;
	esac
}

store() { # store NAME: the folder where a server keeps messages, if it keeps them
	case $1 in
		qscpd*)       echo "$PEERS/run/qscpd/store" ;;
		prosody*mam*) echo "$PEERS/run/prosody/data" ;;
	esac
}

measure() { # measure NAME WORKLOAD [FLAG...]
	local name=$1 work=$2; shift 2
	case $work in
		sustained-*) measure "$name" "${work#sustained-}" -sustained -disk "$(store "$name")" "$@" ;;
		dm)       gen "$name" "$@" dm ;;
		dm1)      LOADGEN_TAG=-w1 gen "$name" "$@" -window 1 dm ;;
		fan10)    gen "$name" "$@" -members 10 fanout ;;
		fan100)   gen "$name" "$@" -members 100 fanout ;;
		fan100x1) LOADGEN_TAG=-w1 gen "$name" "$@" -members 100 -window 1 fanout ;;
		fan1000)  gen "$name" "$@" -members 1000 fanout ;;
		rooms20x10) gen "$name" "$@" -rooms 20 -members 10 rooms ;;
		latency)  gen "$name" -pairs 100 latency ;;
		receipts) gen "$name" -pairs 200 -rate 800 receipts ;;
		storm)    gen "$name" -pairs 20 -rate 200 -members 1000 storm ;;
		online1000) gen "$name" -members 1000 online ;;
		login)    gen "$name" -n 2000 login ;;
		sasl)     gen "$name" -n 500 -sasl prep > /dev/null
		          LOADGEN_TAG=-sasl gen "$name" -n 500 -sasl login ;;
		idle2000) gen "$name" -n 2000 idle ;;
		idle5000) gen "$name" -n 5000 idle ;;
		*) echo "unknown workload $work" >&2; return 1 ;;
	esac
}

# XMPP accounts are created over the wire, once.
for name in "$@"; do
	[ "$(sh_peer proto "$name")" = xmpp ] && [ ! -f "$PEERS/run/$name/accounts" ] || continue
	sh_peer start "$name" || continue
	gen "$name" -n 5000 prep > /dev/null && touch "$PEERS/run/$name/accounts"
	sh_peer stop "$name"
done

failed=0 running=
trap '[ -z "$running" ] || sh_peer stop "$running"' EXIT
trap 'exit 130' INT TERM
for _ in $(seq "$RUNS"); do
	for w in $WORK; do
		for name in "$@"; do
			case $(sh_peer proto "$name")-$w in
				qscp-sasl) continue ;; # its logins always use accounts
				qscp-login | qscp-idle* | qscp-storm | qscp-online* | qscp-sustained-*)
					case $name in floor*) continue ;; esac ;; # it checks no passwords, and defers nothing
				qscp-*) ;;
				*-receipts) continue ;; # their adapters have none
				irc-*) ;;
				*-storm|*-online*) continue ;; # their adapters lack these workloads
			esac
			sh_peer start "$name" || { failed=1; continue; } # each on a fresh server
			running=$name
			measure "$name" "$w" >> "$out" || failed=1
			sh_peer stop "$name"
			running=
		done
	done
done
"$PEERS/loadgen" summary "$out"
exit "$failed"
