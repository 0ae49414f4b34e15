"""Queries of a search are plain text, whatever characters they have."""

from tests.support.daemon import StartDaemon
from tests.support.wire import Frame, Wire, Wires, chat

CONTROLS = list(map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)))
OTHERS = list(map(chr, (0x300, 0x200B, 0x202E, 0x2066, 0xFEFF, 0xFFFD, 0xFFFF, 0x1F600, 0x10FFFF)))


async def ask(wire: Wire, query: str) -> Frame:
    """Search, and return the answer."""
    wire.send({"type": "search", "query": query})
    while (frame := await wire.receive())["type"] not in ("search", "error"):
        pass
    return frame


def bodies(answer: Frame) -> list[str]:
    """Return the texts of the matches."""
    assert answer["type"] == "search", answer
    return [match["body"] for match in answer["matches"]]


async def until_found(wire: Wire, query: str, count: int) -> None:
    """Wait until a search has that many matches."""
    while len(bodies(await ask(wire, query))) < count:
        pass


async def test_control_characters_separate_words(start_daemon: StartDaemon, wires: Wires) -> None:
    """Control characters, even NUL, separate words; a query of nothing else is a `bad_query`."""
    daemon = start_daemon()
    (alice,) = await wires.login(daemon, "alice")
    alice.send(chat("bob", "hello there"), chat("bob", "there was no greeting"))
    await until_found(alice, "there", 2)
    for character in CONTROLS:
        name = f"U+{ord(character):04X}"
        for query in (
            f"hello{character}there",
            f"{character}hello",
            f"hello{character}",
            f'{character}"hello',
        ):
            assert bodies(await ask(alice, query)) == ["hello there"], (name, query)
        answer = await ask(alice, character)
        assert (answer["type"], answer["code"], answer["ref"]) == ("error", "bad_query", "search"), name


async def test_queries_with_unusual_characters_are_answered(start_daemon: StartDaemon, wires: Wires) -> None:
    """Queries with unusual characters are answered, and match no other words."""
    daemon = start_daemon()
    (alice,) = await wires.login(daemon, "alice")
    alice.send(chat("bob", "hello there"))
    await until_found(alice, "hello", 1)
    for character in OTHERS:
        for query in (f"hello{character}there", f"{character}hello", f'"{character}'):
            answer = await ask(alice, query)
            assert answer.get("code") == "bad_query" or bodies(answer) in ([], ["hello there"]), query


async def test_operators_of_the_index_are_plain_text(start_daemon: StartDaemon, wires: Wires) -> None:
    """Operators of the index's own query language are plain characters."""
    daemon = start_daemon()
    (alice,) = await wires.login(daemon, "alice")
    alice.send(chat("bob", "hello there"), chat("bob", "body NOT AND OR NEAR"))
    await until_found(alice, "body", 1)
    for query in (
        '"hello',
        'hello"',
        '""hello""',
        "'hello'",
        "hello*",
        "^hello",
        "(hello",
        "-hello",
        "+ hello",
    ):
        assert bodies(await ask(alice, query)) == ["hello there"], query
    for query in ("hello NOT there", "hello OR body", "body:hello", "hello NEAR/9 there"):
        assert bodies(await ask(alice, query)) == [], query
    assert bodies(await ask(alice, "NEAR OR NOT AND")) == ["body NOT AND OR NEAR"]
