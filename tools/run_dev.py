"""Run a server from a checkout, and print how to connect to it.

`make run` calls this once the project is installed. It makes a private CA, a server certificate and a
configuration on first use, and the accounts of `var/demo-accounts` when one is missing. It prints what to
type in other terminals. Then this process becomes the daemon.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from qscp import DEFAULT_PORT
from qscpd.config import ListenAddress, load_config

_BIN: Final = Path(sys.executable).parent
_CONFIG: Final = Path("config/qscpd.yaml")
_CA: Final = Path("certs/ca.pem")
_ACCOUNTS: Final = Path("var/demo-accounts")
_NAMES: Final = ("alice", "bob")


def _qscpd(*arguments: str) -> str:
    """Run a command of the daemon and return what it printed; its errors end this script."""
    done = subprocess.run([_BIN / "qscpd", *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def _kept_passwords() -> dict[str, str]:
    """Return name and password of the accounts that an earlier run made."""
    if not _ACCOUNTS.exists():
        return {}
    pairs = (line.split() for line in _ACCOUNTS.read_text(encoding="utf-8").splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == len(("name", "password"))}


def _keep_passwords(passwords: dict[str, str]) -> None:
    """Write the passwords to a file that only this user can read."""
    _ACCOUNTS.parent.mkdir(exist_ok=True)
    _ACCOUNTS.touch(mode=0o600)
    _ACCOUNTS.write_text(
        "".join(f"{name} {password}\n" for name, password in passwords.items()), encoding="utf-8"
    )


def _demo_passwords() -> dict[str, str]:
    """Return names and passwords that work; make accounts and passwords that are missing."""
    existing = {account["name"] for account in json.loads(_qscpd("listusers", "--json"))}
    kept = _kept_passwords()
    passwords: dict[str, str] = {name: kept[name] for name in _NAMES if name in kept and name in existing}
    for name in _NAMES:
        if name in passwords:
            continue
        # The file or the account was deleted: either way, make a new password.
        command = ("passwd", name) if name in existing else ("adduser", name, "--reuse-name")
        passwords[name] = _qscpd(*command, "--generate").strip()
    _keep_passwords(passwords)
    return passwords


def local_server(listen: Sequence[ListenAddress]) -> ListenAddress:
    """Return an address of the server for clients on this machine."""
    for version, host in ((4, "localhost"), (6, "::1")):
        for entry in listen:
            near: set[int] = {ip.version for ip in entry.addresses if ip.is_loopback or ip.is_unspecified}
            if entry.host == "localhost" or version in near:
                return ListenAddress(host, entry.port)
    return listen[0]


def _invitation(passwords: dict[str, str]) -> str:
    """Return what to type in two other terminals."""
    directory = shlex.quote(str(Path.cwd()))
    client = f"{_BIN.relative_to(Path.cwd())}/qscp-client --ca {_CA}"
    server = local_server(load_config(_CONFIG).config.server.listen)
    if server != ListenAddress("localhost", DEFAULT_PORT):
        client += f" --server {shlex.quote(str(server))}"
    lines = ["", "Open two other terminals and type (or paste) in each:"]
    for name in _NAMES:
        lines += [
            "",
            f"    cd {directory} && {client} --user {name}",
            f"    password: {passwords[name]}",
        ]
    lines += ["", "Ctrl-C here stops the server. Accounts and messages stay for the next `make run`.", ""]
    return "\n".join(lines)


def _main() -> None:
    os.environ["QSCPD_CONFIG"] = str(_CONFIG)
    if not _CONFIG.exists():
        made = _qscpd("init", "--dev").splitlines()
        print(*(line for line in made if line.startswith("made")), sep="\n")
    print(_invitation(_demo_passwords()), flush=True)
    os.execv(_BIN / "qscpd", [str(_BIN / "qscpd"), "run"])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    try:
        _main()
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell reports it
