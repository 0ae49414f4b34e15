import pytest
from hypothesis import given

from qscp import frames
from tests.support.strategies import CLIENT_FRAMES, SERVER_FRAMES, client_frames, server_frames

SECRET = "hunter2 secret"


@pytest.mark.parametrize(
    "frame",
    [
        frames.Auth(user="alice", password=SECRET),
        frames.SendChat(to="bob", body=SECRET, id="0" * 32),
        frames.Chat(
            conversation="c1", seq=1, id="0" * 32, sender="alice", to="bob", body=SECRET, time=1764000000000
        ),
        frames.SetPresence("away", SECRET),
        frames.PresenceAck("away", SECRET),
    ],
)
def test_what_is_logged_of_a_frame_has_no_secret(frame: frames.Frame) -> None:
    """`str` has the type first, and no password, message text or away text."""
    assert str(frame).startswith(frame.type)
    assert SECRET not in str(frame)


@pytest.mark.parametrize("cls", [frames.Auth, frames.SendChat, frames.Chat])
def test_what_a_traceback_shows_of_a_frame_has_no_secret(cls: type[frames.Frame]) -> None:
    """`repr` of a frame with a password or a body shows all fields but that one."""
    fields = dict.fromkeys(cls.__struct_fields__, SECRET)
    hidden = {"password", "body"} & set(fields)
    shown = repr(cls(**fields))
    assert shown.count(SECRET) == len(fields) - 1
    assert f"{hidden.pop()}=..." in shown


@given(client_frames() | server_frames())
def test_any_frame_is_logged_on_one_short_line(frame: frames.Frame) -> None:
    """Control characters are escaped and long values cut, whatever a peer sent."""
    shown = str(frame)
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert len(shown) < 40 + 5 * (40 * 10 + 20)


@pytest.mark.parametrize("classes", [CLIENT_FRAMES, SERVER_FRAMES])
def test_every_frame_of_a_side_is_in_its_decoder(classes: tuple[type[frames.Frame], ...]) -> None:
    """The decoders know each class of their side, and the types differ."""
    base = classes[0].__base__
    assert base is not None
    assert set(classes) == set(base.__subclasses__())
    assert len({cls.__struct_config__.tag for cls in classes}) == len(classes)


def test_the_server_is_strict_and_the_client_lenient() -> None:
    """Unknown fields are forbidden in what a client sends, except in `auth`, and nowhere else."""
    strict = {cls for cls in (*CLIENT_FRAMES, *SERVER_FRAMES) if cls.__struct_config__.forbid_unknown_fields}
    assert strict == set(CLIENT_FRAMES) - {frames.Auth}
