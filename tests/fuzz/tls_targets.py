"""Fuzz target for the daemon's TLS: bytes before, during and after a handshake."""

import contextlib
import functools
import ssl
from pathlib import Path
from typing import Final, NamedTuple

from qscpd.config import TlsConfig
from qscpd.net.tls import TlsEngine, TlsError, load_pair
from qscpd.setup.pki import AuthorityFiles, make_authority, make_server_certificate
from tests.support.memory import memory_folder
from tests.support.wire import TlsClient, client_context

__all__ = ["tls"]

_OUTPUT_LIMIT: Final = 64 * 1024
"""Most bytes that the server answers before a login: certificate and handshake are some 2 KiB."""


def tls(data: bytes) -> None:
    """Feed TLS with bytes that a client did not make, at any point: they are an error, or wait for more.

    The first byte says how far the handshake goes before, the second how the rest is cut.
    """
    stage, cut, rest = data[:1], data[1:2], data[2:]
    engine = TlsEngine(_contexts().server)
    client = TlsClient(_contexts().client)
    with contextlib.suppress(ssl.SSLError):
        client.receive(b"")
    step = sum(stage) % 4
    if step:
        _receive(engine, client.outgoing()[: None if step > 1 else 100])
    if step > 1:
        client.receive(engine.outgoing())
    if step > 2:
        _receive(engine, client.outgoing())
        assert engine.established
        _check_plaintext(engine, client, rest)
    size = sum(cut) + 1
    for start in range(0, len(rest), size):
        if not _receive(engine, rest[start : start + size]):
            break
    assert len(engine.outgoing()) <= _OUTPUT_LIMIT
    assert len(engine.close()) <= _OUTPUT_LIMIT


def _receive(engine: TlsEngine, data: bytes) -> bool:
    """Feed bytes; return whether the connection is still good."""
    try:
        plaintext = engine.receive(data)
    except TlsError:
        return False
    assert not plaintext
    return not engine.peer_closed


def _check_plaintext(engine: TlsEngine, client: TlsClient, text: bytes) -> None:
    """Send a text properly, in both directions: it comes as it was."""
    if text:
        assert engine.receive(client.encrypt(text)) == text
        assert client.receive(engine.send(text)) == text


class _Contexts(NamedTuple):
    server: ssl.SSLContext
    client: ssl.SSLContext


@functools.cache
def _contexts() -> _Contexts:
    with memory_folder() as name:
        files = AuthorityFiles(Path(name))
        make_authority(files)
        make_server_certificate(files, ["localhost"])
        server = load_pair(TlsConfig(certificate=files.certificate, key=files.key)).context
        return _Contexts(server, client_context(files.ca_certificate))
