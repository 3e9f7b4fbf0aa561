"""Refuse deploys in the windows that the playbook freezes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.errors import Mistake, NotNowError
from shipit.playbook.fleet import windows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from shipit.release.inputs import HostInput


def refuse(each: Sequence[Sequence[HostInput]], now: datetime) -> None:
    """Refuse a run in which a deployment is frozen for one of its hosts.

    Raises:
        NotNowError: frozen, with all deployments that are.
    """
    if mistakes := [mistake for found in each for mistake in _frozen(found, now)]:
        raise NotNowError(*mistakes)


def notes(found: Sequence[HostInput], now: datetime) -> tuple[str, ...]:
    """Return what `plan` says of it."""
    return tuple(f"{mistake.what} (--override-freeze -m WHY)" for mistake in _frozen(found, now))


def _frozen(found: Sequence[HostInput], now: datetime) -> Iterator[Mistake]:
    """Yield a mistake where a deployment is frozen, at the window that is."""
    of_all = {freeze: None for host in found for freeze in host.deployment.freeze}
    end = windows.until(((each.when, each.timezone) for each in of_all), now)
    if end is None:
        return
    first = found[0]
    here = next(each for each in of_all if windows.until([(each.when, each.timezone)], now))
    why = f": {here.reason}" if here.reason else ""
    local = end.astimezone(here.timezone).strftime("%a %Y-%m-%d %H:%M %Z")
    mine = first.deployment.freeze
    at = ("freeze", mine.index(here), "when") if here in mine else ("freeze",)
    what = f"deploys of {first.deployment.app} are frozen until {local}{why}"
    hint = "wait, or --override-freeze -m WHY, which is recorded; a rollback is possible"
    yield Mistake("frozen", what, first.draft.place(at), hint)
