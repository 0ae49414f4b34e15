"""Malformed input: one `error`, then the end of the connection."""

import json

import pytest

from tests.support.daemon import PASSWORD, Daemon
from tests.support.wire import Frame, Wires, chat

AUTH = {"type": "auth", "user": "alice", "password": PASSWORD}
BYE = b'{"type":"bye"}\n'
RESUME = {"type": "resume", "positions": []}
POSITION = {"conversation": "c1", "seq": 1}


def line(frame: Frame, **changes: object) -> bytes:
    """Return a frame's line, with some fields changed."""
    return json.dumps({**frame, **changes}).encode() + b"\n"


BEFORE_LOGIN = {
    "limit + 1": (b'{"type":"ping"}'.ljust(4097) + b"\n", "line_too_long"),
    "limit + 1 without an end": (b"x" * 4097, "line_too_long"),
    "not UTF-8": (b'{"type":"auth","user":"\xff\xfe","password":"x"}\n', "not_utf8"),
    "not UTF-8 in an unknown field": (line(AUTH)[:-2] + b',"x":"\xff"}\n', "not_utf8"),
    "not JSON": (b"GET / HTTP/1.1\n", "not_json"),
    "half of a pair": (b'{"type":"auth","user":"\\ud800","password":"x"}\n', "not_json"),
    "deep": (b"[" * 4000 + b"\n", "not_json"),
    "empty line": (b"\n", "not_json"),
    "array": (b"[]\n", "not_an_object"),
    "string": (b'"auth"\n', "not_an_object"),
    "no type": (b"{}\n", "unknown_type"),
    "unknown type": (b'{"type":"dance"}\n', "unknown_type"),
    "type is a number": (b'{"type":1}\n', "unknown_type"),
    "server's frame": (b'{"type":"auth_ack"}\n', "unknown_type"),
    "user is a number": (line(AUTH, user=1), "bad_field"),
    "user is null": (line(AUTH, user=None), "bad_field"),
    "password is a list": (line(AUTH, password=[]), "bad_field"),
    "client is true": (line(AUTH, client=True), "bad_field"),
    "protocol is text": (line(AUTH, protocol="1"), "bad_field"),
    "protocol is one": (line(AUTH, protocol=[1]), "bad_field"),
    "protocol is negative": (line(AUTH, protocol=[-1, 1]), "bad_field"),
    "device is no id": (line(AUTH, device="laptop"), "bad_field"),
    "features is an object": (line(AUTH, features={}), "bad_field"),
    "no password": (b'{"type":"auth","user":"alice"}\n', "bad_field"),
    "chat before login": (line(chat("bob", "x")), "not_logged_in"),
    "bye before login": (BYE, "not_logged_in"),
}
AFTER_LOGIN = {
    "limit + 1": (b'{"type":"ping"}'.ljust(65537) + b"\n", "line_too_long"),
    "limit + 1 without an end": (b"x" * 65537, "line_too_long"),
    "not UTF-8": (b'{"type":"chat","to":"bob","body":"\xc0\x80","id":"x"}\n', "not_utf8"),
    "not JSON": (b"{'type':'ping'}\n", "not_json"),
    "two objects in a line": (b'{"type":"ping"}{"type":"ping"}\n', "not_json"),
    "array": (b'[{"type":"ping"}]\n', "not_an_object"),
    "unknown type": (b'{"type":"dance"}\n', "unknown_type"),
    "unknown field": (b'{"type":"ping","x":1}\n', "unknown_field"),
    "sender in a message": (line(chat("bob", "x"), **{"from": "carol"}), "unknown_field"),
    "to is a list": (line(chat("bob", "x"), to=["bob"]), "bad_field"),
    "body is a number": (line(chat("bob", "x"), body=1), "bad_field"),
    "id is a number": (line(chat("bob", "x"), id=1), "bad_field"),
    "no id": (b'{"type":"chat","to":"bob","body":"x"}\n', "bad_field"),
    "status is unknown": (b'{"type":"presence","status":"busy"}\n', "bad_field"),
    "text is null": (b'{"type":"presence","status":"away","text":null}\n', "bad_field"),
    "resume without positions": (b'{"type":"resume"}\n', "bad_field"),
    "too many positions": (line(RESUME, positions=[POSITION] * 501), "bad_field"),
    "position without a seq": (line(RESUME, positions=[{"conversation": "c1"}]), "bad_field"),
    "unknown field of a position": (line(RESUME, positions=[{**POSITION, "x": 1}]), "unknown_field"),
    "negative seq": (b'{"type":"read","conversation":"c1","seq":-1}\n', "bad_field"),
    "seq is half": (b'{"type":"received","conversation":"c1","seq":1.5}\n', "bad_field"),
    "seq is huge": (b'{"type":"received","conversation":"c1","seq":9007199254740993}\n', "bad_field"),
    "no limit": (b'{"type":"history","conversation":"c1","limit":0}\n', "bad_field"),
    "limit too high": (b'{"type":"search","query":"x","limit":201}\n', "bad_field"),
    "query too long": (line({"type": "search", "query": "x" * 201}), "bad_field"),
    "login twice": (line(AUTH), "already_logged_in"),
}


