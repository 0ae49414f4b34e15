"""The server's TLS engine against a client's `SSLObject`, in memory."""

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qscpd
from qscpd.config.model import TlsConfig
from qscpd.errors import ConfigError
from qscpd.net.tls import TlsEngine, TlsError, load_pair
from qscpd.setup.pki import AuthorityFiles
from tests.support.programs import unmeasured
from tests.support.waiting import PATIENCE_S
from tests.support.wire import TlsClient, client_context


@pytest.fixture(scope="session")
def context(authority: AuthorityFiles) -> ssl.SSLContext:
    """The daemon's TLS context."""
    return load_pair(TlsConfig(authority.certificate, authority.key)).context


@pytest.fixture(scope="session")
def trusting(authority: AuthorityFiles) -> ssl.SSLContext:
    """Return a client's context."""
    return client_context(authority.ca_certificate)


class Pair:
    """A client and a server in memory."""

    def __init__(self, context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
        self.server = TlsEngine(context)
        self.client = TlsClient(trusting)
        self.at_server = b""
        self.at_client = b""

    def to_server(self, data: bytes) -> None:
        """Deliver bytes, and return the server's answer."""
        self.at_server += self.server.receive(data)
        self.at_client += self.client.receive(self.server.outgoing())

    def shake_hands(self) -> None:
        """Do the handshake."""
        while not (self.server.established and self.client.established):
            self.at_client += self.client.receive(b"")
            self.to_server(self.client.outgoing())


@pytest.fixture
def pair(context: ssl.SSLContext, trusting: ssl.SSLContext) -> Pair:
    """Both ends, after the handshake."""
    made = Pair(context, trusting)
    made.shake_hands()
    return made


def test_a_handshake(pair: Pair) -> None:
    """The handshake gives TLS 1.3, our ALPN, and no session tickets."""
    assert pair.server.alpn == "qscp/1"
    assert pair.server.version == "TLSv1.3"
    assert pair.server.cipher.startswith("TLS_")
    assert pair.server.outgoing() == b""


def test_data_both_ways(pair: Pair) -> None:
    """Plaintext arrives unchanged, also if it is longer than a record."""
    for size in (1, 16384, 16385, 100_000):
        sent = os.urandom(size)
        assert pair.server.receive(pair.client.encrypt(sent)) == sent
        assert pair.client.receive(pair.server.send(sent)) == sent


def largest_record(wire: bytes) -> int:
    """Return the size of the largest TLS record, header included (RFC 8446, section 5.1)."""
    largest, at = 0, 0
    while at < len(wire):
        size = 5 + int.from_bytes(wire[at + 3 : at + 5])
        largest = max(largest, size)
        at += size
    return largest


def test_openssl_gets_little_at_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL gets 1 KiB at once, so that its buffers stay small; 4 KiB on a connection with much data."""
    assert largest_record(pair.server.send(bytes(100_000))) == 1024 + 22
    received: list[bytes] = []

    def receive(_: TlsEngine, data: bytes) -> bytes:
        received.append(data)
        return b""

    with monkeypatch.context() as patch:
        patch.setattr(TlsEngine, "_receive", receive)
        pair.server.receive(bytes(100_000))
    assert (max(map(len, received)), sum(map(len, received))) == (1024, 100_000)
    for _ in range(20):
        pair.server.send(bytes(100_000))
    assert largest_record(pair.server.send(bytes(100_000))) == 4096 + 22


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_bytes_that_trickle_in(context: ssl.SSLContext, trusting: ssl.SSLContext, size: int) -> None:
    """The handshake and the data behind it can be cut anywhere."""
    pair = Pair(context, trusting)

    def trickle(data: bytes) -> None:
        for place in range(0, len(data), size):
            pair.to_server(data[place : place + size])

    while not pair.server.established:
        pair.client.receive(b"")
        trickle(pair.client.outgoing())
    trickle(pair.client.encrypt(b"first") + pair.client.encrypt(b"second") + pair.client.close())
    assert pair.at_server == b"firstsecond"
    assert pair.server.peer_closed


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_every_cut_of_a_stream_gives_the_same(
    context: ssl.SSLContext, trusting: ssl.SSLContext, data: st.DataObject
) -> None:
    """Records of any size, cut anywhere, give the same plaintext."""
    pair = Pair(context, trusting)
    pair.shake_hands()
    parts = data.draw(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
    wire = b"".join(pair.client.encrypt(part) for part in parts)
    places = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    for begin, end in zip([0, *places], [*places, len(wire)], strict=True):
        pair.to_server(wire[begin:end])
    assert pair.at_server == b"".join(parts)


def test_the_first_data_may_come_with_the_handshake(
    context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """A client's Finished and its first record are processed in one read."""
    pair = Pair(context, trusting)
    pair.client.receive(b"")
    pair.to_server(pair.client.outgoing())
    assert pair.client.established
    pair.to_server(pair.client.outgoing() + pair.client.encrypt(b"early bird"))
    assert (pair.server.established, pair.at_server) == (True, b"early bird")


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100], ids=["http", "zeros"])
def test_input_other_than_tls_is_an_error(context: ssl.SSLContext, garbage: bytes) -> None:
    """Input other than TLS raises, and there is no answer."""
    engine = TlsEngine(context)
    with pytest.raises(TlsError):
        engine.receive(garbage)
    assert engine.outgoing() == engine.close() == b""


