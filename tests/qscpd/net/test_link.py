"""A link over a transport double: deadlines, bounded output and graceful close."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from qscpd.config.model import Config, LimitsConfig, TlsConfig
from qscpd.net.address_share import share_of
from qscpd.net.admission import Visitor
from qscpd.net.link import HIGH_WATER, Link, LinkSession
from qscpd.net.pause import Pause
from qscpd.net.peer_log import PeerLog
from qscpd.net.tls import load_pair
from qscpd.setup.pki import AuthorityFiles
from tests.support.clock import in_virtual_time
from tests.support.wire import TlsClient, client_context


class Wire(asyncio.Transport):
    """A transport that buffers written bytes until the test takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.link: Link
        self.reading = True
        self.ended = ""
        self.eof = False
        self.full = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return the peer's address."""
        return ("192.0.2.7", 40000) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Record the limits."""
        assert (high, low) == (HIGH_WATER, None)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Buffer it."""
        assert not self.eof
        self.written += data
        if len(self.written) > HIGH_WATER and not self.full:
            self.full = True
            self.link.pause_writing()

    def take(self, size: int | None = None) -> bytes:
        """Let the peer receive some of it."""
        taken = bytes(self.written[:size])
        del self.written[: len(taken)]
        if self.full and len(self.written) <= HIGH_WATER // 4:
            self.full = False
            self.link.resume_writing()
        return taken

    def get_write_buffer_size(self) -> int:
        """Return the number of unsent bytes."""
        return len(self.written)

    def is_closing(self) -> bool:
        """Return whether it was closed."""
        return bool(self.ended)

    def can_write_eof(self) -> bool:
        """Return True, as TCP does."""
        return True

    def write_eof(self) -> None:
        """Record it."""
        self.eof = True

    def close(self) -> None:
        """Record it."""
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        """Record it."""
        self.ended = "aborted"

    def pause_reading(self) -> None:
        """Record it."""
        self.reading = False

    def resume_reading(self) -> None:
        """Record it."""
        self.reading = True


class RecordingSession(LinkSession):
    """A session that records its calls.

    Attributes:
        calls: Calls in order; plaintext as text.
        on_eof: Callback at the end of the stream.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.on_eof: Callable[[], None] = lambda: None

    def receive(self, plaintext: bytes) -> None:
        """Record it."""
        self.calls.append(plaintext.decode())

    def receive_eof(self) -> None:
        """Record it."""
        self.calls.append("<eof>")
        self.on_eof()

    def writable(self) -> None:
        """Record it."""
        self.calls.append("<writable>")

    def lost(self, reason: str) -> None:
        """Record it."""
        self.calls.append(f"<lost {reason}>")

    def tick(self, now: float) -> None:
        """Record it."""
        del now
        self.calls.append("<tick>")


class Bench:
    """A link between a transport and a session, with a client at the other end."""

    def __init__(self, authority: AuthorityFiles, alpn: tuple[str, ...] = ("qscp/1",)) -> None:
        self.context: ssl.SSLContext = load_pair(TlsConfig(authority.certificate, authority.key)).context
        self.config = replace(Config(), limits=LimitsConfig(output_stall_s=10, ping_after_s=30))
        self.session = RecordingSession()
        self.forgotten = 0
        self.room = True
        self.client = TlsClient(client_context(authority.ca_certificate, alpn))
        self.loop = asyncio.get_running_loop()
        self.peer_log = PeerLog("always", 10)
        self.link = Link(self, self.loop, Visitor("192.0.2.7", share_of("192.0.2.7")))
        self.wire = Wire()
        self.wire.link = self.link
        self.link.connection_made(self.wire)

    def admit(self, link: Link) -> bool:
        """Return whether the test has room."""
        del link
        return self.room

    def authenticated(self, link: Link) -> None:
        """Do nothing: nothing here logs in."""

    def schedule_handshake(self, link: Link) -> None:
        """Continue the handshake at once."""
        link.proceed()

    def open_session(self, link: Link) -> RecordingSession:
        """Return the session of the bench."""
        assert link is self.link
        return self.session

    def forget(self, link: Link) -> None:
        """Count it."""
        del link
        self.forgotten += 1

    def shake_hands(self) -> None:
        """Do the handshake."""
        self.client.receive(b"")
        self.link.data_received(self.client.outgoing())
        self.client.receive(self.wire.take())
        self.link.data_received(self.client.outgoing())

    def say(self, text: str) -> None:
        """Let the client send a text."""
        self.link.data_received(self.client.encrypt(text.encode()))

    async def ticks(self, seconds: int) -> None:
        """Let time pass, tick by tick."""
        for _ in range(seconds):
            await asyncio.sleep(1)
            if not self.wire.ended:
                self.link.tick(self.loop.time())

    def calls(self) -> list[str]:
        """Return the session's calls without ticks."""
        return [each for each in self.session.calls if each != "<tick>"]


Test = Callable[[Bench], Coroutine[Any, Any, None]]


