import contextlib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from qscpd.config import Config, ListenAddress, LoadedConfig, load_config, parse_config, render_config
from qscpd.config.schema import SETTINGS
from qscpd.config.values import Duration
from qscpd.errors import ConfigError, PermissionDeniedError
from tests.support.users import as_user

SAMPLE = Path(__file__).parents[3] / "config/qscpd.sample.yaml"
NOWHERE: Mapping[str, str] = {}


def parse(
    text: str, environ: Mapping[str, str] = NOWHERE, overrides: Mapping[str, str] = NOWHERE
) -> LoadedConfig:
    """Parse a text as the file etc/q.yaml, from /srv."""
    return parse_config(text, Path("etc/q.yaml"), cwd=Path("/srv"), environ=environ, overrides=overrides)


def problems(
    text: str, environ: Mapping[str, str] = NOWHERE, overrides: Mapping[str, str] = NOWHERE
) -> list[str]:
    """Return the problems of an invalid configuration."""
    with pytest.raises(ConfigError) as caught:
        parse(text, environ, overrides)
    return caught.value.problems


# --- the sample is the manual


def test_sample_equals_the_defaults() -> None:
    """The sample loads, and all of its values are the defaults."""
    assert load_config(SAMPLE, environ={}).config == Config()


def test_no_key_is_missing_from_the_sample() -> None:
    """The sample has every setting, so it can be the manual."""
    origins = load_config(SAMPLE, environ={}).origins
    assert [key for key, origin in origins.items() if str(origin) == "default"] == []


def test_every_key_of_the_sample_has_a_comment() -> None:
    """A comment is right above each key and section of the sample."""
    lines = SAMPLE.read_text().splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r"\s*[a-z0-9_]+:", line)]
    assert [lines[number] for number in keys if not lines[number - 1].lstrip().startswith("#")] == []


def test_the_reference_names_every_setting() -> None:
    """docs/configuration.md has a row for each key, with its default."""
    reference = (SAMPLE.parents[1] / "docs/configuration.md").read_text()
    for key, setting in SETTINGS.items():
        row = next((line for line in reference.splitlines() if line.startswith(f"| `{key}` ")), "")
        assert f"`{setting.kind.show(setting.default)}`" in row, key


# --- values


def test_an_empty_file_means_the_defaults() -> None:
    """A file with comments only is valid, and so are empty sections."""
    assert parse("").config == Config()
    assert parse("# nothing\n").config == Config()
    assert parse("server:\nlogin:\n  argon2:\n").config == Config()


def test_values_are_read_with_their_units() -> None:
    """Durations become seconds, and sizes become bytes or the unit of their field."""
    config = parse(
        "login: {timeout: 2m, argon2: {memory: 64MiB}}\n"
        "limits: {output_queue: 1MiB, output_stall: 500ms, ping_after: 1.5s}\n"
        "server: {shutdown_grace: 5s, max_connections: 12}\n"
        "log: {format: json, level: debug, addresses: never}\n"
    ).config
    assert (config.login.timeout_s, config.login.argon2.memory_kib) == (120.0, 65536)
    assert (config.limits.output_queue_bytes, config.limits.output_stall_s) == (1 << 20, 0.5)
    assert (config.limits.ping_after_s, config.server.shutdown_grace_s) == (1.5, 5.0)
    assert (config.log.format, config.log.level, config.log.addresses) == ("json", "debug", "never")
    assert config.server.max_connections == 12


def test_listen_addresses_of_every_form() -> None:
    """IPv4, bracketed IPv6 (with a zone) and names are accepted, each with its port."""
    config = parse(
        'server:\n  listen: ["10.0.0.1:1", "[::1]:65535", "[fe80::1%eth0]:7", "chat.lan:0"]\n'
    ).config
    assert config.server.listen == (
        ListenAddress("10.0.0.1", 1),
        ListenAddress("::1", 65535),
        ListenAddress("fe80::1%eth0", 7),
        ListenAddress("chat.lan", 0),
    )
    assert list(map(str, config.server.listen[:2])) == ["10.0.0.1:1", "[::1]:65535"]


