"""The configuration file."""

import dataclasses
import pwd
from pathlib import Path

import pytest
import yaml

from qscp.errors import InvalidNameError
from qscp_client.config import ClientConfig, default_path, load, state_directory
from qscp_client.errors import ConfigError
from qscp_client.net.address import ServerAddress

SAMPLE = Path(__file__).parents[2] / "config" / "client.sample.yaml"


def problems(path: Path, text: str) -> list[str]:
    """Return the problems of a file, without its name."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [problem.removeprefix(f"{path}") for problem in caught.value.problems]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of a test's configuration."""
    return tmp_path / "client.yaml"


def test_all_keys_are_read(file: Path) -> None:
    """All keys are read, and paths are relative to the file."""
    file.write_text("server: chat.example.org:7000\nca: ca.pem\nuser: Alice\n", encoding="utf-8")
    assert load(file) == ClientConfig(
        ServerAddress("chat.example.org", 7000), file.parent / "ca.pem", "alice"
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "server:\nca:\nuser:\n"])
def test_missing_keys_have_defaults(file: Path, text: str) -> None:
    """Missing keys, and keys without a value, have defaults."""
    file.write_text(text, encoding="utf-8")
    assert load(file) == ClientConfig()


def test_home_paths_are_expanded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the home directory."""
    monkeypatch.setenv("HOME", "/home/alice")
    file.write_text("ca: ~/ca.pem\n", encoding="utf-8")
    assert load(file).ca == Path("/home/alice/ca.pem")


def test_every_problem_has_its_line(file: Path) -> None:
    """All problems are reported together, with lines; an unknown key suggests the nearest."""
    text = "sever: x\nca: [a]\nuser: no good\nca: b\nserver: host:x\nzzz: 1\n"
    assert problems(file, text) == [
        ":1: sever: unknown key; did you mean server?",
        ":2: ca: must be text",
        f":3: user: {InvalidNameError('no good')}",
        ":4: ca: is set twice",
        ':5: server: "x" is not a port; use 1 to 65535',
        ":6: zzz: unknown key; known keys: server, ca, user, read_receipts, typing, hidden",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a\n", ":1: must be keys with values, such as `server: localhost`"),
        ("server: [\n", ":2: is not YAML"),
        ("a: 1\n---\nb: 1\n", ":2: is not YAML"),
        ("\x00", ": is not YAML"),
        ("? [a]\n: b\n", ":1: "),
    ],
)
def test_a_file_without_a_mapping_is_refused(file: Path, text: str, problem: str) -> None:
    """A file that is not a mapping is refused, with the line if YAML reports one."""
    [found] = problems(file, text)
    assert found.startswith(problem)


def test_a_missing_file_is_a_problem(file: Path) -> None:
    """A missing file is reported by name."""
    with pytest.raises(ConfigError, match=r"client\.yaml: can't be read: No such file"):
        load(file)


def test_a_binary_file_is_a_problem(file: Path) -> None:
    """A file that is not UTF-8 is reported as such."""
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(file)


def test_a_file_that_is_nested_too_deeply(file: Path) -> None:
    """A file whose nesting is deeper than the reader can follow is reported as such."""
    file.write_text("[" * 2000)
    with pytest.raises(ConfigError, match="is nested too deeply"):
        load(file)


def test_the_sample_has_every_key_and_loads() -> None:
    """The sample file has every key in order, and loads."""
    keys = yaml.safe_load(SAMPLE.read_text(encoding="utf-8"))
    assert list(keys) == [field.name for field in dataclasses.fields(ClientConfig)]
    assert load(SAMPLE) == ClientConfig(ca=SAMPLE.parent / "ca.pem")


@pytest.mark.parametrize(("value", "meaning"), [("true", True), ("False", False), ("", False)])
def test_read_receipts_are_a_boolean(file: Path, value: str, meaning: bool) -> None:
    """`read_receipts` is true or false, and false by default."""
    file.write_text(f"read_receipts: {value}\n", encoding="utf-8")
    assert load(file).read_receipts is meaning


def test_other_read_receipts_are_refused(file: Path) -> None:
    """Other values of `read_receipts` are refused."""
    assert problems(file, "read_receipts: maybe\n") == [":1: read_receipts: must be true or false"]


def test_state_is_kept_by_server_and_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each server and account has its own state directory, with a portable name."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_directory(ServerAddress("Chat.Example.org"), "alice") == (
        tmp_path / "qscp" / "client" / "chat.example.org_7727" / "alice"
    )
    other = state_directory(ServerAddress("::1", 1), "alice")
    assert other
    assert other.parent.name == "___1__1"


def test_the_default_path_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The default path is in `XDG_CONFIG_HOME`."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_path() == tmp_path / "qscp" / "client.yaml"


@pytest.fixture
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as a user whom the system does not know, without settings of a home."""

    def unknown(_: object) -> None:
        raise KeyError

    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)


@pytest.mark.usefixtures("_no_account")
@pytest.mark.parametrize("home", [None, "", "here", "./here", "~"])
def test_without_a_home_there_is_no_place(monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
    """A user without a home, or with one that is no absolute path, has no default paths."""
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # to be ignored: XDG Base Directory Specification
    assert default_path() is None
    assert state_directory(ServerAddress("localhost"), "alice") is None
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert state_directory(ServerAddress("localhost"), "alice")


@pytest.mark.usefixtures("_no_account")
@pytest.mark.parametrize("value", ["~/ca.pem", "~nobody-here/ca.pem"])
def test_a_home_that_is_not_known_is_a_problem(tmp_path: Path, value: str) -> None:
    """`~` that stands for no directory is a problem with its line."""
    path = tmp_path / "client.yaml"
    path.write_text(f"ca: {value}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r":1: ca: .*no home is known; write the path in full"):
        load(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "server\ufeff: localhost\n",
            ":1: server<U+FEFF>: unknown key; did you mean server? (it has invisible",
        ),
        (
            "user: alice\n\u00a0typing: true\n",
            ":2: <U+00A0>typing: unknown key; did you mean typing? (it has",
        ),
        ("typing:\u00a0true\n", ":1: must be keys with values"),
        (
            "user: alice\nserver: [::1]:7727\n",
            ":2: is not YAML: expected the node content, but found ':' (write",
        ),
        ("server: [::1]\n", ":1: is not YAML"),
    ],
)
def test_what_a_person_does_not_see_is_explained(tmp_path: Path, text: str, problem: str) -> None:
    """Invisible characters are shown by their numbers, and an address that YAML refuses with its quotes."""
    path = tmp_path / "client.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path)
    shown = str(caught.value)
    assert problem in shown
    assert ("type the line again" in shown) != ('in quotes: "[::1]:7727"' in shown)