def cases(table: dict[str, tuple[bytes, str]]) -> list[object]:
    """Return the rows of a table as named parameters."""
    return [pytest.param(*row, id=name) for name, row in table.items()]


@pytest.mark.parametrize(("sent", "code"), cases(BEFORE_LOGIN))
async def test_before_login(daemon: Daemon, wires: Wires, sent: bytes, code: str) -> None:
    """Malformed input before login gets one `error` and ends the connection; a later `auth` is ignored."""
    wire = await wires.connect(daemon)
    wire.send_plaintext(sent + line(AUTH))
    frames = await wire.rest()
    assert [(frame["type"], frame["code"]) for frame in frames] == [("error", code)]
    assert "ref" not in frames[0]
    assert wire.tls.closed


@pytest.mark.parametrize(("sent", "code"), cases(AFTER_LOGIN))
async def test_after_login(daemon: Daemon, wires: Wires, sent: bytes, code: str) -> None:
    """Malformed input after login gets one `error` and ends the session; a later message is ignored."""
    alice, bob = await wires.login(daemon, "alice", "bob")
    alice.send_plaintext(sent + line(chat("bob", "from the tail")))
    ends = [frame for frame in await alice.rest() if frame["type"] not in ("presence", "bye")]
    assert [(frame["type"], frame["code"]) for frame in ends] == [("error", code)]
    assert alice.tls.closed
    await alice.close()
    assert "chat" not in [frame["type"] for frame in await bob.bye()]


async def test_a_frame_after_bye(daemon: Daemon, wires: Wires) -> None:
    """A frame between `bye` and its answer is an error; messages before it are delivered."""
    alice, bob = await wires.login(daemon, "alice", "bob")
    alice.send(chat("bob", "before"), {"type": "bye"}, chat("bob", "after"))
    ends = [frame for frame in await alice.rest() if frame["type"] != "presence"]
    assert [(frame["type"], frame["code"]) for frame in ends] == [("error", "misplaced")]
    await alice.close()
    assert (await bob.receive_type("chat"))["body"] == "before"
    assert "chat" not in [frame["type"] for frame in await bob.bye()]


async def test_a_line_of_exactly_the_limit_is_fine(daemon: Daemon, wires: Wires) -> None:
    """A line can have 4096 bytes before the login and 65536 after it; a carriage return is white space."""
    wire = await wires.connect(daemon)
    wire.send_plaintext(line(AUTH).strip().ljust(4096) + b"\n")
    await wire.receive_type("auth_ack")
    wire.send_plaintext(b'{"type":"ping"}'.ljust(65535) + b"\r\n")
    await wire.receive_type("pong")
    await wire.bye()


async def test_input_that_trickles_in(daemon: Daemon, wires: Wires) -> None:
    """A frame can arrive byte by byte, each in a record of its own."""
    wire = await wires.connect(daemon)
    for byte in line(AUTH):
        wire.send_plaintext(bytes([byte]))
    await wire.receive_type("auth_ack")
    await wire.bye()


async def test_a_bad_away_text_does_not_end_the_session(daemon: Daemon, wires: Wires) -> None:
    """A bad away text gets an `error` with `ref`, and the session goes on."""
    (wire,) = await wires.login(daemon, "alice")
    wire.send({"type": "presence", "status": "away", "text": "two\nlines"})
    error = await wire.receive_type("error")
    assert (error["code"], error["ref"]) == ("bad_status_text", "presence")
    wire.send({"type": "presence", "status": "away", "text": "lunch"})
    assert await wire.receive_type("presence_ack") == {
        "type": "presence_ack",
        "status": "away",
        "text": "lunch",
    }
    await wire.bye()
