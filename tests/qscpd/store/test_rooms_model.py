"""Random actions in rooms, compared with a model written from `docs/protocol.md`."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.bus.base import Commit
from qscpd.chat.live_room import LiveRoom
from qscpd.domain.events import Event
from qscpd.domain.model import (
    Keep,
    Mark,
    MessageMeta,
    MessageRow,
    NewMessage,
    Outcome,
    PositionKind,
    Refused,
)
from qscpd.domain.rooms import (
    FOREVER_MS,
    NO_MEMBERSHIP,
    DeniedError,
    Membership,
    RoomChange,
    RoomRow,
    RoomState,
)
from qscpd.store.base import Store
from tests.support.doubles import RouterDouble
from tests.support.ids import IdMaker
from tests.support.memory import memory_folder
from tests.support.room_model import ModelRoom, RoomModel
from tests.support.searches import search_page
from tests.support.stores import StoreFactory, clock_of, housekeep, rows_of, unread_of

NAMES: Final = ("alice", "bob", "carol", "dan", "erin")
ACCOUNTS: Final = tuple(range(1, len(NAMES) + 1))
ROOMS: Final = ("#attic", "#bath", "#cellar")
NEWEST: Final = (2**53, 0, 0)

accounts = st.sampled_from(ACCOUNTS)
picks = st.integers(0, 15)
"""Choice of an actor or target; see `RoomMachine.pick_account`."""
names = st.sampled_from((*ROOMS, "#attic", "#attic", "#bath"))
seconds = st.none() | st.sampled_from([0, 1, 30])
kinds = st.none() | st.sampled_from(list(RoomKind))
histories = st.none() | st.sampled_from(list(HistoryFrom))
PUNISHES: Final = ("remove", "ban", "mute")
FORGIVES: Final = ("invite", "unban", "unmute")


class RoomMachine(RuleBasedStateMachine):
    """The store, the rooms in memory, and the model, to which the same is applied."""

    factory: StoreFactory

    def __init__(self) -> None:
        super().__init__()
        self.rooms_model = RoomModel()
        self.make_id = IdMaker()
        self.folder = memory_folder()
        self.path = Path(self.folder.name)
        self.emitted: list[Event] = []
        self.store = self.open()
        for name in NAMES:
            self.store.add_account(name, "x")
        self.runner = asyncio.Runner()
        self.router = self.runner.run(_router())
        self.sessions = {each: self.router.login(NAMES[each - 1])[0] for each in ACCOUNTS}
        self.last = self.steps = 0

    def open(self) -> Store:
        """Open the store, and collect its events."""
        store = self.factory.open(self.path, clock=clock_of(lambda: self.rooms_model.now))
        store.listen(self.emitted.extend)
        return store

    def teardown(self) -> None:
        """Check searches and exports of all accounts, and the integrity of the store."""
        try:
            housekeep(self.store)
            for account in ACCOUNTS:
                self.check_search(account)
                exported = [(each.conversation, each.message) for each in self.store.export(account)]
                rows = self.store.conversations(account)
                assert exported == [
                    (row.id, each) for row in rows for each in self.seen(row.id, row.first_seq)
                ]
            self.factory.check(self.store)
        finally:
            self.store.close()
            self.router.close()
            self.runner.close()
            self.folder.cleanup()

    def change(self, change: RoomChange) -> None:
        """Apply a change to the store, the rooms in memory and the model."""
        expected = self.rooms_model.apply(change)
        if expected:
            with pytest.raises(DeniedError) as denied:
                self.store.change_room(change)
            assert denied.value.code == expected
            return
        self.last = self.store.change_room(change).room.id
        self.publish()

    def publish(self) -> None:
        """Publish what the store emitted to the rooms in memory; sessions are notified in the loop."""

        async def publish() -> None:
            self.router.bus.publish(Commit(tuple(self.emitted)))

        self.runner.run(publish())
        self.emitted.clear()

    # --- rules

    @initialize(
        kind=kinds,
        history=histories,
        members=st.lists(accounts, min_size=1, max_size=4),
        moderator=accounts,
        closed=accounts,
    )
    def begin(
        self,
        kind: RoomKind | None,
        history: HistoryFrom | None,
        members: list[int],
        moderator: int,
        closed: int,
    ) -> None:
        """Create two rooms with members, which random steps alone would seldom reach."""
        self.create(1, "#attic", None, kind, history)
        for each in (*members, moderator):
            self.join(each, "#attic")
        self.moderate(1, "#attic", "role", moderator, RoomRole.MODERATOR, None)
        self.create(closed, "#bath", None, RoomKind.CLOSED, None)

    def pick_account(self, pick: int, name: str) -> int | None:
        """Return the operator (None), more often a member of a room, or any account."""
        model_room = self.rooms_model.find(name)
        if pick == 0:
            return None
        if model_room is None or not model_room.roles or pick > 10:
            return ACCOUNTS[pick % len(ACCOUNTS)]
        members = sorted(
            model_room.roles, key=lambda each: ("owner", "moderator", "member").index(model_room.roles[each])
        )
        return members[(pick - 1) % len(members)]

    @rule(
        pick=picks,
        name=names,
        owner=accounts,
        kind=kinds,
        history=histories,
        most_owned=st.none() | st.integers(0, 2),
    )
    def create_any(
        self,
        pick: int,
        name: str,
        owner: int,
        kind: RoomKind | None,
        history: HistoryFrom | None,
        most_owned: int | None,
    ) -> None:
        """A user creates a room, or the operator creates one for a user."""
        actor = self.pick_account(pick, name)
        self.create(actor, name, None if actor else owner, kind, history, most_owned)

    def create(
        self,
        actor: int | None,
        name: str,
        owner: int | None,
        kind: RoomKind | None,
        history: HistoryFrom | None,
        most_owned: int | None = None,
    ) -> None:
        """Create a room."""
        self.change(
            RoomChange(
                action="create",
                room=name,
                actor=actor,
                target=owner,
                kind=kind,
                history=history,
                text="new",
                most_owned=most_owned,
            )
        )

    @rule(account=accounts, name=names)
    def join(self, account: int, name: str) -> None:
        """A user joins."""
        self.change(RoomChange(action="join", room=name, actor=account))

    @rule(pick=picks, name=names)
    def leave(self, pick: int, name: str) -> None:
        """A user leaves."""
        self.change(RoomChange(action="leave", room=name, actor=self.pick_account(pick, name) or 1))

    @rule(pick=picks, name=names, target_pick=picks, role=st.sampled_from(list(RoomRole)))
    def promote(self, pick: int, name: str, target_pick: int, role: RoomRole) -> None:
        """A user changes a role."""
        self.moderate(
            self.pick_account(pick, name), name, "role", self.pick_account(target_pick, name) or 1, role, None
        )

    @rule(pick=picks, name=names, action=st.sampled_from(PUNISHES), target_pick=picks, seconds=seconds)
    def punish(self, pick: int, name: str, action: str, target_pick: int, seconds: int | None) -> None:
        """A user removes, bans or mutes a user."""
        self.moderate(
            self.pick_account(pick, name),
            name,
            action,
            self.pick_account(target_pick, name) or 1,
            None,
            seconds,
        )

    @rule(pick=picks, name=names, action=st.sampled_from(FORGIVES), target_pick=picks)
    def forgive(self, pick: int, name: str, action: str, target_pick: int) -> None:
        """A user invites, unbans or unmutes a user."""
        self.moderate(
            self.pick_account(pick, name), name, action, self.pick_account(target_pick, name) or 1, None, None
        )

    def moderate(
        self,
        actor: int | None,
        name: str,
        action: str,
        target: int,
        role: RoomRole | None,
        seconds: int | None,
    ) -> None:
        """Apply an action with a target."""
        self.change(
            RoomChange(
                action=action, room=name, actor=actor, target=target, role=role, seconds=seconds, text="why"
            )
        )

    @rule(pick=picks, name=names, kind=kinds, history=histories, seconds=seconds)
    def arrange(
        self,
        pick: int,
        name: str,
        kind: RoomKind | None,
        history: HistoryFrom | None,
        seconds: int | None,
    ) -> None:
        """A user changes the settings of a room."""
        actor = self.pick_account(pick, name)
        self.change(
            RoomChange(action="set", room=name, actor=actor, kind=kind, history=history, seconds=seconds)
        )

    @rule(pick=picks, name=names, action=st.sampled_from(["topic", "archive", "unarchive", "delete"]))
    def run(self, pick: int, name: str, action: str) -> None:
        """A user sets the topic, archives or unarchives a room; only the operator deletes it."""
        actor = self.pick_account(pick, name)
        if action != "delete" or actor is None:
            self.change(RoomChange(action=action, room=name, actor=actor, text="t"))

    @rule(account=accounts)
    def delete_account(self, account: int) -> None:
        """The operator deletes an account; members of its rooms are notified."""
        if account in self.rooms_model.gone or len(self.rooms_model.gone) == 3:
            return
        self.rooms_model.delete_account(account)
        self.store.delete_account(NAMES[account - 1])
        self.publish()

    @rule(milliseconds=st.sampled_from([1, 500, 1000, 30_000, 43_200_000]))
    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        self.rooms_model.now += milliseconds

    @rule(account=accounts, seq=st.integers(0, 60), index=st.integers(0, 9))
    def read(self, account: int, seq: int, index: int) -> None:
        """A user moves a position; it moves only for members."""
        if not self.rooms_model.rooms:
            return
        model_room = self.rooms_model.rooms[index % len(self.rooms_model.rooms)]
        _, moved = self.store.append([], [Mark(account, model_room.number, PositionKind.READ, seq)])
        seq = min(seq, len(model_room.messages))
        if account in model_room.roles and seq > model_room.read[account]:
            model_room.read[account] = seq
            assert moved[0] is not None
            assert (moved[0].mark.seq, moved[0].peer) == (seq, None)
        else:
            assert moved == [None]

    @rule(kept=st.integers(1, 20))
    def prune(self, kept: int) -> None:
        """Prune old messages."""
        housekeep(self.store, Keep(messages=kept))
        for model_room in self.rooms_model.rooms:
            model_room.first = max(model_room.first, len(model_room.messages) - kept + 1)

    @rule()
    def reopen(self) -> None:
        """Close and open the store, which resets the times of slow mode."""
        self.store.close()
        self.store = self.open()
        for model_room in self.rooms_model.rooms:
            model_room.last_sent_ms.clear()

    # --- invariants

    @invariant()
    def everything_matches_the_model(self) -> None:
        """Refusals, rooms, visible messages and search results are those of the model."""
        self.check_sending()
        self.check_rooms()
        housekeep(self.store)
        self.check_visible_messages()
        self.steps += 1
        self.check_search(ACCOUNTS[self.steps % len(ACCOUNTS)])

    def check_sending(self) -> None:
        """Send a message of every user to the room of the last change; check the outcomes."""
        if not self.last:
            return
        model_room = self.rooms_model.rooms[self.last - 1]
        batch = [
            NewMessage(
                each,
                -model_room.number,
                self.make_id(),
                f"word {each}",
                MessageMeta(mentions=(each % 5 + 1,)),
            )
            for each in ACCOUNTS
        ]
        expected = [self.rooms_model.write(model_room, message) for message in batch]
        outcomes, _ = self.store.append(batch)
        assert [_code(outcome) for outcome in outcomes] == expected
        for message, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Refused):
                self._check_wait(model_room, message.sender, outcome)

    def _check_wait(self, model_room: ModelRoom, account: int, refused: Refused) -> None:
        ends = None
        if refused.code == "muted" and model_room.muted[account] != FOREVER_MS:
            ends = model_room.muted[account]
        elif refused.code == "slow_mode":
            ends = model_room.last_sent_ms[account] + 1000 * model_room.slow_s
        assert refused.retry_after_s == (None if ends is None else (ends - self.rooms_model.now) / 1000)

    def check_rooms(self) -> None:
        """Check rooms, memberships and logs, and that an active room has an owner."""
        rooms = sorted(
            (each for each in self.rooms_model.rooms if each.state != "deleted"), key=lambda h: h.name
        )
        rows = self.store.rooms()
        assert [_shown(row) for row in rows] == [_expected(model_room) for model_room in rooms]
        live = self.router.rooms
        assert live.names_after("") == [row.name for row in rows]
        for row, model_room in zip(rows, rooms, strict=True):
            assert row.state != RoomState.ACTIVE or model_room.owners()
            memberships = self.store.memberships(row.id)
            for account in ACCOUNTS:
                assert self.current(memberships.get(account, NO_MEMBERSHIP)) == self.model_membership(
                    model_room, account
                )
            room = live.by_id(row.id)
            assert room is not None
            self.check_live(room, row, memberships)
        for model_room in self.rooms_model.rooms:
            log = self.store.room_log(model_room.number)
            entries = [(each.actor, each.action, each.target, each.until_ms) for each in log]
            assert entries[::-1] == model_room.log
            for account in ACCOUNTS:
                mutes = [entry for entry in model_room.log if entry[1:3] == ("mute", account)]
                mute = self.store.last_mute(model_room.number, account)
                found = [] if mute is None else [(mute.actor, mute.action, mute.target, mute.until_ms)]
                assert found == mutes[-1:]

    def check_live(self, room: LiveRoom, row: RoomRow, memberships: Mapping[int, Membership]) -> None:
        """Check that the room in memory equals the stored one, apart from deleted accounts."""
        assert room.row._replace(last_seq=0, first_seq=0) == row._replace(last_seq=0, first_seq=0)
        remaining = {id_: each for id_, each in room.memberships.items() if id_ not in self.rooms_model.gone}
        assert remaining == memberships
        members = {id_ for id_, each in memberships.items() if each.role is not None}
        assert room.sessions == {self.sessions[each] for each in members}
        assert self.router.rooms.by_name(row.name) is room

    def current(self, membership: Membership) -> tuple[object, ...]:
        """Return a membership without mutes and bans that have ended."""
        role, since, invited, *ends = membership
        now = self.rooms_model.now
        return role, since if role else 0, invited, *(end * (end > now) for end in ends)

    def model_membership(self, model_room: ModelRoom, account: int) -> tuple[object, ...]:
        """Return the same for a membership of the model."""
        ends = [each.get(account, 0) for each in (model_room.muted, model_room.banned, model_room.declined)]
        return (
            model_room.roles.get(account),
            model_room.since.get(account, 0),
            model_room.invited.get(account),
            *(end * (end > self.rooms_model.now) for end in ends),
        )

    def seen(self, number: int, first: int) -> Sequence[MessageRow]:
        """Return the rows of a room from a seq on."""
        return [row for row in rows_of(self.store, number) if row.seq >= first]

    def check_visible_messages(self) -> None:
        """Check each member's conversations, positions, counts and messages."""
        for account in ACCOUNTS:
            mine = [each for each in self.rooms_model.rooms if account in each.roles]
            rows = self.store.conversations(account)
            assert [(row.id, row.peer, row.name) for row in rows] == [(h.number, None, h.name) for h in mine]
            for row, model_room in zip(rows, mine, strict=True):
                first, last = model_room.first_visible(account), len(model_room.messages)
                assert row[3:] == (first, last, model_room.read[account], 0, False)
                assert [(each.seq, each.sender, each.id, each.body) for each in self.seen(row.id, first)] == [
                    (seq, each.sender, each.id, each.body)
                    for seq, each in enumerate(model_room.messages[first - 1 :], first)
                ]
                unread = [
                    each
                    for each in model_room.messages[max(model_room.read[account], model_room.first - 1) :]
                    if each.sender != account
                ]
                mentions = sum(account in each.meta.mentions for each in unread)
                assert unread_of(self.store, account, row.id) == (len(unread), mentions)
        deleted = [each.number for each in self.rooms_model.rooms if each.state == "deleted"]
        assert not any(self.seen(number, 1) for number in deleted)

    def check_search(self, account: int) -> None:
        """Check that a search of an account finds its visible messages."""
        found, complete, _ = search_page(self.store, account, [f"{account}"], limit=1000)
        assert complete
        assert sorted((each.conversation, each.message.seq) for each in found) == [
            (model_room.number, seq)
            for model_room in self.rooms_model.rooms
            if account in model_room.roles
            for seq, each in enumerate(model_room.messages, 1)
            if each.sender == account and seq >= model_room.first_visible(account)
        ]


async def _router() -> RouterDouble:
    return RouterDouble(*NAMES)


def _code(outcome: Outcome) -> str:
    return str(outcome.code) if isinstance(outcome, Refused) else ""


def _shown(row: RoomRow) -> tuple[object, ...]:
    return (*row[:7], row.last_seq, row.members, row.owners)


def _expected(model_room: ModelRoom) -> tuple[object, ...]:
    return (
        *(
            model_room.number,
            model_room.name,
            model_room.kind,
            model_room.history,
            model_room.topic,
            model_room.slow_s,
            model_room.state,
        ),
        *(len(model_room.messages), len(model_room.roles), len(model_room.owners())),
    )


def test_any_changes_match_the_model(store_factory: StoreFactory) -> None:
    """Rooms match the model after any changes, with messages, restarts, pruning and deleted accounts."""

    class Machine(RoomMachine):
        factory = store_factory

    run_state_machine_as_test(
        Machine, settings=settings(max_examples=40, stateful_step_count=50, deadline=None)
    )
