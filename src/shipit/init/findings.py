"""What was found in a project, and what follows from it: the types of this package's steps."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.errors import Place


@dataclass(frozen=True)
class Guess:
    """One decision: what was decided, how, and where that comes from.

    Attributes:
        place: the line that says so; None for a default.
        why: what is there, in a few words.
    """

    what: str
    value: str
    place: Place | None = None
    why: str = ""

    def __str__(self) -> str:
        source = ", ".join(filter(None, (str(self.place or ""), self.why)))
        return f"{self.what}: {self.value}" + (f" ({source})" if source else "")


@dataclass(frozen=True)
class Service:
    """A service of the playbook.

    Attributes:
        key: `serve` or `command`, whose value is that of the guess.
        port: that of its socket; 0 for none.
    """

    name: str
    key: str
    guess: Guess
    port: int = 0


@dataclass(frozen=True)
class Setup:
    """All that the playbook says, and from where; None and () for what it leaves out.

    Attributes:
        project: what is shipped: a wheel, or the folder as it is.
        package: the member of a workspace.
        include: what is shipped although git ignores it.
        lock: what has the dependencies, if it has to be named.
        health: the path of the page that is asked.
        health_host: the Host header that the app demands.
        todo: what is left to do before the first deploy.
    """

    app: Guess
    project: Guess
    package: Guess | None
    groups: tuple[Guess, ...]
    extras: tuple[Guess, ...]
    include: Guess | None
    lock: Guess | None
    python: Guess | None
    services: tuple[Service, ...]
    port: Guess | None
    secrets: tuple[Guess, ...]
    env_file: Guess | None
    health: Guess | None
    health_host: Guess | None
    todo: tuple[str, ...]

    @property
    def guesses(self) -> tuple[Guess, ...]:
        """All guesses, in the order of the playbook."""
        values = [getattr(self, field.name) for field in fields(self) if field.name != "todo"]
        return tuple(guess for value in values for guess in _guesses(value))


def _guesses(value: object) -> Iterator[Guess]:
    if isinstance(value, Guess):
        yield value
    elif isinstance(value, Service):
        yield value.guess
    elif isinstance(value, tuple):
        for each in value:
            yield from _guesses(each)