def test_networks_of_both_families() -> None:
    """Networks and single addresses are accepted, and an empty list; a variable has commas."""
    allow = parse('login: {allow: ["10.0.0.0/8", "192.0.2.7", "2001:db8::/48"]}').config.login.allow
    assert list(map(str, allow)) == ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/48"]
    assert parse("login: {allow: []}").config.login.allow == ()
    assert parse("", {"QSCPD_LOGIN__ALLOW": "10.0.0.0/8, ::1"}).config.login.allow[1].version == 6
    assert parse("", {"QSCPD_LOGIN__ALLOW": ""}).config.login.allow == ()


@pytest.mark.parametrize("allow", ["[]", "[10.0.0.0/8, '::1/128']"])
def test_shown_networks_load_to_the_same(allow: str) -> None:
    """An empty and a filled list of networks survive being shown."""
    loaded = parse(f"login: {{allow: {allow}}}")
    assert parse(render_config(loaded)).config == loaded.config


def test_relative_paths_start_from_the_file() -> None:
    """`../x` in a file starts from the file's directory, not from the current one."""
    config = parse("store: {path: ../data/q.db}\ntls: {key: k.pem, certificate: /abs/c.pem}\n").config
    assert config.store.path == Path("/srv/data/q.db")
    assert config.tls.key == Path("/srv/etc/k.pem")
    assert config.tls.certificate == Path("/abs/c.pem")


def test_relative_paths_of_flags_start_from_the_current_directory() -> None:
    """A path on the command line starts from the current directory."""
    loaded = parse("", {"QSCPD_STORE__PATH": "a.db"}, {"tls.key": "../k.pem"})
    assert loaded.config.store.path == Path("/srv/a.db")
    assert loaded.config.tls.key == Path("/k.pem")


def test_flag_overrides_environment_overrides_file_overrides_default() -> None:
    """Flag, environment, file and default have this precedence, and each value has its origin."""
    text = "log:\n  level: error\n  format: text\n  addresses: never\n"
    environ = {"QSCPD_LOG__LEVEL": "warning", "QSCPD_LOG__FORMAT": "json", "QSCPD_CONFIG": "x", "HOME": "y"}
    loaded = parse(text, environ, {"log.level": "debug"})
    assert (loaded.config.log.level, loaded.config.log.format, loaded.config.log.addresses) == (
        "debug",
        "json",
        "never",
    )
    origins = {
        key: str(loaded.origins[f"log.{key}"]) for key in ("level", "format", "addresses", "session_log")
    }
    assert origins == {
        "level": "--set log.level",
        "format": "QSCPD_LOG__FORMAT",
        "addresses": "etc/q.yaml:4",
        "session_log": "default",
    }


def test_a_variable_reaches_a_nested_section_and_a_list() -> None:
    """Two underscores separate sections, and commas separate the items of a list."""
    environ = {"QSCPD_LOGIN__ARGON2__MEMORY": "32MiB", "QSCPD_SERVER__LISTEN": "127.0.0.1:1, [::1]:1"}
    config = parse("", environ).config
    assert config.login.argon2.memory_kib == 32768
    assert config.server.listen == (ListenAddress("127.0.0.1", 1), ListenAddress("::1", 1))


def test_shown_configuration_loads_to_the_same() -> None:
    """The output of `config show` loads again, also with a path that needs quotes."""
    loaded = parse('server: {listen: ["[::1]:1", "h:2"]}\nstore: {path: "a: #b.db"}\nlogin: {timeout: 90s}\n')
    for origin in (False, True):
        assert parse(render_config(loaded, origin=origin)).config == loaded.config