@pytest.fixture
def bench(authority: AuthorityFiles) -> Callable[[Test], None]:
    """Run a test with a bench in virtual time."""

    def run(test: Test) -> None:
        async def prepared() -> None:
            await test(Bench(authority))

        in_virtual_time(prepared())

    return run


Run = Callable[[Test], None]


def test_plaintext_goes_both_ways(bench: Run) -> None:
    """The session gets the client's plaintext, and the client the session's."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        bench.say("hello")
        assert bench.calls() == ["hello"]
        bench.link.write(b"hi")
        assert bench.client.receive(bench.wire.take()) == b"hi"
        assert bench.link.remote == ("192.0.2.7", 40000)
        assert bench.link.bytes_in > 5 < bench.link.bytes_out

    bench(test)


@pytest.mark.parametrize("sent", [0, 1, 100])
def test_a_handshake_has_ten_seconds(bench: Run, sent: int) -> None:
    """No handshake, a partial one and a trickling one all end after ten seconds."""

    async def test(bench: Bench) -> None:
        bench.client.receive(b"")
        hello = bench.client.outgoing()
        bench.link.data_received(hello[:sent])
        await bench.ticks(5)
        bench.link.data_received(hello[sent : sent + 1])
        await bench.ticks(4)
        assert bench.wire.ended == ""
        await bench.ticks(1)
        assert bench.wire.ended == "aborted"

    bench(test)


def test_a_finished_handshake_has_no_deadline(bench: Run) -> None:
    """After the handshake the link itself has no deadline."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        await bench.ticks(600)
        assert bench.wire.ended == ""
        assert bench.session.calls == ["<tick>"] * 600

    bench(test)


def test_output_that_the_peer_does_not_read(bench: Run) -> None:
    """A link ends after ten seconds in which the peer reads nothing; any read extends that."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        bench.link.write(b"x" * 100_000)
        for _ in range(10):
            await bench.ticks(9)
            bench.wire.take(1)
        assert bench.wire.ended == ""
        await bench.ticks(12)
        assert bench.wire.ended == "aborted"
        bench.link.connection_lost(None)
        assert bench.calls()[-1] == "<lost stalled>"

    bench(test)


def test_much_output_does_not_end_a_link(bench: Run) -> None:
    """However much is written, a peer that reads a little of it now and then is not disconnected."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        for _ in range(8):
            bench.link.write(b"x" * 1024 * 1024)
            await bench.ticks(9)
            bench.wire.take(1)
        assert bench.wire.ended == ""

    bench(test)


def test_the_session_is_notified_when_congestion_ends(bench: Run) -> None:
    """Congestion begins above the high-water mark, and ends well below it with a call of `writable`."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        bench.link.write(b"x" * (HIGH_WATER + 1))
        congested = bench.link.congested
        bench.wire.take(1000)
        assert bench.calls() == []
        bench.wire.take()
        assert (bench.calls(), congested, bench.link.congested) == (["<writable>"], True, False)

    bench(test)


def test_a_graceful_close(bench: Run) -> None:
    """The output, `close_notify` and the end of the stream are sent; then input is discarded to its end."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        bench.link.pause_reading(Pause.REQUEST)
        bench.link.write(b"last words")
        bench.link.close("bye")
        assert (bench.wire.eof, bench.wire.reading, bench.wire.ended) == (True, True, "")
        assert bench.client.receive(bench.wire.take()) == b"last words"
        assert bench.client.closed
        bench.say("too late")
        bench.link.write(b"too late")
        bench.link.close("again")
        assert bench.calls() == []
        assert bench.link.eof_received() is False
        bench.link.connection_lost(None)
        assert bench.calls() == ["<lost bye>"]

    bench(test)


def test_an_end_is_not_waited_for_for_ever(bench: Run) -> None:
    """Lingering ends after five seconds, and the first reason stays."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        bench.link.close("bye")
        await bench.ticks(4)
        assert bench.wire.ended == ""
        await bench.ticks(1)
        assert bench.wire.ended == "aborted"
        bench.link.abort("shutdown")
        bench.link.connection_lost(None)
        assert bench.calls() == ["<lost bye>"]

    bench(test)


@pytest.mark.parametrize("fin", [True, False])
def test_the_end_of_the_stream_is_notified_once(bench: Run, fin: bool) -> None:
    """The end by `close_notify`, TCP or both is one call; later input is discarded."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        record = bench.client.encrypt(b"last words")
        bench.link.data_received(record + (b"" if fin else bench.client.close()))
        assert bench.link.eof_received() is True
        bench.link.data_received(b"nonsense")
        assert bench.calls() == ["last words", "<eof>"]
        bench.link.write(b"answer")
        assert bench.client.receive(bench.wire.take()) == b"answer"

    bench(test)


