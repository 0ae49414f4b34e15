"""Who is online."""

from qscp.frames import OnlineUsers, PresenceChanges, Status, UserPresence
from qscp_client.core.roster import Roster


def user(name: str, status: Status = "online", text: str = "") -> UserPresence:
    """Somebody's presence."""
    return UserPresence(name, status, text)


def roster(*names: str, version: int = 5) -> Roster:
    """A roster of alice's with a complete snapshot."""
    people = Roster("alice")
    people.apply_page(OnlineUsers(version, [user(name) for name in names]))
    return people


def names(people: Roster) -> list[str]:
    """Who is in a roster."""
    return [each.user for each in people]


def test_a_snapshot_is_sorted_and_without_yourself() -> None:
    """Everybody else who is online, by name."""
    assert names(roster("carol", "alice", "bob")) == ["bob", "carol"]


def test_a_snapshot_is_in_force_with_its_last_page() -> None:
    """Until then the roster is not complete."""
    people = Roster("alice")
    completeness = [people.complete]
    for page in (OnlineUsers(1, [user("bob")], more=True), OnlineUsers(1, [user("carol")])):
        people.apply_page(page)
        completeness.append(people.complete)
    assert completeness == [False, False, True]
    assert names(people) == ["bob", "carol"]


def test_changes_between_pages_wait_for_the_snapshot() -> None:
    """A newer change is applied on top, one that the snapshot contains is not."""
    people = Roster("alice")
    people.apply_changes(PresenceChanges(3, [user("bob", "offline")]))
    people.apply_page(OnlineUsers(4, [user("bob")], more=True))
    people.apply_changes(PresenceChanges(5, [user("dave")]))
    people.apply_page(OnlineUsers(4, [user("carol")]))
    assert names(people) == ["bob", "carol", "dave"]


def test_an_old_change_is_not_applied() -> None:
    """The version tells what is newer."""
    people = roster("bob", version=7)
    assert people.apply_changes(PresenceChanges(7, [user("bob", "offline")])) == []
    assert "bob" in people


def test_only_real_changes_are_told() -> None:
    """The same presence again is no news, and neither is your own."""
    people = roster("bob")
    again = [user("bob"), user("alice", "away"), user("zoe", "offline")]
    assert people.apply_changes(PresenceChanges(6, again)) == []


def test_coming_changing_and_leaving_are_told() -> None:
    """Each change says whether the person was online before."""
    people = roster("bob")
    changes = people.apply_changes(
        PresenceChanges(6, [user("bob", "away", "lunch"), user("carol"), user("bob", "offline")])
    )
    assert [(each.person.user, each.person.status, each.was_online) for each in changes] == [
        ("bob", "away", True),
        ("carol", "online", False),
        ("bob", "offline", True),
    ]
    assert names(people) == ["carol"]


def test_a_new_snapshot_replaces_the_old_one() -> None:
    """Who is not in it any more has left."""
    people = roster("bob", "carol")
    changes = people.apply_page(OnlineUsers(9, [user("carol"), user("dave")]))
    assert sorted((each.person.user, each.person.status) for each in changes) == [
        ("bob", "offline"),
        ("dave", "online"),
    ]


def test_who_was_seen_is_remembered() -> None:
    """That tells an offline person from an unknown name."""
    people = roster("bob")
    people.apply_changes(PresenceChanges(6, [user("bob", "offline")]))
    assert people.was_seen("bob")
    assert not people.was_seen("nobody")
    assert people.get("bob") is None


def test_a_new_connection_begins_with_its_own_versions() -> None:
    """What was half told on the old one is forgotten; who is online stays until the new list is there."""
    people = roster("bob", version=9)
    people.apply_page(OnlineUsers(10, [user("carol")], more=True))
    people.disconnected()
    assert names(people) == ["bob"]
    people.apply_page(OnlineUsers(2, [user("dave")]))
    people.apply_changes(PresenceChanges(3, [user("erin")]))
    assert names(people) == ["dave", "erin"]
