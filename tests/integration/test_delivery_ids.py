"""The id decides before anything else, on a daemon without a network: blocks, full disk, rules, gates."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest

from qscp import frames
from qscp.errors import ErrorCode, InvalidTextError
from qscp.rooms import HistoryFrom
from qscpd.handlers import messages
from qscpd.store.base import Store
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts
from tests.support.stores import FailingStore, add_room


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """Daemon without a network, for alice, bob and carol, who are in #dev."""
    path = tmp_path / "qscpd.db"
    make_accounts(path, "alice", "bob", "carol")
    store = FailingStore(path)
    add_room(store, "#dev", "carol", "alice", "bob", history=HistoryFrom.FULL)
    async with InProcessServer(store) as opened:
        yield opened


@pytest.fixture
def store(server: InProcessServer) -> FailingStore:
    """The server's store, which fails on demand."""
    assert isinstance(server.store, FailingStore)
    return server.store


def chat(number: int, to: str = "bob", body: str = "hello") -> frames.SendChat:
    """Return a message with the id of a number."""
    return frames.SendChat(to, body, f"{number:032x}")


async def answered(server: InProcessServer, peer: InProcessPeer, *sent: frames.ClientFrame) -> list[str]:
    """Send frames; return acks by seq and nacks by code, in the order of arrival."""
    count = len(peer.frames)
    peer.send(*sent)
    await server.settle()
    short = []
    for frame in peer.frames[count:]:
        if isinstance(frame, frames.ChatAck):
            short.append(str(frame.seq))
        elif isinstance(frame, frames.ChatNack):
            short.append(frame.code)
    return short


# --- temporary refusals


async def test_a_known_id_is_answered_behind_a_block(server: InProcessServer, store: FailingStore) -> None:
    """Behind a message that the disk had no room for, stored ids are acked, refused ones refused."""
    alice = await server.visitor("alice")
    assert await answered(server, alice, chat(1), chat(2, body="")) == ["1", "body_empty"]
    store.full = True
    assert await answered(server, alice, chat(3)) == ["storage_full"]
    store.full = False
    retries = [chat(4), chat(1), chat(2, body=""), chat(1, body="other"), chat(1, "Bob"), chat(5)]
    assert await answered(server, alice, *retries) == [
        *("1", "body_empty", "id_conflict", "1"),
        *("out_of_order", "out_of_order"),
    ]
    assert await answered(server, alice, chat(3), chat(4), chat(5)) == ["2", "3", "4"]


async def test_a_known_id_is_answered_on_a_full_disk(server: InProcessServer, store: FailingStore) -> None:
    """On a full disk stored ids are acked and refused ones refused; a new refusal waits for room."""
    alice = await server.visitor("alice")
    nosuch = chat(2, "nosuch")
    assert await answered(server, alice, chat(1), nosuch) == ["1", "unknown_recipient"]
    store.full = True
    other = await server.visitor("alice")
    assert await answered(server, other, chat(1), nosuch, chat(2)) == [
        *("1", "unknown_recipient", "unknown_recipient"),
    ]
    assert await answered(server, other, chat(3, "nosuch")) == ["storage_full"]
    store.full = False
    assert await answered(server, other, chat(4, "nosuch"), chat(5)) == ["out_of_order", "2"]
    assert await answered(server, other, chat(3, "nosuch"), chat(4, "nosuch")) == ["unknown_recipient"] * 2


async def rename(server: InProcessServer, name: str) -> None:
    """Give a name to a new account."""

    def change(store: Store) -> None:
        if any(each.name == name for each in store.accounts()):
            store.delete_account(name)
        store.add_account(name, "x", reuse_name=True)

    await server.writer.perform(change)


@pytest.mark.parametrize("name", ["bob", "newbie"])
async def test_nothing_overtakes_a_refused_message_to_a_name(
    server: InProcessServer, store: FailingStore, name: str
) -> None:
    """A message to the new holder of a name does not overtake one that was refused before."""
    alice = await server.visitor("alice")
    store.full = True
    assert await answered(server, alice, chat(1, name)) == ["storage_full"]
    store.full = False
    await rename(server, name)
    assert await answered(server, alice, chat(2, name.upper()), chat(3, "carol")) == ["out_of_order", "1"]
    assert await answered(server, alice, chat(1, name), chat(2, name)) == ["1", "2"]


async def test_blocks_are_bounded(server: InProcessServer, store: FailingStore) -> None:
    """A session has a limited number of blocks, whatever names it sends to on a full disk."""
    alice = await server.visitor("alice")
    store.full = True
    names = [f"nosuch{n}" for n in range(2500)] + ["not a name", "no#name"]
    sent = [chat(n, to) for n, to in enumerate(names, 1)]
    codes = await answered(server, alice, *sent)
    assert set(codes) == {"storage_full", "out_of_order"}
    (blocks,) = server.writer._order.blocked.values()
    assert 1000 <= len(blocks) < 2000
    store.full = False
    assert await answered(server, alice, chat(9999)) == ["out_of_order"]
    assert await answered(server, alice, *sent[:1500]) == ["unknown_recipient"] * 1500
    assert await answered(server, alice, *sent[1500:], chat(9999)) == ["unknown_recipient"] * 1002 + ["1"]
    assert server.writer._order.blocked == {}