def test_there_is_no_lingering_after_the_end_of_the_stream(bench: Run) -> None:
    """After TCP's end of the stream the link closes as soon as its output is sent."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        bench.session.on_eof = lambda: bench.link.close("lost")
        bench.link.pause_reading(Pause.REQUEST)
        bench.link.eof_received()
        assert (bench.wire.ended, bench.wire.reading) == ("closed", False)

    bench(test)


def test_reading_is_not_begun_again_behind_the_end(bench: Run) -> None:
    """Reading never resumes after TCP's end of the stream, which is undefined in libuv."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        bench.link.pause_reading(Pause.REQUEST)
        bench.link.eof_received()
        bench.link.resume_reading(Pause.REQUEST)
        assert not bench.wire.reading

    bench(test)


def test_an_end_before_the_handshake_is_the_end(bench: Run) -> None:
    """Before the handshake there is no session to notify."""

    async def test(bench: Bench) -> None:
        assert bench.link.eof_received() is False
        bench.link.connection_lost(None)
        assert (bench.calls(), bench.forgotten) == ([], 1)

    bench(test)


def test_broken_tls_ends_the_session_at_once(bench: Run) -> None:
    """The peer gets the alert and time to read it; the session ends at once."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        bench.link.data_received(b"\x17\x03\x03\x00\x20" + b"\0" * 32)
        assert bench.calls() == ["<lost tls_failed>"]
        with pytest.raises(ssl.SSLError, match=r"(?i)bad record mac"):
            bench.client.receive(bench.wire.take())
        assert (bench.wire.eof, bench.wire.ended) == (True, "")
        bench.link.connection_lost(None)
        assert bench.calls() == ["<lost tls_failed>"]

    bench(test)


def test_another_protocol_is_no_session(authority: AuthorityFiles) -> None:
    """Without our ALPN there is no session, and the link closes gracefully."""

    async def test() -> None:
        bench = Bench(authority, ())
        bench.shake_hands()
        assert (bench.calls(), bench.wire.eof) == ([], True)
        bench.client.receive(bench.wire.take())
        assert bench.client.closed

    in_virtual_time(test())


def test_a_link_that_is_not_admitted_is_cut(authority: AuthorityFiles) -> None:
    """A refused link is aborted without reading or writing."""

    async def test() -> None:
        bench = Bench(authority)
        bench.room = False
        link, wire = Link(bench, bench.loop, bench.link.visitor), Wire()
        link.connection_made(wire)
        link.data_received(b"\x16\x03\x01")
        link.connection_lost(None)
        assert (wire.ended, bytes(wire.written), bench.forgotten) == ("aborted", b"", 1)

    in_virtual_time(test())


def test_much_input_is_decrypted_in_parts(bench: Run) -> None:
    """Input is decrypted as far as a turn goes; the rest waits until the session takes more."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        records = b"".join(bench.client.encrypt(b"x") for _ in range(10_000))
        bench.link.data_received(records)
        (first,) = bench.calls()
        assert 0 < len(first) < 1000
        assert len(bench.link.undecrypted) > 200_000
        bench.link.data_received(bench.client.encrypt(b"y"))  # in order, whatever waits
        while bench.link.undecrypted:
            bench.link.decrypt_more()
        assert "".join(bench.calls()) == "x" * 10_000 + "y"
        assert max(map(len, bench.calls())) <= len(first) + 1

    bench(test)


@pytest.mark.parametrize("fin", [True, False])
def test_the_end_comes_behind_what_waits(bench: Run, fin: bool) -> None:
    """The end of the stream is notified after the last part of the input before it."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        records = b"".join(bench.client.encrypt(b"x" * 1000) for _ in range(100))
        bench.link.data_received(records + (b"" if fin else bench.client.close()))
        if fin:
            assert bench.link.eof_received() is True
        assert "<eof>" not in bench.calls()
        while bench.link.undecrypted:
            bench.link.decrypt_more()
        assert bench.calls()[-1] == "<eof>"
        assert "".join(bench.calls()[:-1]) == "x" * 100_000

    bench(test)


def test_a_closed_link_drops_what_waits(bench: Run) -> None:
    """A link that is closed decrypts nothing more."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        bench.link.data_received(b"".join(bench.client.encrypt(b"x" * 1000) for _ in range(100)))
        before = bench.calls()
        bench.link.close("bye")
        assert bench.link.undecrypted == b""
        assert bench.calls() == before

    bench(test)


def test_reading_goes_on_when_no_reason_is_left(bench: Run) -> None:
    """A link is read again when the last reason is gone; the peer's silence is counted from then on."""

    async def test(bench: Bench) -> None:
        bench.shake_hands()
        bench.link.pause_reading(Pause.REQUEST)
        bench.link.pause_reading(Pause.RATE)
        await asyncio.sleep(100)
        bench.link.resume_reading(Pause.REQUEST)
        before = bench.wire.reading
        bench.link.resume_reading(Pause.RATE)
        assert (before, bench.wire.reading) == (False, True)
        assert bench.link.last_in == bench.loop.time()

    bench(test)
