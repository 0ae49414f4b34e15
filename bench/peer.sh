#!/bin/bash
# peer.sh start NAME | stop NAME | addr NAME | proto NAME
# Starts or stops one server as a background process, in its folder $PEERS/run/NAME with
# its process id in the file pid; or prints its address or protocol.
# Environment: PEERS   folder for everything built and run (default: peers-run beside this file)
#              PIN     CPU list for the server (default 0; empty: not pinned)
#              CHECKOUT  the checkout whose qscpd runs (default: the one of this file)
#              BENCH_PYTHON  the Python that runs qscpd (default $PEERS/venv/bin/python)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PEERS=${PEERS:-$here/peers-run}
PIN=${PIN-0}
checkout=${CHECKOUT:-$(dirname "$here")}
python=${BENCH_PYTHON:-$PEERS/venv/bin/python}
[ $# -eq 2 ] || { sed -n '2,8s/^# //p' "$0" >&2; exit 2; }
what=$1 name=$2
base=${name%%+*}
run=$PEERS/run/$name

case $base in
	qscpd) proto=qscp port=7727 ;;
	floor) proto=qscp port=7728 ;;
	ngircd|inspircd|ergo) proto=irc port=6697 ;;
	prosody) proto=xmpp port=5223 ;;
	ejabberd) proto=xmpp port=5224 ;;
	mosquitto) proto=mqtt port=8883 ;;
	py-*) proto=ndjson port=7777 ;;
	*) echo "unknown peer $name" >&2; exit 2 ;;
esac

case $what in
addr) echo "127.0.0.1:$port"; exit ;;
proto) echo "$proto"; exit ;;
start) ;;
stop)
	pid=$(cat "$run/pid")
	kill "$pid" 2>/dev/null || true
	for _ in $(seq 150); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
	# prosody takes longer after a loss of users; qscpd never should
	if kill -9 "$pid" 2>/dev/null && [ "$base" = qscpd ]; then echo "$name did not stop on SIGTERM" >&2; fi
	rm -f "$run/pid"
	exit ;;
*) echo "unknown action $what" >&2; exit 2 ;;
esac

if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
	echo "port $port is in use: stop the other program first" >&2
	exit 1
fi
mkdir -p "$run"
cp "$PEERS/cert.pem" "$PEERS/key.pem" "$run/"
cat "$run/cert.pem" "$run/key.pem" > "$run/both.pem"
echo bench > "$run/motd.txt"
auth=internal_plain mam='' mucmam=''
case $name in
	*+hashed*) auth=internal_hashed ;;
	*+mam*) mam=', "mam"' mucmam='modules_enabled = { "muc_mam" } muc_log_by_default = true' ;;
esac
put() { # put FILE [FOLDER]
	sed -e "s,@RUN@,$run,g" -e "s/@AUTH@/$auth/" -e "s/@MAM@/$mam/" -e "s/@MUCMAM@/$mucmam/" \
		"${2:-$here/peers}/$1" > "$run/$1"
}
# Accounts of qscpd: created once and copied at each start, so that each run has a fresh store.
# An older checkout has its own configuration and script, as their form may differ.
accounts() {
	if [ ! -f "$run/seed/qscpd.db" ] || [ -n "$(find "$checkout/qscpd/store" "$checkout/bench/accounts.py" -name '*.py' -newer "$run/seed/qscpd.db")" ]; then
		rm -rf "$run/seed"
		"$python" "$checkout/bench/accounts.py" "$run/seed/qscpd.db" 5000
	fi
	rm -rf "$run/store"
	cp -r "$run/seed" "$run/store"
}
cd "$run"
[ "$base" != qscpd ] || export PYTHONPATH=$checkout
ulimit -n 20000 2>/dev/null || ulimit -n "$(ulimit -Hn)"
case $base in
qscpd)     put qscpd.yaml "$checkout/bench/peers"; chmod 600 key.pem both.pem; rm -f sessions.log
           case $(stat -f -c %T .) in tmpfs|ramfs) echo "$run is not on a disk, so syncs cost nothing: set PEERS to a folder on a disk" >&2 ;; esac
           accounts
           cmd=("$python" -c "from qscpd.cli import main; main()" run -c "$run/qscpd.yaml") ;;
floor)     cmd=("$PEERS/floor" cert.pem key.pem "$port")
           case $name in *+log*) cmd+=("$run/log") ;; esac ;;
ngircd)    put ngircd.conf;      cmd=(ngircd -n -f "$run/ngircd.conf") ;;
inspircd)  put inspircd.conf;    cmd=(inspircd --nofork --runasroot --config "$run/inspircd.conf") ;;
mosquitto) put mosquitto.conf;   cmd=(mosquitto -c "$run/mosquitto.conf") ;;
prosody)   put prosody.cfg.lua;  cmd=(prosody -F --config "$run/prosody.cfg.lua") ;;
ergo)      put ergo.yaml; rm -f ergo.db ergo.lock
           "$PEERS/ergo/ergo-bin" initdb --conf ergo.yaml >/dev/null 2>&1
           cmd=("$PEERS/ergo/ergo-bin" run --conf "$run/ergo.yaml") ;;
ejabberd)  put ejabberd.yml
           export EJABBERD_CONFIG_PATH="$run/ejabberd.yml" EJABBERD_LOG_PATH="$run/ejabberd.log"
           export ERL_LIBS=${ERL_LIBS:-/usr/lib/$(uname -m)-linux-gnu} HOME="$run"
           # no busy waiting, which would count as server CPU time;
           # no distribution, so no epmd and no open port
           erts=$(ls -d /usr/lib/erlang/erts-*/bin)
           export ROOTDIR=/usr/lib/erlang BINDIR=$erts EMU=beam PROGNAME=erl
           cmd=("$erts/erlexec" +K true +P 250000 +Q 65536 +sbwt none +sbwtdcpu none +sbwtdio none
                -mnesia dir "\"$run/mnesia\"" -noinput -s ejabberd) ;;
py-*)      cmd=("$PYREF" "${name#py-}" "$run/cert.pem" "$run/key.pem" "$port") ;;
esac
[ -n "$PIN" ] && cmd=(taskset -c "$PIN" "${cmd[@]}")
setsid "${cmd[@]}" > "$run/out.txt" 2>&1 < /dev/null &
echo $! > "$run/pid"
for _ in $(seq 300); do
	kill -0 "$(cat "$run/pid")" 2>/dev/null || { tail -5 "$run/out.txt" >&2; exit 1; }
	if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then sleep 0.5; exit 0; fi
	sleep 0.1
done
echo "$name does not listen on port $port; see $run/out.txt" >&2
exit 1