@given(st.integers(1, 3_600_000).map(lambda milliseconds: milliseconds / 1000))
def test_durations_are_shown_as_they_are_read(seconds: float) -> None:
    """The shown text of any duration parses to the same duration."""
    kind = Duration(0.001, 3600)
    assert kind.parse(kind.show(seconds), Path()) == pytest.approx(seconds)


# --- mistakes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("servr: {}", "etc/q.yaml:1: servr: unknown key; did you mean server?"),
        ("log:\n  levle: info", "etc/q.yaml:2: log.levle: unknown key; did you mean level?"),
        ("memory: 1MiB", "etc/q.yaml:1: memory: unknown key; did you mean login.argon2.memory?"),
        ("store:\n  zzz: 1", "etc/q.yaml:2: store.zzz: unknown key; allowed are path"),
        (
            "<<: {}",
            "etc/q.yaml:1: <<: unknown key; allowed are server, tls, login, limits, store, history",
        ),
        ("log: {}\nlog: {}", "etc/q.yaml:2: log: is set twice, first on line 1; keep one"),
        (
            "log:\n  level: info\n  level: info",
            "etc/q.yaml:3: log.level: is set twice, first on line 2; keep one",
        ),
        ("[a]: 1", "etc/q.yaml:1: the file: a key must be a word, not a list"),
        ("- a", "etc/q.yaml:1: the file must be a mapping of keys to values, not a list"),
        ("hello", "etc/q.yaml:1: the file must be a mapping of keys to values, not the single value 'hello'"),
        (
            "log: 1",
            "etc/q.yaml:1: log: this section must be a mapping of keys to values, not the single value '1'",
        ),
        (
            "log: {level: }",
            "etc/q.yaml:1: log.level: has no value; set one, or remove the key for the default",
        ),
        ("log: {level: [a]}", "etc/q.yaml:1: log.level: must be a single value, not a list"),
        (
            "log: {level: !!python/name:os.system x}",
            "log.level: must be a single value, not a value of the type",
        ),
        ("log: {level: loud}", "log.level: 'loud' is not allowed; write one of debug, info, warning, error"),
        ("log: {format: yes}", "log.format: 'yes' is not allowed; write one of auto, json, text"),
        (
            "login: {timeout: 30}",
            "etc/q.yaml:1: login.timeout: '30' is not a duration (did you mean 30s?); write a number",
        ),
        (
            "login: {timeout: 1:30}",
            "login.timeout: '1:30' is not a duration; write a number and ms, s, m, h or d",
        ),
        ("login: {timeout: 30 s}", "login.timeout: '30 s' is not a duration"),
        ("login: {timeout: -1s}", "login.timeout: '-1s' is not a duration"),
        ("limits: {ping_after: 0s}", "limits.ping_after: 0s is out of range; allowed is 100ms to 1h"),
        (
            "limits: {output_queue: 64k}",
            "limits.output_queue: '64k' is not a size; write a whole number and B, KiB",
        ),
        (
            "limits: {output_queue: 1KiB}",
            "limits.output_queue: 1KiB is out of range; allowed is 64KiB to 1GiB",
        ),
        ("login: {argon2: {memory: 20000B}}", "login.argon2.memory: 20000B is not a multiple of 1KiB"),
        ("login: {workers: 0}", "login.workers: 0 is out of range; allowed is 1 to 64"),
        ("login: {workers: 010x}", "login.workers: '010x' is not a whole number"),
        ("login: {workers: 1.5}", "login.workers: '1.5' is not a whole number"),
        ("login: {workers: true}", "login.workers: 'true' is not a whole number"),
        ("login: {workers: '2'}", "login.workers: must be a number, not quoted text; remove the quotes"),
        (
            "server: {listen: '[::]:1'}",
            'server.listen: must be a list such as ["127.0.0.1:7727"], not the single',
        ),
        ("server: {listen: []}", "server.listen: the list is empty; add at least one address"),
        (
            "server:\n  listen:\n  - a:1\n  - '::1'",
            "etc/q.yaml:4: server.listen: '::1' is not an address and port",
        ),
        ("server: {listen: ['a:65536']}", "server.listen: 'a:65536' has a port out of range; allowed is 0"),
        ("server: {listen: ['a:1', 'b:1', 'a:1']}", "server.listen: a:1 is listed twice; keep one"),
        (
            "login: {allow: 192.0.2.0/24}",
            'login.allow: must be a list such as ["192.0.2.0/24"], not the single value',
        ),
        (
            "login:\n  allow: [10.0.0.0/8,\n    192.0.2.7/24]",
            "etc/q.yaml:3: login.allow: '192.0.2.7/24' is not a network (did you mean 192.0.2.0/24?); write",
        ),
        ("login: {allow: [office]}", "login.allow: 'office' is not a network; write 192.0.2.7, 192.0.2.0/24"),
        ("login: {drop_full: 10}", "login.drop_full: 10 is below login.drop_start (1024); raise it"),
        (
            "login: {penalty: {longest: 10s}}",
            "login.penalty.longest: 10s is below login.penalty.threshold (30s), so no penalty would ever be",
        ),
        ("store: {path: ''}", "store.path: is empty; write a path"),
        ("store: {path: ~/x.db}", "store.path: '~/x.db' begins with ~, which only a shell expands"),
        ('store: {path: "a\\nb"}', "store.path: 'a\\nb' contains control characters"),
        (f"server: {{admin_socket: /{'x' * 107}}}", "is longer than 107 bytes; choose a shorter path"),
        (
            "login: {argon2: {memory: 8KiB, parallelism: 4}}",
            "login.argon2.memory: 8KiB is too little for parallelism 4; write 32KiB or more",
        ),
        (
            "log: {session_log: /var/lib/qscpd/qscpd.db}",
            "log.session_log: /var/lib/qscpd/qscpd.db is already used by store.path; choose another path",
        ),
        (
            "log: {session_log: /var/lib/qscpd/qscpd.db.lock}",
            "qscpd.db.lock belongs to store.path; choose another path",
        ),
        (
            "server: {admin_socket: /var/lib/qscpd/qscpd.db-wal}",
            "qscpd.db-wal belongs to store.path; choose another path",
        ),
        ("store: {path: /etc/qscpd/certs/server.key}", "is already used by tls.key; choose another path"),
        ("a: [", "etc/q.yaml:1: is not YAML: "),
        ("a: b: c", "etc/q.yaml:1: is not YAML: mapping values are not allowed here"),
        ("\nlog: \x07", "etc/q.yaml:2: is not YAML: the character U+0007 is not allowed"),
        ("log: {}\n---\nlog: {}", "etc/q.yaml:2: is not YAML: "),
        ("log: *x", "etc/q.yaml:1: is not YAML: "),
        ("[" * 5000, "etc/q.yaml:1: is nested too deeply"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(text: str, problem: str) -> None:
    """Each error has file, line, key, the problem, and what is allowed."""
    found = problems(text)
    assert len(found) == 1
    assert problem in found[0]
    assert found[0].startswith("etc/q.yaml:")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "server: {listen: [" + ",".join(f'"h:{port}"' for port in range(1, 60_000)) + "]}",
            "server.listen: the list has 59999 items; 1000 are allowed",
        ),
        (
            'login: {timeout: &a "' + "x" * 500_000 + '", allow: [' + "*a," * 100_000 + "]}",
            "login.timeout: has 500000 characters; 4096 are allowed",
        ),
        (
            'login: {timeout: &a "' + "x" * 4_000 + '", allow: [' + "*a," * 1_000 + "]}",
            "login.timeout: 'xxx",
        ),
        ("{" + ",".join(f"k{each}: 1" for each in range(20_000)) + "}", "k0: unknown key; "),
        ("? " + "server" * 100_000 + "\n: 1", "the file: a key has 600000 characters"),
    ],
    ids=["items", "aliases of a long text", "aliases", "problems of one line", "key"],
)
def test_a_small_file_does_not_make_much_work(text: str, problem: str) -> None:
    """A backup can have any file of 1 MiB: its problems are few, and together no larger than the file."""
    found = problems(text)
    assert problem in found[0]
    assert len(found) <= 100
    assert sum(map(len, found)) < 1 << 20


