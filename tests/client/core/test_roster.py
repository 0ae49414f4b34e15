"""Roster of online users."""

from qscp.frames import OnlineUsers, PresenceChanges, Status, UserPresence
from qscp_client.core.roster import Roster


def user(name: str, status: Status = "online", text: str = "") -> UserPresence:
    """Return the presence of a user."""
    return UserPresence(name, status, text)


def roster(*names: str, version: int = 5) -> Roster:
    """Return alice's roster with a complete snapshot."""
    users = Roster("alice")
    users.apply_page(OnlineUsers(version, [user(name) for name in names]))
    return users


def names(users: Roster) -> list[str]:
    """Return the names in a roster."""
    return [each.user for each in users]


def test_a_snapshot_is_sorted_and_without_yourself() -> None:
    """A snapshot is sorted by name and leaves out yourself."""
    assert names(roster("carol", "alice", "bob")) == ["bob", "carol"]


def test_a_snapshot_is_complete_with_its_last_page() -> None:
    """The roster is complete with the last page of a snapshot."""
    users = Roster("alice")
    completeness = [users.complete]
    for page in (OnlineUsers(1, [user("bob")], more=True), OnlineUsers(1, [user("carol")])):
        users.apply_page(page)
        completeness.append(users.complete)
    assert completeness == [False, False, True]
    assert names(users) == ["bob", "carol"]


def test_changes_between_pages_wait_for_the_snapshot() -> None:
    """Changes between pages are applied after the snapshot if they are newer than it."""
    users = Roster("alice")
    users.apply_changes(PresenceChanges(3, [user("bob", "offline")]))
    users.apply_page(OnlineUsers(4, [user("bob")], more=True))
    users.apply_changes(PresenceChanges(5, [user("dave")]))
    users.apply_page(OnlineUsers(4, [user("carol")]))
    assert names(users) == ["bob", "carol", "dave"]


def test_an_old_change_is_not_applied() -> None:
    """A change with an old version is not applied."""
    users = roster("bob", version=7)
    assert users.apply_changes(PresenceChanges(7, [user("bob", "offline")])) == []
    assert "bob" in users


def test_only_real_changes_are_returned() -> None:
    """An unchanged presence, and your own, are not returned as changes."""
    users = roster("bob")
    again = [user("bob"), user("alice", "away"), user("zoe", "offline")]
    assert users.apply_changes(PresenceChanges(6, again)) == []


def test_each_change_has_the_previous_state() -> None:
    """Each change says whether the user was online before."""
    users = roster("bob")
    changes = users.apply_changes(
        PresenceChanges(6, [user("bob", "away", "lunch"), user("carol"), user("bob", "offline")])
    )
    assert [(each.person.user, each.person.status, each.was_online) for each in changes] == [
        ("bob", "away", True),
        ("carol", "online", False),
        ("bob", "offline", True),
    ]
    assert names(users) == ["carol"]


def test_a_new_snapshot_replaces_the_old_one() -> None:
    """Users who are missing from a new snapshot have gone offline."""
    users = roster("bob", "carol")
    changes = users.apply_page(OnlineUsers(9, [user("carol"), user("dave")]))
    assert sorted((each.person.user, each.person.status) for each in changes) == [
        ("bob", "offline"),
        ("dave", "online"),
    ]


def test_seen_users_are_remembered() -> None:
    """A user who went offline stays known, unlike a name never seen."""
    users = roster("bob")
    users.apply_changes(PresenceChanges(6, [user("bob", "offline")]))
    assert users.was_seen("bob")
    assert not users.was_seen("nobody")
    assert users.get("bob") is None


def test_a_new_connection_begins_with_its_own_versions() -> None:
    """A new connection starts with new versions; the old list stays until the new one is complete."""
    users = roster("bob", version=9)
    users.apply_page(OnlineUsers(10, [user("carol")], more=True))
    users.disconnected()
    assert names(users) == ["bob"]
    users.apply_page(OnlineUsers(2, [user("dave")]))
    users.apply_changes(PresenceChanges(3, [user("erin")]))
    assert names(users) == ["dave", "erin"]
