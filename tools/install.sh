#!/bin/sh
# Install QSCP for the whole machine, or remove it; called by the Makefile, which sets the paths.
#
#   tools/install.sh install|uninstall
#
# Everything lives in a virtual environment of its own, $libdir, so that nothing meets the
# Python packages of the distribution. It is built beside its place and then moved there: a
# failed upgrade leaves the old installation as it was.
set -eu
: "${prefix:?}" "${sysconfdir:?}" "${bindir:?}" "${libdir:?}" "${unitdir:?}" "${sysusersdir:?}" "${tmpfilesdir:?}"

die() {
    printf '%s\n' "$@" >&2
    exit 1
}

root=${DESTDIR:-}
programs='qscpd qscp-client'
configdir=$sysconfdir/qscpd
units='qscpd.service qscpd-backup.service qscpd-backup.timer'
# Without DESTDIR it is this machine that gets an account and a configuration, not a package.
here() { [ -z "$root" ]; }
booted() { [ -d /run/systemd/system ]; }

install_environment() {
    "${PYTHON:=python3}" -c 'import sys' || die "Python is not installed; on Debian: apt-get install python3 python3-venv"
    case $("$PYTHON" -c 'import os, sys; print(os.path.realpath(sys.executable))') in
    /home/* | /root/*) die "The service can't read home directories, where this Python is: $(command -v "$PYTHON")." \
        "Name another one: make install PYTHON=/usr/bin/python3" ;;
    esac
    new=$root$libdir.new
    rm -rf "$new"
    mkdir -p "$(dirname "$new")"
    # What is compiled here would name the building place.
    PIP_NO_COMPILE=1 tools/venv.sh "$new" requirements.txt .
    # What has the path of the building place in it gets the path of the final one.
    rm -f "$new"/bin/activate* "$new"/bin/Activate* "$new/made-in"
    find "$new/bin" "$new/pyvenv.cfg" -type f -exec sed -i "s|$new|$libdir|g" {} +
    "$new/bin/python" -m compileall -q -f -s "$new" -p "$libdir" "$new/lib"
    chmod -R go=u-w "$new"
    rm -rf "$root$libdir.old"
    [ ! -e "$root$libdir" ] || mv "$root$libdir" "$root$libdir.old"
    mv "$new" "$root$libdir"
    rm -rf "$root$libdir.old"
}

# Write a file with the paths of this installation in place of the ones it was written with.
place() {
    install -d "$(dirname "$root$2")"
    sed -e "s|/usr/local/bin/qscpd |$bindir/qscpd$config_option |" "$1" >"$root$2.new"
    chmod 644 "$root$2.new"
    mv "$root$2.new" "$root$2"
}

do_install() {
    umask 022
    config_option=''
    [ "$sysconfdir" = /etc ] || config_option=" --config $configdir/qscpd.yaml"
    install_environment
    install -d "$root$bindir"
    for program in $programs; do
        ln -sf "$libdir/bin/$program" "$root$bindir/$program"
    done
    for unit in $units; do
        place "systemd/$unit" "$unitdir/$unit"
    done
    place systemd/qscpd.sysusers "$sysusersdir/qscpd.conf"
    place systemd/qscpd.tmpfiles "$tmpfilesdir/qscpd.conf"
    if here; then set_up_machine; else next_steps; fi
}

set_up_machine() {
    [ "$(id -u)" = 0 ] || die "Installed; the account and the configuration of the service need root: sudo make install"
    command -v systemd-sysusers >/dev/null || {
        echo "systemd was not found: create a system user qscpd, then see docs/installation.md."
        return
    }
    systemd-sysusers "$sysusersdir/qscpd.conf"
    systemd-tmpfiles --create "$tmpfilesdir/qscpd.conf"
    if booted; then
        systemctl daemon-reload
    fi
    backups=''
    if booted; then
        backups="Backups every night: systemctl enable --now qscpd-backup.timer"
        systemctl --quiet is-enabled qscpd-backup.timer && backups=''
    fi
    if [ ! -e "$configdir/qscpd.yaml" ]; then
        # It says what comes next.
        "$bindir/qscpd" init --keep --config "$configdir/qscpd.yaml" --certs "$configdir/certs"
    elif booted && systemctl --quiet is-active qscpd; then
        echo "Installed; the old daemon still runs. To start the new one: systemctl restart qscpd"
    else
        echo "Installed; the existing configuration was kept. To start: systemctl enable --now qscpd"
    fi
    [ -z "$backups" ] || echo "$backups"
}

next_steps() {
    cat <<STEPS
QSCP is in $root. After the package is installed, and as root:
  systemd-sysusers qscpd.conf && systemd-tmpfiles --create qscpd.conf
  qscpd init$config_option         make a private CA, a certificate and $configdir/qscpd.yaml
  systemctl daemon-reload && systemctl enable --now qscpd
  systemctl enable --now qscpd-backup.timer    a backup every night in /var/backups/qscpd
STEPS
}

do_uninstall() {
    if here && booted; then
        for unit in $units; do
            [ ! -e "$unitdir/$unit" ] || systemctl disable --now --quiet "$unit"
        done
    fi
    for program in $programs; do
        rm -f "$root$bindir/$program"
    done
    rm -rf "$root$libdir"
    for unit in $units; do
        rm -f "$root$unitdir/$unit"
    done
    rm -f "$root$sysusersdir/qscpd.conf" "$root$tmpfilesdir/qscpd.conf"
    if here && booted; then
        systemctl daemon-reload
    fi
    echo "QSCP was removed. Not removed: the system user qscpd, $configdir, /var/lib/qscpd, /var/log/qscpd"
    echo "and the backups in /var/backups/qscpd."
}

case ${1:-} in
install) do_install ;;
uninstall) do_uninstall ;;
*) die "usage: tools/install.sh install|uninstall (through make)" ;;
esac