def test_all_mistakes_come_at_once_in_the_order_of_their_lines() -> None:
    """One run reports all problems in file, environment and flags."""
    found = problems(
        "log:\n  level: loud\nlogin:\n  timeout: 1\n  attemps: 1\nserver: 5\n",
        {"QSCPD_LIMITS__PING_AFTER": "soon"},
        {"store.path": ""},
    )
    assert [problem.split(": ")[0] for problem in found] == [
        "etc/q.yaml:2",
        "etc/q.yaml:4",
        "etc/q.yaml:5",
        "etc/q.yaml:6",
        "QSCPD_LIMITS__PING_AFTER",
        "--set store.path",
    ]


def test_a_value_that_could_not_be_read_has_no_second_problem() -> None:
    """Relations of an invalid value are not checked."""
    assert len(problems("login: {argon2: {memory: lots, parallelism: 64}}")) == 1


def test_an_overridden_mistake_in_the_file_is_reported() -> None:
    """An invalid value in the file is reported even if a flag overrides it."""
    assert len(problems("log: {level: loud}", overrides={"log.level": "info"})) == 1


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        (
            {"QSCPD_LOG__LEVL": "x"},
            "QSCPD_LOG__LEVL: unknown variable; did you mean QSCPD_LOG__LEVEL?",
        ),
        ({"QSCPD_X__Y": "x"}, "QSCPD_X__Y: unknown variable; see docs/configuration.md"),
        ({"QSCPD_LOG__LEVEL": ""}, "QSCPD_LOG__LEVEL: log.level: '' is not allowed; write one of"),
    ],
)
def test_a_wrong_variable_is_an_error(environ: Mapping[str, str], problem: str) -> None:
    """A mistyped variable is reported."""
    found = problems("", environ)
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_an_unknown_flag_is_an_error() -> None:
    """`--set` accepts the same keys as the file."""
    assert problems("", overrides={"log.lvl": "x", "zzz": "x"}) == [
        "--set log.lvl: unknown key; did you mean log.level?",
        "--set zzz: unknown key; `qscpd config show` prints all keys",
    ]


