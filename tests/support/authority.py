"""A throw-away authority with a server certificate for the loopback."""

from pathlib import Path

from qscpd.setup.pki import AuthorityFiles, make_authority, make_server_certificate

__all__ = ["make_local_authority"]


def make_local_authority(directory: Path) -> AuthorityFiles:
    """Make a certificate authority and a server certificate in a directory; return their files."""
    files = AuthorityFiles(directory)
    make_authority(files)
    make_server_certificate(files, ["localhost", "127.0.0.1"])
    return files
