"""Errors that name what went wrong, where, and what to do about it.

    ShipitError
    ├── InputError     the playbook, inventory, bundle or command line is wrong   (exit status 2)
    │   └── NotNowError    they forbid it at this time                             (exit status 3)
    └── HostError      a host refused, failed or could not be reached             (exit status 3)
        └── Unreachable    no session with the host could be opened

Any other exception is a bug in shipit: it is never caught, and ends with exit status 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")
NAMED_HOSTS = 3  # listed by name; the others are counted


@dataclass(frozen=True, order=True)
class Place:
    """A position in a file; line and column count from 1, and 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)])


@dataclass(frozen=True)
class Mistake:
    """One error in the user's input; `hosts` are those that it affects.

    `evidence` is the output of a program that failed; may have many lines.
    """

    code: str  # kebab-case and stable: users search for it
    what: str
    place: Place | None = None
    hint: str = ""
    hosts: tuple[str, ...] = ()
    evidence: str = ""

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        evidence = "".join(f"\n  | {line}" for line in self.evidence.splitlines())
        hint = f"\n  {self.hint}" if self.hint else ""
        return f"{where}{self.summary} [{self.code}]{evidence}{hint}"

    @property
    def summary(self) -> str:
        """What is wrong, and on which hosts."""
        named, others = self.hosts[:NAMED_HOSTS], len(self.hosts) - NAMED_HOSTS
        more = f" and {others} more" if others > 0 else ""
        return self.what + (f", on {', '.join(named)}{more}" if named else "")


class ShipitError(Exception):
    """The base of every error that a user or operator can act on."""

    exit_status = 3


class InputError(ShipitError):
    """The input is wrong; nothing was changed. Carries all mistakes found."""

    exit_status = 2

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes


class NotNowError(InputError):
    """The input is right, but does not allow the command at this time (exit status 3)."""

    exit_status = 3


class HostError(ShipitError):
    """A step failed on one host.

    Attributes:
        code: kebab-case and stable.
        what: what happened, with the expected and the actual value.
        host: the host's name in the inventory.
        step: the step that failed, as in the events.
        hint: what to do about it.
        evidence: the unit's log, the command's output; may have many lines.
    """

    def __init__(
        self, code: str, what: str, *, host: str, step: str = "", hint: str = "", evidence: str = ""
    ) -> None:
        super().__init__(f"{host}: {what} [{code}]" + (f"\n  {hint}" if hint else ""))
        self.code, self.what, self.host = code, what, host
        self.step, self.hint, self.evidence = step, hint, evidence


class Unreachable(HostError):
    """No session with the host could be opened: refused, timed out, wrong key, no login."""


class ErrorCollector:
    """Collects the mistakes of several steps, so that they are reported together."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def attempt(self, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what `make` returns, or None after a mistake."""
        try:
            return make(*args, **kwargs)
        except InputError as error:
            self.mistakes += error.mistakes
            return None

    def result(self, made: T | None) -> T:
        """Return `made` if there was no mistake.

        Raises:
            InputError: with all mistakes.
        """
        if self.mistakes or made is None:
            raise InputError(*self.mistakes)
        return made


def collect(make: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """Return `make` of every item.

    Raises:
        InputError: with the mistakes of all items, each once.
    """
    made: list[U] = []
    mistakes: list[Mistake] = []
    for item in items:
        try:
            made.append(make(item))
        except InputError as error:
            mistakes += error.mistakes
    if mistakes:
        raise InputError(*merged(mistakes))
    return made


def merged(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """Return each mistake once, with all hosts that it affects."""
    hosts: dict[Mistake, dict[str, None]] = {}
    for mistake in mistakes:
        alike = replace(mistake, hosts=())
        hosts.setdefault(alike, {}).update(dict.fromkeys(mistake.hosts))
    return [replace(mistake, hosts=tuple(names)) for mistake, names in hosts.items()]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` for the known word closest to a mistyped one, or ""."""
    close = get_close_matches(word, list(known), n=1)
    return f"did you mean '{close[0]}'?" if close else ""