@given(st.text(max_size=60))
def test_any_text_is_a_configuration_or_a_config_error(text: str) -> None:
    """Any text loads or raises ConfigError."""
    with contextlib.suppress(ConfigError):
        parse(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["server", "listen", "login", "argon2", "memory", "log", "x"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_any_yaml_is_a_configuration_or_a_config_error(document: object) -> None:
    """Any YAML structure loads or raises ConfigError."""
    with contextlib.suppress(ConfigError):
        parse(yaml.safe_dump(document))


# --- files


def test_a_missing_file_is_one_clear_sentence(tmp_path: Path) -> None:
    """The error says what to do next."""
    with pytest.raises(ConfigError, match=r"no\.yaml: not found; create it with `qscpd init`"):
        load_config(tmp_path / "no.yaml", environ={})


def test_a_directory_is_one_clear_sentence(tmp_path: Path) -> None:
    """A directory in place of the file is reported without a traceback."""
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        load_config(tmp_path, environ={})


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"a: 1\nb: \xff\n", ":2: is not UTF-8"), (b"#" * (1 << 21), "1 MiB")]
)
def test_a_file_of_something_else_is_one_clear_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    """Binary and huge files are reported as such."""
    path = tmp_path / "q.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=sentence):
        load_config(path, environ={})