def test_a_broken_handshake_is_answered_by_an_alert(context: ssl.SSLContext) -> None:
    """An invalid record raises, and an alert is ready to send."""
    engine = TlsEngine(context)
    with pytest.raises(TlsError):
        engine.receive(b"\x16\x03\x01\x00\x05" + b"\xff" * 5)
    assert engine.outgoing()[:1] == b"\x15"  # content type alert, RFC 8446 section 5.1
    assert engine.close() == b""


def test_tls_1_2_is_answered_by_an_alert(context: ssl.SSLContext, authority: AuthorityFiles) -> None:
    """A client without TLS 1.3 gets an alert."""
    old = client_context(authority.ca_certificate)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    pair = Pair(context, old)
    pair.client.receive(b"")
    with pytest.raises(TlsError, match=r"(?i)protocol"):
        pair.to_server(pair.client.outgoing())
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        pair.client.receive(pair.server.outgoing())


def test_a_changed_record_is_answered_by_an_alert(pair: Pair) -> None:
    """A flipped bit is detected, and answered by an alert."""
    record = bytearray(pair.client.encrypt(b"hello"))
    record[-1] ^= 1
    # OpenSSL 3.2 and newer say the second.
    with pytest.raises(TlsError, match=r"(?i)bad.record.mac|record.layer.failure"):
        pair.server.receive(bytes(record))
    with pytest.raises(ssl.SSLError, match=r"(?i)bad record mac"):
        pair.client.receive(pair.server.outgoing())
    with pytest.raises(TlsError):
        pair.server.send(b"too late")


def test_a_client_without_alpn_gets_none(context: ssl.SSLContext, authority: AuthorityFiles) -> None:
    """The handshake succeeds, and the negotiated protocol is None."""
    pair = Pair(context, client_context(authority.ca_certificate, ()))
    pair.shake_hands()
    assert pair.server.alpn is None


def test_the_peers_close_notify_is_seen_once_all_data_is_there(pair: Pair) -> None:
    """`close_notify` behind the last record is detected, and answers can still be sent."""
    assert pair.server.receive(pair.client.encrypt(b"last words") + pair.client.close()) == b"last words"
    assert pair.server.peer_closed
    assert pair.client.receive(pair.server.send(b"and mine")) == b"and mine"
    pair.client.receive(pair.server.close())
    assert pair.client.closed


def test_our_close_notify_is_sent_once(pair: Pair) -> None:
    """A second close sends nothing."""
    last = pair.server.close()
    assert last
    assert pair.server.close() == b""
    pair.client.receive(last)
    assert pair.client.closed


def test_a_connection_can_be_closed_in_the_middle_of_the_handshake(
    context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """Closing during the handshake sends and raises nothing."""
    assert TlsEngine(context).close() == b""
    pair = Pair(context, trusting)
    pair.client.receive(b"")
    pair.server.receive(pair.client.outgoing())
    pair.server.outgoing()
    pair.server.close()
    with pytest.raises(TlsError):
        TlsEngine(context).send(b"too early")


def test_a_pair_that_does_not_fit_is_refused(authority: AuthorityFiles, tmp_path: Path) -> None:
    """A key that does not match its certificate is refused before listening."""
    with pytest.raises(ConfigError, match=r"nothing\.pem"):
        load_pair(TlsConfig(tmp_path / "nothing.pem", authority.key))
    with pytest.raises(ConfigError):
        load_pair(TlsConfig(authority.ca_certificate, authority.key))


_GROUPS = """
import sys
from pathlib import Path
import qscpd  # points OpenSSL at its configuration
from qscpd.config.model import TlsConfig
from qscpd.net.tls import TlsEngine, TlsError, load_pair
engine = TlsEngine(load_pair(TlsConfig(Path(sys.argv[1]), Path(sys.argv[2]))).context)
try:
    engine.receive(sys.stdin.buffer.read())
except TlsError as error:
    print(error)
else:
    print("fine")
sys.stdout.flush()
sys.stdout.buffer.write(engine.outgoing()[:1])
"""


@pytest.mark.parametrize(
    ("curve", "good"), [("X25519", True), ("prime256v1", True), ("secp384r1", True), ("secp521r1", False)]
)
def test_only_three_groups_are_spoken(authority: AuthorityFiles, curve: str, good: bool) -> None:
    """X25519, P-256 and P-384 are accepted; a client with only P-521 gets an alert."""
    context = client_context(authority.ca_certificate)
    context.set_ecdh_curve(curve)
    client = TlsClient(context)
    client.receive(b"")
    environment = {name: value for name, value in unmeasured().items() if name != "OPENSSL_CONF"}
    done = subprocess.run(
        [sys.executable, "-c", _GROUPS, authority.certificate, authority.key],
        input=client.outgoing(),
        stdout=subprocess.PIPE,
        check=True,
        cwd=Path(qscpd.__file__).parents[1],
        env=environment,
        timeout=PATIENCE_S,
    )
    said, _, first = done.stdout.partition(b"\n")
    assert (said == b"fine") is good, said
    assert first == (b"\x16" if good else b"\x15")
