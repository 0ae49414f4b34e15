#!/usr/bin/env bash
# shellcheck disable=SC2016 # what stands in single quotes is for the shell inside
#
# Boot a real systemd (PID 1 of its own pid/mount/net/cgroup namespaces) with
# systemd-nspawn on a machine whose own PID 1 is not systemd and whose cgroups
# are mounted v1/hybrid.  Root only.  Debian/Ubuntu host.
#
#   machine.sh deps                      apt-install what is needed
#   machine.sh build ROOTFS [PKG,PKG]    make a bookworm root tree (~25 s)
#   machine.sh start ROOTFS STATE [nspawn args...]
#                                            boot; STATE holds the overlay and
#                                            pid file.  Same STATE again = the
#                                            same disk (a reboot); fresh STATE =
#                                            fresh machine.  ROOTFS never changes.
#   machine.sh run STATE CMD...          run CMD inside (all namespaces)
#   machine.sh net STATE CMD...          run a HOST program in the machine's
#                                            network namespace only
#   machine.sh put STATE SRC DEST        copy a host file/dir into it
#   machine.sh stop STATE                clean poweroff (<= 30 s)
#   machine.sh crash STATE               SIGKILL PID 1: everything dies at once
#   machine.sh inspect ROOTFS STATE CMD  run CMD with $ROOT = disk of a stopped machine
set -euo pipefail
die() { echo "machine: $*" >&2; exit 2; }
cmd=${1:-}; [ -n "$cmd" ] || die "usage: see the head of this file"; shift
pidof_state() {
  local p; p=$(cat "$1/pid" 2>/dev/null) || die "not running: $1"
  [ -d "/proc/$p" ] || die "not running (pid $p gone)"
  echo "$p"
}
sweep() { # empty cgroups of machines that ended
  local m; for m in $(findmnt -rn -t cgroup2 -o TARGET); do
    find "$m" -maxdepth 8 -depth -type d -path "$m/qscp-*" -exec rmdir {} + 2>/dev/null || true; done; }
inside() { local p=$1; shift
  nsenter -t "$p" --all --wdns=/ env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"; }
case $cmd in
deps)
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    systemd-container mmdebstrap util-linux ;;
build)
  root=${1:?ROOTFS}; extra=${2:-}
  [ ! -e "$root" ] || die "$root exists"
  mmdebstrap --quiet --variant=minbase \
    --include="systemd,systemd-sysv,dbus,libpam-systemd,python3,python3-venv,procps,iproute2,ca-certificates,openssl${extra:+,$extra}" \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    bookworm "$root"
  # no resolver or hostname of this machine inside
  : > "$root/etc/resolv.conf"; echo qscp > "$root/etc/hostname"
  printf '127.0.0.1 localhost qscp\n::1 localhost\n' > "$root/etc/hosts" ;;
start)
  root=$(realpath "${1:?ROOTFS}"); state=$(realpath -m "${2:?STATE}"); shift 2
  mkdir -p "$state"/{upper,work,merged}
  if [ -f "$state/pid" ] && [ -d "/proc/$(cat "$state/pid")" ]; then die "already running"; fi
  rm -f "$state/pid"
  export ROOT=$root STATE=$state SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
  # BPF and full capabilities are let through so that IPAddressDeny= etc. work.
  setsid unshare --mount --propagation private bash -c '
    set -e
    umount -R /sys/fs/cgroup                 # only in this mount namespace
    mount -t cgroup2 none /sys/fs/cgroup
    cg=/sys/fs/cgroup/qscp-$$; mkdir -p "$cg" /run/systemd
    echo $$ > "$cg/cgroup.procs"
    mount -t overlay overlay -o "lowerdir=$ROOT,upperdir=$STATE/upper,workdir=$STATE/work" "$STATE/merged"
    exec systemd-nspawn -q -D "$STATE/merged" --boot --keep-unit --register=no \
      --machine="qscp-$$" --private-network --link-journal=no --console=pipe \
      --capability=all --system-call-filter="bpf perf_event_open add_key keyctl" "$@"
  ' nspawn "$@" </dev/null >"$state/console.log" 2>&1 &
  outer=$!
  for _ in $(seq 200); do
    # setsid may fork: find nspawn by walking children, then its child (PID 1)
    for c in $outer $(pgrep -P "$outer" || true); do
      [ "$(cat /proc/"$c"/comm 2>/dev/null)" = systemd-nspawn ] || continue
      for p in $(pgrep -P "$c" || true); do
        case "$(cat /proc/"$p"/comm 2>/dev/null)" in systemd|init) echo "$p" >"$state/pid" ;; esac
      done
    done
    if [ -s "$state/pid" ] && inside "$(cat "$state/pid")" systemctl is-system-running --wait >"$state/boot" 2>/dev/null; then break; fi
    if ! kill -0 "$outer" 2>/dev/null; then cat "$state/console.log" >&2; die "machine did not boot"; fi
    grep -qs degraded "$state/boot" && break
    sleep 0.05
  done
  [ -s "$state/pid" ] || die "no PID 1 found"
  echo "pid $(cat "$state/pid") $(cat "$state/boot")" ;;
run) p=$(pidof_state "${1:?STATE}"); shift; inside "$p" "$@" ;;
net) p=$(pidof_state "${1:?STATE}"); shift; nsenter -t "$p" --net "$@" ;;
put) p=$(pidof_state "${1:?STATE}"); tar -C "$(dirname "$2")" -cf - "$(basename "$2")" |
       inside "$p" sh -c 'mkdir -p "$1" && tar --no-same-owner -C "$1" -xf -' sh "$3" ;;
stop)
  p=$(pidof_state "${1:?STATE}"); inside "$p" systemctl poweroff || true
  for _ in $(seq 300); do [ -d "/proc/$p" ] || { rm -f "$1/pid"; sleep 0.2; sweep; echo stopped; exit 0; }; sleep 0.1; done
  kill -9 "$p"; rm -f "$1/pid"; die "did not stop in 30 s, killed" ;;
crash) p=$(pidof_state "${1:?STATE}"); kill -9 "$p"; rm -f "$1/pid"; sleep 0.2; sweep; echo crashed ;;
inspect)
  root=$(realpath "${1:?ROOTFS}"); state=$(realpath "${2:?STATE}"); shift 2
  ROOT=$root STATE=$state unshare --mount --propagation private bash -c '
    set -e; mount -t overlay overlay -o "lowerdir=$ROOT,upperdir=$STATE/upper,workdir=$STATE/work" "$STATE/merged"
    export ROOT=$STATE/merged; exec "$@"' x "$@" ;;
*) die "unknown command $cmd" ;;
esac