def test_an_unreadable_file_is_a_permission_error(tmp_path: Path) -> None:
    """A file without read permission raises PermissionDeniedError."""
    path = tmp_path / "q.yaml"
    path.touch(mode=0o600)
    with (
        as_user(tmp_path),
        pytest.raises(PermissionDeniedError, match="has no permission to read the configuration"),
    ):
        load_config(path, environ={})


# --- what a person can't see


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        (
            "log\ufeff:\n  level: info\n",
            "etc/q.yaml:1: log<U+FEFF>: unknown key; did you mean log?",
            "U+FEFF",
        ),
        ("log:\n  lev\u200bel: info\n", "etc/q.yaml:2: log.lev<U+200B>el: unknown key", "U+200B"),
        ("log:\n\u00a0\u00a0level: info\n", "etc/q.yaml:2: <U+00A0><U+00A0>level: unknown key", "U+00A0"),
        ("log:\n  level:\u00a0info\n", "etc/q.yaml:2: log: this section must be", "U+00A0"),
        ("log:\n  \u202elevel: info\n", "etc/q.yaml:2: log.<U+202E>level: unknown key", "U+202E"),
        ("log:\n  level: info\u2060\n", "etc/q.yaml:2: log.level: 'info\\u2060' is not allowed", "U+2060"),
        ("log:\n  level: info\n\u200b\n", "etc/q.yaml:4: is not YAML", "U+200B"),
    ],
)
def test_an_invisible_character_is_shown(text: str, place: str, code: str) -> None:
    """An invisible character is shown by its number, with what to do."""
    (problem,) = problems(text)
    assert problem.startswith(place)
    assert problem.endswith(f" (it has invisible characters, {code}: type the line again)")


def test_an_invisible_character_outside_of_the_file_is_shown() -> None:
    """So it is in the name of a variable, in its value, and in an option."""
    (name,) = problems("", {"QSCPD_LOG__LEV\u200bEL": "info"})
    assert name.startswith(
        "QSCPD_LOG__LEV<U+200B>EL: unknown variable; did you mean QSCPD_LOG__LEVEL? (it has"
    )
    for problem in (
        *problems("", {"QSCPD_LOG__LEVEL": "\ufeffinfo"}),
        *problems("", {}, {"log.level\ufeff": "x"}),
    ):
        assert problem.endswith(", U+FEFF: type the line again)")


def test_a_byte_order_mark_begins_a_file() -> None:
    """Editors write it at the beginning, where it means nothing."""
    assert parse("\ufefflog: {level: debug}\n").config.log.level == "debug"
    (problem,) = problems("\ufefflog: {level: x}\n")
    assert "U+FEFF" not in problem


@pytest.mark.parametrize(
    "listen",
    [
        "[[::1]:7727]",
        "[::1]:7727",
        '["127.0.0.1:7727", [::1]:7727]',
        "\n    - 127.0.0.1:7727\n    - [::1]:7727",
        "\n  - [::1]:7727\n  - 127.0.0.1:7727",
    ],
)
def test_an_address_without_quotes_gets_them(listen: str) -> None:
    """YAML takes the brackets of an IPv6 address for a list; the error shows how to write it."""
    (problem,) = problems(f"server:\n  listen: {listen}\n")
    assert problem.endswith(' (write an IPv6 address in quotes: "[::1]:7727")')


@pytest.mark.parametrize("text", ['"[::1]:7727"', "'[::1]:7727'", "[[::1]:7727]", '["[::1]:7727"]'])
def test_an_address_with_quotes_of_yaml_loses_them(text: str) -> None:
    """In a variable or an option an address has no quotes and no list around it."""
    assert parse("", {}, {"server.listen": "[::1]:7727, 127.0.0.1:1"}).config.server.listen[0].host == "::1"
    (option,) = problems("", {}, {"server.listen": text})
    (variable,) = problems("", {"QSCPD_SERVER__LISTEN": text})
    for problem in (option, variable):
        assert "is not an address and port (did you mean [::1]:7727?)" in problem
