"""Random things done in rooms, against a model written from `docs/protocol.md`."""

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
from qscpd.chat.rooms import LiveRoom
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
from tests.support.stores import StoreFactory, rows_of, unread_of

NAMES: Final = ("alice", "bob", "carol", "dan", "erin")
PEOPLE: Final = tuple(range(1, len(NAMES) + 1))
ROOMS: Final = ("#attic", "#bath", "#cellar")
NEWEST: Final = (2**53, 0, 0)

people = st.sampled_from(PEOPLE)
picks = st.integers(0, 15)
"""See `RoomMachine.who`."""
names = st.sampled_from((*ROOMS, "#attic", "#attic", "#bath"))
seconds = st.none() | st.sampled_from([0, 1, 30])
kinds = st.none() | st.sampled_from(list(RoomKind))
histories = st.none() | st.sampled_from(list(HistoryFrom))
PUNISHES: Final = ("remove", "ban", "mute")
FORGIVES: Final = ("invite", "unban", "unmute")


class RoomMachine(RuleBasedStateMachine):
    """The store, the rooms in memory, and the model, in which the same is done."""

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
        self.sessions = {each: self.router.login(NAMES[each - 1])[0] for each in PEOPLE}
        self.last = self.steps = 0

    def open(self) -> Store:
        """Open the store, and collect its events."""
        store = self.factory.open(self.path, clock_ms=lambda: self.rooms_model.now)
        store.listen(self.emitted.extend)
        return store

    def teardown(self) -> None:
        """Look at everything once more, also at what is exported."""
        try:
            while self.store.housekeeping.step(Keep()):
                pass
            for person in PEOPLE:
                self.they_find_what_is_theirs(person)
                exported = [(each.conversation, each.message) for each in self.store.export(person)]
                rows = self.store.conversations(person)
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
        """Do something everywhere."""
        expected = self.rooms_model.do(change)
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

    # --- what is done

    @initialize(
        kind=kinds,
        history=histories,
        members=st.lists(people, min_size=1, max_size=4),
        moderator=people,
        closed=people,
    )
    def begin(
        self,
        kind: RoomKind | None,
        history: HistoryFrom | None,
        members: list[int],
        moderator: int,
        closed: int,
    ) -> None:
        """Two rooms that are lived in: chance alone would take long to get there."""
        self.create(1, "#attic", None, kind, history)
        for each in (*members, moderator):
            self.come(each, "#attic")
        self.moderate(1, "#attic", "role", moderator, RoomRole.MODERATOR, None)
        self.create(closed, "#bath", None, RoomKind.CLOSED, None)

    def who(self, pick: int, name: str) -> int | None:
        """Return the operator, or more often one of a room's members, or anybody."""
        model_room = self.rooms_model.find(name)
        if pick == 0:
            return None
        if model_room is None or not model_room.roles or pick > 10:
            return PEOPLE[pick % len(PEOPLE)]
        members = sorted(
            model_room.roles, key=lambda each: ("owner", "moderator", "member").index(model_room.roles[each])
        )
        return members[(pick - 1) % len(members)]

    @rule(pick=picks, name=names, owner=people, kind=kinds, history=histories)
    def create_any(
        self, pick: int, name: str, owner: int, kind: RoomKind | None, history: HistoryFrom | None
    ) -> None:
        """A user makes a room, or the operator makes one for a user."""
        actor = self.who(pick, name)
        self.create(actor, name, None if actor else owner, kind, history)

    def create(
        self,
        actor: int | None,
        name: str,
        owner: int | None,
        kind: RoomKind | None,
        history: HistoryFrom | None,
    ) -> None:
        """Make a room."""
        self.change(
            RoomChange(
                action="create", room=name, actor=actor, target=owner, kind=kind, history=history, text="new"
            )
        )

    @rule(person=people, name=names)
    def come(self, person: int, name: str) -> None:
        """A user joins."""
        self.change(RoomChange(action="join", room=name, actor=person))

    @rule(pick=picks, name=names)
    def go(self, pick: int, name: str) -> None:
        """A user leaves."""
        self.change(RoomChange(action="leave", room=name, actor=self.who(pick, name) or 1))

    @rule(pick=picks, name=names, whom=picks, role=st.sampled_from(list(RoomRole)))
    def promote(self, pick: int, name: str, whom: int, role: RoomRole) -> None:
        """A user changes a role."""
        self.moderate(self.who(pick, name), name, "role", self.who(whom, name) or 1, role, None)

    @rule(pick=picks, name=names, action=st.sampled_from(PUNISHES), whom=picks, seconds=seconds)
    def punish(self, pick: int, name: str, action: str, whom: int, seconds: int | None) -> None:
        """A user removes, bans or mutes a user."""
        self.moderate(self.who(pick, name), name, action, self.who(whom, name) or 1, None, seconds)

    @rule(pick=picks, name=names, action=st.sampled_from(FORGIVES), whom=picks)
    def forgive(self, pick: int, name: str, action: str, whom: int) -> None:
        """A user invites, unbans or unmutes a user."""
        self.moderate(self.who(pick, name), name, action, self.who(whom, name) or 1, None, None)

    def moderate(
        self, actor: int | None, name: str, action: str, whom: int, role: RoomRole | None, seconds: int | None
    ) -> None:
        """Apply an action with a target."""
        self.change(
            RoomChange(
                action=action, room=name, actor=actor, target=whom, role=role, seconds=seconds, text="why"
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
        """A user changes settings."""
        actor = self.who(pick, name)
        self.change(
            RoomChange(action="set", room=name, actor=actor, kind=kind, history=history, seconds=seconds)
        )

    @rule(pick=picks, name=names, action=st.sampled_from(["topic", "archive", "unarchive", "delete"]))
    def run(self, pick: int, name: str, action: str) -> None:
        """A user changes a room as a whole; members can't request a deletion."""
        actor = self.who(pick, name)
        if action != "delete" or actor is None:
            self.change(RoomChange(action=action, room=name, actor=actor, text="t"))

    @rule(person=people)
    def delete_account(self, person: int) -> None:
        """The operator deletes an account; members of its rooms are notified."""
        if person in self.rooms_model.gone or len(self.rooms_model.gone) == 3:
            return
        self.rooms_model.delete_account(person)
        self.store.delete_account(NAMES[person - 1])
        self.publish()

    @rule(milliseconds=st.sampled_from([1, 500, 1000, 30_000]))
    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        self.rooms_model.now += milliseconds

    @rule(person=people, seq=st.integers(0, 60), index=st.integers(0, 9))
    def read(self, person: int, seq: int, index: int) -> None:
        """A user moves a position; one who is not a member moves nothing."""
        if not self.rooms_model.rooms:
            return
        model_room = self.rooms_model.rooms[index % len(self.rooms_model.rooms)]
        _, moved = self.store.append([], [Mark(person, model_room.number, PositionKind.READ, seq)])
        seq = min(seq, len(model_room.said))
        if person in model_room.roles and seq > model_room.read[person]:
            model_room.read[person] = seq
            assert moved[0] is not None
            assert (moved[0].mark.seq, moved[0].peer) == (seq, None)
        else:
            assert moved == [None]

    @rule(kept=st.integers(1, 20))
    def prune(self, kept: int) -> None:
        """Forget what is old."""
        for _ in range(2):
            while self.store.housekeeping.step(Keep(messages=kept)):
                pass
        for model_room in self.rooms_model.rooms:
            model_room.first = max(model_room.first, len(model_room.said) - kept + 1)

    @rule()
    def reopen(self) -> None:
        """Close and open the file, which forgets who spoke when."""
        self.store.close()
        self.store = self.open()
        for model_room in self.rooms_model.rooms:
            model_room.spoke.clear()

    # --- what must be

    @invariant()
    def all_is_as_in_the_model(self) -> None:
        """Who may write, rooms, and what everybody sees and finds."""
        self.only_who_may_writes()
        self.rooms_are_as_in_the_model()
        while self.store.housekeeping.step(Keep()):
            pass
        self.everybody_sees_what_is_theirs()
        self.steps += 1
        self.they_find_what_is_theirs(PEOPLE[self.steps % len(PEOPLE)])

    def only_who_may_writes(self) -> None:
        """Every user tries to write in the room of the last change; refusals say why."""
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
            for each in PEOPLE
        ]
        expected = [self.rooms_model.write(model_room, message) for message in batch]
        outcomes, _ = self.store.append(batch)
        assert [_code(outcome) for outcome in outcomes] == expected
        for message, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Refused):
                self._check_wait(model_room, message.sender, outcome)

    def _check_wait(self, model_room: ModelRoom, person: int, refused: Refused) -> None:
        ends = None
        if refused.code == "muted" and model_room.muted[person] != FOREVER_MS:
            ends = model_room.muted[person]
        elif refused.code == "slow_mode":
            ends = model_room.spoke[person] + 1000 * model_room.slow_s
        assert refused.retry_after_s == (None if ends is None else (ends - self.rooms_model.now) / 1000)

    def rooms_are_as_in_the_model(self) -> None:
        """Rooms, memberships and logs; and an active room has an owner."""
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
            for person in PEOPLE:
                assert self.normal(memberships.get(person, NO_MEMBERSHIP)) == self.model_standing(
                    model_room, person
                )
            room = live.by_id(row.id)
            assert room is not None
            self.check_live(room, row, memberships)
        for model_room in self.rooms_model.rooms:
            log = self.store.room_log(model_room.number)
            entries = [(each.actor, each.action, each.target, each.until_ms) for each in log]
            assert entries[::-1] == model_room.log

    def check_live(self, room: LiveRoom, row: RoomRow, memberships: Mapping[int, Membership]) -> None:
        """The room in memory is the one in the file, whose accounts are those that are left."""
        assert room.row._replace(last_seq=0, first_seq=0) == row._replace(last_seq=0, first_seq=0)
        there = {each: one for each, one in room.memberships.items() if each not in self.rooms_model.gone}
        assert there == memberships
        members = {each for each, one in memberships.items() if one.role is not None}
        assert room.sessions == {self.sessions[each] for each in members}
        assert self.router.rooms.by_name(row.name) is room

    def normal(self, membership: Membership) -> tuple[object, ...]:
        """Return what matters of a membership now."""
        role, since, invited, muted, banned = membership
        now = self.rooms_model.now
        return role, since if role else 0, invited, muted * (muted > now), banned * (banned > now)

    def model_standing(self, model_room: ModelRoom, person: int) -> tuple[object, ...]:
        """Return the same of the model."""
        muted, banned = model_room.muted.get(person, 0), model_room.banned.get(person, 0)
        return (
            model_room.roles.get(person),
            model_room.since.get(person, 0),
            model_room.invited.get(person),
            muted * (muted > self.rooms_model.now),
            banned * (banned > self.rooms_model.now),
        )

    def seen(self, number: int, first: int) -> Sequence[MessageRow]:
        """Return what is in a room from a seq on."""
        return [row for row in rows_of(self.store, number) if row.seq >= first]

    def everybody_sees_what_is_theirs(self) -> None:
        """Conversations, positions, unread, mentions and messages are those of the model's members."""
        for person in PEOPLE:
            mine = [each for each in self.rooms_model.rooms if person in each.roles]
            rows = self.store.conversations(person)
            assert [(row.id, row.peer, row.name) for row in rows] == [(h.number, None, h.name) for h in mine]
            for row, model_room in zip(rows, mine, strict=True):
                first, last = model_room.begins(person), len(model_room.said)
                assert row[3:] == (first, last, model_room.read[person], 0)
                assert [(each.seq, each.sender, each.id, each.body) for each in self.seen(row.id, first)] == [
                    (seq, each.sender, each.id, each.body)
                    for seq, each in enumerate(model_room.said[first - 1 :], first)
                ]
                unread = [
                    each
                    for each in model_room.said[max(model_room.read[person], model_room.first - 1) :]
                    if each.sender != person
                ]
                mentions = sum(person in each.meta.mentions for each in unread)
                assert unread_of(self.store, person, row.id) == (len(unread), mentions)
        deleted = [each.number for each in self.rooms_model.rooms if each.state == "deleted"]
        assert not any(self.seen(number, 1) for number in deleted)

    def they_find_what_is_theirs(self, person: int) -> None:
        """A search looks where one is, from where one may see."""
        found, complete = self.store.search(
            person, [f"{person}"], conversation=None, before=NEWEST, limit=1000
        )
        assert complete
        assert sorted((each.conversation, each.message.seq) for each in found) == [
            (model_room.number, seq)
            for model_room in self.rooms_model.rooms
            if person in model_room.roles
            for seq, each in enumerate(model_room.said, 1)
            if each.sender == person and seq >= model_room.begins(person)
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
        *(len(model_room.said), len(model_room.roles), len(model_room.owners())),
    )


def test_any_changes_are_as_in_the_model(store_factory: StoreFactory) -> None:
    """In any order, with messages, restarts, pruning and deleted accounts in between."""

    class Machine(RoomMachine):
        factory = store_factory

    run_state_machine_as_test(
        Machine, settings=settings(max_examples=40, stateful_step_count=50, deadline=None)
    )
