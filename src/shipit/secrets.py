"""Fetch secrets by reference, and mask them in all output.

A `Secret` prints as ***, however it is printed. `Mask` hides its value in texts (see
`agent.protocol.rules.redaction` for the encodings that are found).
"""

from __future__ import annotations

import hmac
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from shipit.agent.protocol.rules import redaction
from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

COMMAND_TIMEOUT = 30.0  # seconds
_TOKEN = 16  # characters; shorter users, and values of a query, are words such as `host`
_FORMS = "env:NAME, file:PATH or command:ARGV"


class Secret:
    """A text that prints as ***; only `reveal` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({redaction.MASK})"

    def __str__(self) -> str:
        return redaction.MASK

    def __format__(self, spec: str) -> str:
        return format(redaction.MASK, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._value), _bytes(other._value))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret can't be pickled: it would be readable there")


class SecretUrl(Secret):
    """A URL that prints without what may be credentials: its user, its password and its query."""

    __slots__ = ()

    def __str__(self) -> str:
        parts = urlsplit(self._value)
        login, at, host = parts.netloc.rpartition("@")
        shown = parts._replace(netloc=f"{redaction.MASK if login else ''}{at}{host}", fragment="")
        return shown._replace(query=redaction.MASK if parts.query else "").geturl()

    def __repr__(self) -> str:
        return f"SecretUrl({self})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def beside(self, suffix: str) -> SecretUrl:
        """Return the URL of a file that lies beside this one, by the same credentials."""
        parts = urlsplit(self._value)
        return SecretUrl(parts._replace(path=parts.path + suffix).geturl())

    def hidden(self) -> Iterator[str]:
        """Yield the texts in it that must not be shown anywhere."""
        parts = urlsplit(self._value)
        login, _, _ = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        yield from filter(None, (password, unquote(password), parts.query))
        values = (value for _, value in parse_qsl(parts.query))
        yield from (value for value in (user, *values) if len(value) >= _TOKEN)


@dataclass(frozen=True)
class Unopened:
    """A secret in a vault that no password opens: a mistake only where its value is needed."""

    mistake: Mistake


def resolve(reference: str | Secret | Unopened, base: Path, place: Place | None = None) -> Secret:
    """Fetch a secret.

    `env:NAME` is an environment variable, `file:PATH` a file's text (relative to `base`, the folder
    of the playbook; ~ is the home), `command:ARGV` the output of a program that is started in
    `base`, without a shell, for at most 30 seconds. One newline at the end is dropped.

    Raises:
        InputError: with the code of the vault, secret-reference, secret-missing, secret-unreadable,
            secret-command or secret-empty; never shows a value or what the command printed.
    """
    if isinstance(reference, Secret):
        return reference
    if isinstance(reference, Unopened):
        raise InputError(reference.mistake)
    kind, _, rest = reference.partition(":")
    rest = rest.strip()
    if kind not in _READERS or not rest:
        # The text may be the secret itself: it is not repeated.
        what = "this is no reference to a secret"
        raise InputError(Mistake("secret-reference", what, place, f"write {_FORMS}"))
    value = _READERS[kind](rest, base, place)
    if not value:
        hint = "put the secret there, or take the key out of the playbook"
        raise InputError(Mistake("secret-empty", f"the secret {reference} is empty", place, hint))
    return Secret(value)


def _from_environment(name: str, _base: Path, place: Place | None) -> str:
    value = os.environ.get(name)
    if value is None:
        what = f"the environment variable {name} of the secret is not set"
        hint = f"export {name}=... before the run"
        raise InputError(Mistake("secret-missing", what, place, hint))
    return value


def _from_file(name: str, base: Path, place: Place | None) -> str:
    try:
        path = base / Path(name).expanduser()
        return _without_newline(path.read_bytes(), path, place)
    except FileNotFoundError as error:
        what = f"the secret's file {base / name} does not exist"
        hint = "paths are relative to the playbook"
        raise InputError(Mistake("secret-missing", what, place, hint)) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ of a user who does not exist
        reason = error.strerror if isinstance(error, OSError) else error
        what = f"the secret's file {name} cannot be read: {reason}"
        raise InputError(Mistake("secret-unreadable", what, place)) from error


def _from_command(text: str, base: Path, place: Place | None) -> str:
    try:
        argv = shlex.split(text)
    except ValueError as error:
        what = f"the secret's command is not closed properly: {error}"
        raise InputError(Mistake("secret-command", what, place)) from error
    program = argv[0]
    hint = "run it by hand to see why; what it printed is not shown here"
    try:
        done = run(argv, COMMAND_TIMEOUT, base)
    except subprocess.TimeoutExpired:
        what = f"the secret's command {program} took longer than {COMMAND_TIMEOUT:g} s"
        # `from None`: the cause contains the output so far.
        raise InputError(Mistake("secret-command", what, place, hint)) from None
    except OSError as error:
        what = f"the secret's command {program} cannot be started: {error.strerror}"
        raise InputError(Mistake("secret-command", what, place)) from error
    if done.returncode:
        what = f"the secret's command {program} failed with exit status {done.returncode}"
        raise InputError(Mistake("secret-command", what, place, hint))
    return _without_newline(done.stdout, program, place)


def run(
    argv: Sequence[str], seconds: float, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program that prints secrets: on stderr, too, so that both are captured.

    Raises:
        OSError, subprocess.TimeoutExpired: a timeout has the output so far.
    """
    return subprocess.run(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
    )


def _without_newline(raw: bytes, source: object, place: Place | None) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        what = f"the secret from {source} is not UTF-8 text"
        # `from None`: the cause contains the value.
        hint = "keep binary secrets in base64"
        raise InputError(Mistake("secret-unreadable", what, place, hint)) from None
    return text.removesuffix("\n").removesuffix("\r")


_READERS = {"env": _from_environment, "file": _from_file, "command": _from_command}
KINDS = tuple(_READERS)


class Mask(redaction.Mask):
    """Masks values in texts."""

    def __init__(self, values: Iterable[Secret | str]) -> None:
        super().__init__(v.reveal() if isinstance(v, Secret) else v for v in values)


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")
