"""Interpret the command line: extra variables, vault passwords, and which inventory is meant.

`-e` has Ansible's meaning: `key=value` words are texts, `{...}` and `[...]` are YAML or JSON,
`@file` is read, and a later one wins. Invalid options raise InputError. Reads only those files,
and the inventory for completion.
"""

from __future__ import annotations

import os
import re
import shlex
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from shipit import yaml_source
from shipit.errors import InputError, Mistake, Place, ShipitError
from shipit.inventory.model import Reading, load
from shipit.vault import NONE, Passwords, Source, sources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from shipit.inventory.ansible_cfg import AnsibleConfig
    from shipit.secrets import Secret

INVENTORY_VARIABLE = "SHIPIT_INVENTORY"
INVENTORY_NAMES = (
    *("inventory.yaml", "inventory.yml", "inventory.ini", "inventory"),
    *("hosts.yaml", "hosts.yml", "hosts.ini", "hosts"),
)
REHEARSAL_NAMES = (*INVENTORY_NAMES, "inventory.example.yaml")  # no real host is touched


def limits(playbook: Path, given: Sequence[Path], environment: Mapping[str, str]) -> Sequence[str]:
    """Return the names for `--limit`; a completion does not run inventories that are programs."""
    try:
        sources = inventory(playbook, given, environment)
        if any(path.is_file() and os.access(path, os.X_OK) for path in sources):
            return ()
        known = load(sources, Reading(may_run=False))
    except ShipitError:
        return ()
    return [*known.groups, *(host.name for host in known.hosts)]


def extra_vars(texts: Iterable[str], passwords: Passwords = NONE) -> dict[str, object]:
    """Return the variables of all `-e`; a later one wins.

    Raises:
        InputError: extra-vars, or an error of reading a file.
    """
    found: dict[str, object] = {}
    for text in texts:
        found |= _extra_vars(text.strip(), passwords)
    return found


def _extra_vars(text: str, passwords: Passwords) -> dict[str, object]:
    if text.startswith("@"):
        path = Path(text[1:]).expanduser()
        return _mapping(yaml_source.read(path, passwords).value, str(path))
    if text.startswith(("{", "[")):
        return _mapping(yaml_source.parse(Path("--extra-vars"), text).value, "--extra-vars")
    return dict(_pair(word) for word in _words(text))


def _mapping(value: object, source: str) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        what = f"extra variables are a mapping, and this is a {type(value).__name__}"
        raise InputError(Mistake("extra-vars", what, Place(source), "write key: value"))
    return {str(key): item for key, item in value.items()}


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        what = f"{text!r} has a quote that is not closed"
        raise InputError(Mistake("extra-vars", what, Place("--extra-vars"))) from error


def _pair(word: str) -> tuple[str, object]:
    key, equals, value = word.partition("=")
    if equals and key:
        return key, value
    hint = "write key=value, {key: value} or @file.yaml"
    raise InputError(Mistake("extra-vars", f"{word!r} sets nothing", Place("--extra-vars"), hint))


def passwords(
    config: AnsibleConfig,
    files: Iterable[Path],
    identities: Iterable[str],
    ask: Callable[[str], Secret] | None,
) -> Passwords:
    """Return the vault passwords of a run, in the order in which they are tried.

    Args:
        config: ansible.cfg and the environment; their passwords are tried last.
        files: of --vault-password-file.
        identities: of --vault-id, `LABEL@FILE` or `FILE`.
        ask: prompts for the password of a vault id; None without --ask-vault-pass.
    """
    sources = [Source("", partial(ask, ""))] if ask else []
    named = [("", path) for path in files]
    for identity in identities:
        label, at, file = identity.rpartition("@")
        named.append((label if at else "", Path(file).expanduser()))
    return Passwords([*sources, *sources_of([*named, *config.vaults])])


def inventory(
    playbook: Path,
    asked: Sequence[Path],
    environment: Mapping[str, str],
    names: Sequence[str] = INVENTORY_NAMES,
    last: Sequence[Path] = (),
) -> tuple[Path, ...]:
    """Return the inventories of a run: the given ones, SHIPIT_INVENTORY, or one nearby.

    Nearby means beside the playbook, then one folder up, by these names in order. Without one, it
    is `last`: those of ansible.cfg.

    Raises:
        InputError: playbook-missing, inventory-missing.
    """
    if not playbook.is_file():
        what = "the playbook does not exist" if not playbook.exists() else "this is not a file"
        raise InputError(Mistake("playbook-missing", what, Place(str(playbook))))
    named = environment.get(INVENTORY_VARIABLE, "")
    chosen = tuple(asked) or tuple(Path(part) for part in named.split(",") if part)
    for path in chosen:
        if not path.exists():
            origin = "" if asked else f" ({INVENTORY_VARIABLE} names it)"
            what = f"the inventory does not exist{origin}"
            raise InputError(Mistake("inventory-missing", what, Place(str(path))))
    return chosen or _nearby(playbook, names, tuple(last))


def _nearby(playbook: Path, names: Sequence[str], last: tuple[Path, ...]) -> tuple[Path, ...]:
    folder = playbook.resolve().parent
    for place in (folder, folder.parent):
        for name in names:
            found = place / name
            # A folder called hosts is rarely an inventory; one called inventory is.
            if found.is_file() or (name == "inventory" and found.is_dir()):
                return (_as_typed(found),)
    if last:
        return tuple(map(_as_typed, last))
    what = f"there is no inventory beside {playbook}, nor one folder up"
    hint = f"write {folder / INVENTORY_NAMES[0]}, or pass -i FILE, or set {INVENTORY_VARIABLE}"
    raise InputError(Mistake("inventory-missing", what, hint=hint))


def _as_typed(path: Path) -> Path:
    """Return the path relative to the current folder, if it is below: errors stay short."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


_SPAN = re.compile(r"(\d{1,6})([mhd])")
_MINUTES = {"m": 1, "h": 60, "d": 24 * 60}


def moment(text: str) -> str:
    """Return a later time in UTC: of `2h` from now, or of a date with a time.

    Raises:
        ValueError: it is neither, or over.
    """
    now = datetime.now(UTC)
    span = _SPAN.fullmatch(text)
    try:
        if span:
            then = now + timedelta(minutes=int(span[1]) * _MINUTES[span[2]])
        else:
            then = datetime.fromisoformat(text).astimezone(UTC)  # of this machine's zone if none
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time such as 2h, 2d or 2026-12-24T08:00") from None
    if then <= now:
        raise ValueError(f"{text!r} is over")
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


def require_reason(reason: str, *overrides: str) -> None:
    """Require a reason where something is overridden.

    Raises:
        InputError: reason-missing.
    """
    if overrides and not reason.strip():
        what = f"{' and '.join(overrides)}: there is no reason"
        raise InputError(
            Mistake("reason-missing", what, hint="-m WHY; the hosts' histories keep it")
        )
