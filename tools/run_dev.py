"""Serve from a checkout for trying out, and say how to talk to the server.

What `make run` does once the project is installed: on first use a private CA, a server
certificate and a configuration; the accounts of `var/demo-accounts` whenever one is missing;
each time the lines for the other terminals. Then this process becomes the daemon.
"""

import os
import secrets
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

_BIN: Final = Path(sys.executable).parent
_CONFIG: Final = Path("config/qscpd.yaml")
_CA: Final = Path("certs/ca.pem")
_ACCOUNTS: Final = Path("var/demo-accounts")
_NAMES: Final = ("alice", "bob")


def _qscpd(*arguments: str, stdin: str | None = None) -> str:
    """Run a command of the daemon and return what it printed; its errors end this script."""
    done = subprocess.run(
        [_BIN / "qscpd", *arguments], input=stdin, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def _kept_passwords() -> dict[str, str]:
    """The demo accounts made so far, or in an earlier life of this checkout."""
    if not _ACCOUNTS.exists():
        return {}
    pairs = (line.split() for line in _ACCOUNTS.read_text(encoding="utf-8").splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == len(("name", "password"))}


def _keep_passwords(passwords: dict[str, str]) -> None:
    """Write them down where only this user reads them."""
    _ACCOUNTS.parent.mkdir(exist_ok=True)
    _ACCOUNTS.touch(mode=0o600)
    _ACCOUNTS.write_text(
        "".join(f"{name} {password}\n" for name, password in passwords.items()), encoding="utf-8"
    )


def _demo_passwords() -> dict[str, str]:
    """Names and passwords that work now."""
    passwords = {name: secrets.token_urlsafe(9) for name in _NAMES} | _kept_passwords()
    existing = set(_qscpd("listusers").split())
    if not _ACCOUNTS.exists():
        # Somebody removed the file: an account without a known password helps nobody.
        for name in existing.intersection(_NAMES):
            _qscpd("passwd", name, "--password-stdin", stdin=f"{passwords[name]}\n")
    for name in sorted(set(_NAMES) - existing):
        _qscpd("adduser", name, "--password-stdin", stdin=f"{passwords[name]}\n")
    _keep_passwords(passwords)
    return passwords


def _invitation(passwords: dict[str, str]) -> str:
    """What to type in two other terminals."""
    directory = shlex.quote(str(Path.cwd()))
    client = f"{_BIN.relative_to(Path.cwd())}/qscp-client"
    lines = ["", "Open two other terminals and type (or paste) in each:"]
    for name in _NAMES:
        lines += [
            "",
            f"    cd {directory} && {client} --ca {_CA} --user {name}",
            f"    password: {passwords[name]}",
        ]
    lines += ["", "Ctrl-C here stops the server. Accounts and messages stay for the next `make run`.", ""]
    return "\n".join(lines)


def _main() -> None:
    os.environ["QSCPD_CONFIG"] = str(_CONFIG)
    if not _CONFIG.exists():
        print(_qscpd("init", "--dev"), end="")
    print(_invitation(_demo_passwords()), flush=True)
    os.execv(_BIN / "qscpd", [str(_BIN / "qscpd"), "run"])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    _main()
