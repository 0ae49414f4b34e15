import pytest

from qscp.limits import PASSWORD_LIMIT
from qscpd.accounts.passwords import (
    HashingError,
    MalformedHashError,
    PasswordHasher,
    check_hash,
    check_new_password,
    generate_password,
)
from qscpd.config import Argon2Config
from qscpd.errors import UsageError
from tests.support.address_space import HUGE_HASH, no_gigabytes

CHEAP = Argon2Config(memory_kib=8, iterations=1, parallelism=1)


@pytest.fixture(scope="module")
def hasher() -> PasswordHasher:
    """A hasher that takes microseconds."""
    return PasswordHasher(CHEAP)


# --- hashes


def test_a_hash_is_argon2id_with_the_configured_cost() -> None:
    """The hash has the configured parameters; the defaults are OWASP's."""
    assert PasswordHasher(Argon2Config()).hash("correct horse").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_only_the_right_password_is_verified(hasher: PasswordHasher) -> None:
    """A password that differs in case or blanks is wrong."""
    password_hash = hasher.hash("correct horse")
    assert hasher.verify("correct horse", password_hash)
    assert not any(
        hasher.verify(other, password_hash) for other in ("Correct horse", "correct horse ", "", "x")
    )


def test_the_same_password_has_another_hash_each_time(hasher: PasswordHasher) -> None:
    """Each hash has its own salt."""
    assert hasher.hash("correct horse") != hasher.hash("correct horse")


def test_composed_and_decomposed_characters_are_the_same_password(hasher: PasswordHasher) -> None:
    """U+00E9 and e with U+0301 are the same password."""
    assert hasher.verify("cafe\u0301 au lait", hasher.hash("caf\u00e9 au lait"))


@pytest.mark.parametrize(
    "stored", ["", "x", "$argon2id$v=19$m=1", "$2b$12$abcdefgh", "$argon2id$v=19$m=8,t=1,p=1$%$%"]
)
def test_a_malformed_hash_has_its_own_error(hasher: PasswordHasher, stored: str) -> None:
    """A damaged hash is not a wrong password, and its error does not show the hash."""
    with pytest.raises(MalformedHashError) as caught:
        hasher.verify("correct horse", stored)
    assert not stored or stored not in str(caught.value)
    with pytest.raises(MalformedHashError):
        hasher.needs_rehash(stored)
    with pytest.raises(MalformedHashError):
        check_hash(stored)


def test_other_parameters_need_a_new_hash(hasher: PasswordHasher) -> None:
    """Changed parameters apply to each account at its next login."""
    password_hash = hasher.hash("correct horse")
    assert not hasher.needs_rehash(password_hash)
    for other in (Argon2Config(16, 1, 1), Argon2Config(8, 2, 1), Argon2Config(16, 1, 2)):
        assert PasswordHasher(other).needs_rehash(password_hash)
        assert PasswordHasher(other).verify("correct horse", password_hash)


def test_the_dummy_has_the_cost_of_a_real_hash(hasher: PasswordHasher) -> None:
    """A login of an unknown user costs as much as of a known one."""
    check_hash(hasher.dummy_hash)
    assert hasher.dummy_hash.split("$")[:4] == hasher.hash("correct horse").split("$")[:4]
    assert not hasher.needs_rehash(hasher.dummy_hash)


def test_invalid_and_huge_passwords_are_wrong(hasher: PasswordHasher) -> None:
    """Invalid and huge passwords are wrong and cheap, not an exception."""
    password_hash = hasher.hash("correct horse")
    assert not hasher.verify("\ud800", password_hash)
    assert not hasher.verify("\ufdfa" * PASSWORD_LIMIT, password_hash)


def test_no_memory_is_no_malformed_hash(hasher: PasswordHasher) -> None:
    """Without memory there is an error of its own, for a new hash and for one that is checked."""
    with no_gigabytes():
        with pytest.raises(HashingError, match="not enough memory to hash a password"):
            hasher.verify("correct horse", HUGE_HASH)
        with pytest.raises(HashingError, match=r"login\.argon2\.memory is 4096 MiB"):
            PasswordHasher(Argon2Config(memory_kib=4 * 2**20))
    assert hasher.verify("correct horse", hasher.hash("correct horse"))


# --- rules for new passwords


@pytest.mark.parametrize("password", ["8 chars!", "x" * PASSWORD_LIMIT, "пароль да", "\U0001f600" * 8])
def test_an_allowed_password(password: str) -> None:
    """Length is the only rule; any script and blanks are allowed."""
    check_new_password(password)


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("", "too short; use at least 8"),
        ("seven77", "too short"),
        ("x" * (PASSWORD_LIMIT + 1), "too long; use at most 1024 bytes"),
        ("é" * 600, "too long"),
        ("\ufdfa" * 300, "too long"),
        ("correct\nhorse", "control characters"),
        ("correct\x00horse", "control characters"),
        ("correct\ud800horse", "control characters"),
    ],
)
def test_a_password_that_breaks_a_rule(password: str, sentence: str) -> None:
    """Each rule has its sentence, which does not show the password."""
    with pytest.raises(UsageError, match=sentence) as caught:
        check_new_password(password)
    assert not password or password not in str(caught.value)


def test_generated_passwords_pass_the_rules_and_differ() -> None:
    """A generated password passes the rules and can be typed."""
    passwords = {generate_password() for _ in range(100)}
    assert len(passwords) == 100
    for password in passwords:
        check_new_password(password)
        assert password.isascii()
        assert len(password) == 20
