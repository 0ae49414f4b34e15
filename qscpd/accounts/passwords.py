"""Passwords: rules, hashes, and the threads that compute them.

A hash is argon2id and deliberately takes tens of milliseconds and tens of mebibytes. So
it never runs on the event loop, and the number of running and waiting hashes is bounded.
"""

import secrets
import unicodedata
from typing import Final, NoReturn

from qscp.limits import PASSWORD_LIMIT
from qscpd.config.model import Argon2Config
from qscpd.errors import QscpdError, UsageError

PASSWORD_MINIMUM: Final = 8
"""Fewest characters in a new password: the minimum of NIST SP 800-63B. Its newest revision asks for 15
where a password is the only factor; `--generate` makes such a one. There are no rules about kinds of
characters and no forced changes: the standard says that they make passwords worse."""

_GENERATED_BYTES: Final = 15
"""Random bytes in a generated password: 120 bits, and 20 characters without padding."""

_HASH_BYTES: Final = 32

_NO_RESOURCES: Final = ("Memory allocation error", "Threading failure")
"""Texts of argon2's errors that are not about the password or its hash (`argon2_error_message`, argon2.c)."""


class MalformedHashError(QscpdError):
    """A stored password hash is not argon2; the account needs a new password."""


class HashingError(QscpdError):
    """The system has not enough memory to hash a password now."""


def _normalize(password: str) -> bytes:
    """Return the bytes that are hashed.

    NFKC, as NIST SP 800-63B requires: the same characters are the same password, however a
    keyboard composes them.
    """
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")


def check_new_password(password: str) -> None:
    """Check the rules for a new password.

    Raises:
        UsageError: It breaks a rule; the text names the rule, never the password.
    """
    # Length counts characters as typed; NFKC can change their number.
    if len(password) < PASSWORD_MINIMUM:
        raise UsageError(f"the password is too short; use at least {PASSWORD_MINIMUM} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise UsageError("the password contains control characters; use only characters that can be typed")
    if max(len(password.encode()), len(_normalize(password))) > PASSWORD_LIMIT:
        raise UsageError(f"the password is too long; use at most {PASSWORD_LIMIT} bytes of UTF-8")


def check_hash(password_hash: str) -> None:
    """Check the form of a password hash before it is stored.

    Raises:
        MalformedHashError: It is not an argon2 hash.
    """
    from passlib.hash import argon2  # noqa: PLC0415 - slow to import, and few commands hash

    try:
        argon2.from_string(password_hash)
    except ValueError:
        # The library's text can contain the hash.
        raise MalformedHashError("the password hash is malformed") from None


def generate_password() -> str:
    """Return a random password of letters, digits, hyphens and underscores."""
    return secrets.token_urlsafe(_GENERATED_BYTES)


class PasswordHasher:
    """Hasher with the parameters of the configuration; safe for use by several threads.

    Raises:
        HashingError: There is not enough memory for a hash.
    """

    def __init__(self, config: Argon2Config) -> None:
        from passlib.hash import argon2  # noqa: PLC0415 - slow to import, and few commands hash

        self._scheme = argon2.using(
            type="ID",
            memory_cost=config.memory_kib,
            rounds=config.iterations,
            parallelism=config.parallelism,
            digest_size=_HASH_BYTES,
        )
        self._memory_mib = config.memory_kib / 1024
        self._dummy: str = self._hash(secrets.token_bytes(_HASH_BYTES))

    @property
    def dummy_hash(self) -> str:
        """A hash of the same cost that matches no password, for logins of unknown users."""
        return self._dummy

    def hash(self, password: str) -> str:
        """Return the hash of a password that was checked or verified before.

        Raises:
            HashingError: There is not enough memory.
        """
        return self._hash(_normalize(password))

    def verify(self, password: str, password_hash: str) -> bool:
        """Return whether the password matches the hash.

        Raises:
            MalformedHashError: The hash is not an argon2 hash.
            HashingError: There is not enough memory.
        """
        encoded = _normalize(password)
        if len(encoded) > PASSWORD_LIMIT:
            # No password is that long, and an unauthenticated peer must not make us hash more.
            return False
        try:
            return bool(self._scheme.verify(encoded, password_hash))
        except (ValueError, MemoryError) as error:
            self._raise(error)

    def needs_rehash(self, password_hash: str) -> bool:
        """Return whether the hash was made with other parameters.

        Raises:
            MalformedHashError: The hash is not an argon2 hash.
        """
        try:
            return bool(self._scheme.needs_update(password_hash))
        except ValueError as error:
            self._raise(error)

    def _hash(self, encoded: bytes) -> str:
        try:
            password_hash: str = self._scheme.hash(encoded)
        except (ValueError, MemoryError) as error:
            self._raise(error)
        return password_hash

    def _raise(self, error: Exception) -> NoReturn:
        """Raise the error for one of the library, whose own text can contain the hash."""
        if isinstance(error, MemoryError) or str(error.__context__) in _NO_RESOURCES:
            raise HashingError(
                f"not enough memory to hash a password (login.argon2.memory is {self._memory_mib:g} MiB): "
                "give the process more, or lower the setting"
            ) from None
        raise MalformedHashError("a stored password hash is malformed; set the password again") from None