# --- rules


async def test_rules_that_became_stricter(server: InProcessServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored text that the rules no longer allow is acked again; another one is a conflict."""
    alice = await server.visitor("alice")

    def texts(body: str, first: int) -> list[frames.ClientFrame]:
        ids = [f"{first + n:032x}" for n in range(4)]
        return [
            frames.SendChat("bob", body, ids[0]),
            frames.SendEdit("bob", 1, body, ids[1]),
            frames.SendReaction("bob", 1, body, ids[2]),
            frames.SendRedaction("bob", 1, ids[3], body),
        ]

    assert await answered(server, alice, *texts("hello", 1)) == ["1", "2", "3", "4"]

    def refuse(_text: str) -> NoReturn:
        raise InvalidTextError(ErrorCode.BAD_TEXT)

    with monkeypatch.context() as stricter:
        for check in ("check_body", "check_reaction", "check_topic"):
            stricter.setattr(messages, check, refuse)
        assert await answered(server, alice, *texts("hello", 1)) == ["1", "2", "3", "4"]
        # The reason of a redaction is no part of what is compared.
        assert await answered(server, alice, *texts("other", 1)) == [*["id_conflict"] * 3, "4"]
        assert await answered(server, alice, *texts("hello", 11)) == ["bad_text"] * 4
    assert await answered(server, alice, *texts("hello", 11)) == ["bad_text"] * 4
    assert await answered(server, alice, *texts("hello", 1)) == ["1", "2", "3", "4"]


async def test_one_id_within_a_batch(server: InProcessServer) -> None:
    """Within one batch the first message with an id decides, whatever the others are."""
    alice = await server.visitor("alice")
    sent = [
        *(chat(1, "nosuch"), chat(1), chat(1, "#dev")),
        *(chat(2), chat(2, "nosuch"), chat(2, body=""), chat(2, "alice"), chat(2)),
        *(chat(3, "#dev", ""), chat(3, "#dev"), chat(3)),
    ]
    assert await answered(server, alice, *sent) == [
        *["unknown_recipient"] * 3,
        *("1", "id_conflict", "id_conflict", "id_conflict", "1"),
        *["body_empty"] * 3,
    ]


# --- answers


async def test_refused_messages_pass_the_gate_of_their_room(server: InProcessServer) -> None:
    """Refused messages to a room are answered in order with others, and leave neither gate nor count."""
    alice = await server.visitor("alice")
    sent = [chat(n, "#dev", "" if n % 3 else "hello") for n in range(1, 31)]
    expected = [str(n // 3) if n % 3 == 0 else "body_empty" for n in range(1, 31)]
    assert await answered(server, alice, *sent) == expected
    for number in range(31, 36):
        assert await answered(server, alice, chat(number, "#dev", "")) == ["body_empty"]
    assert await answered(server, alice, chat(36, "#dev")) == ["11"]
    assert alice.session.pending == 0
    gates = server.router.submissions._gates
    assert all(gate.in_flight == 0 and not gate.waiting for gate in gates.values())


async def test_refused_messages_are_answered_before_the_end(server: InProcessServer) -> None:
    """A session that says good-bye gets the answers to its refused messages first."""
    alice = await server.visitor("alice")
    alice.send(chat(1, "nosuch"), chat(2), chat(3, "#nosuch"), frames.ClientBye())
    await server.settle()
    assert alice.kinds()[-4:] == ["chat_nack", "chat_ack", "chat_nack", "bye"]


async def test_a_flood_of_refused_messages_is_read_no_faster(server: InProcessServer) -> None:
    """A session with a thousand unanswered messages that will be refused is read no further."""
    alice = await server.visitor("alice")
    alice.send(*(chat(number, "nosuch") for number in range(1, 1502)))
    assert (alice.session.pending, alice.link.reading) == (1000, False)
    await server.settle()
    nacks = [each for each in alice.frames if isinstance(each, frames.ChatNack)]
    assert (len(nacks), alice.session.pending, alice.link.reading) == (1501, 0, True)


# --- positions


async def test_a_request_sees_the_positions_before_it(server: InProcessServer) -> None:
    """A list of conversations has each position that the session sent before, however many wait."""
    alice = await server.visitor("alice")
    await answered(server, alice, *(chat(n, "#dev") for n in range(1, 21)))
    bob = await server.visitor("bob")
    conversation = f"c{server.router.rooms.of(2)[0].row.id}"
    bob.send(*(frames.ClientRead(conversation, seq) for seq in (1, 3, 2)))
    bob.send(*(frames.ClientRead(conversation, seq) for seq in (17, 5)), frames.ClientRead("c999", 1))
    page = await server.ask(bob, frames.ConversationsRequest())
    assert isinstance(page, frames.Conversations)
    assert [info.read for info in page.conversations if info.conversation == conversation] == [17]
    assert bob.session.pending == 0
