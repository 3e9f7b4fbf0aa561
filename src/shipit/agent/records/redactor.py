"""Mask the secrets of every release on this host in what is sent or written of a transaction.

Promises that the free text of a message has no secret of any release on this host: the wanted
one, the previous one (a rollback shows the log of a release whose secrets the controller does not
know), and older ones. The manifest names the secret variables; for a manifest of an older
version, which does not, all are secret. Ids, unit texts and digests are never touched.
"""

import os
from dataclasses import replace
from typing import Any, Dict, Iterable, Mapping, Optional, Set, Tuple, Type, TypeVar

from ..protocol.answers import WatchFailure, WatchState
from ..protocol.hooks import HookOutput
from ..protocol.manifest import Manifest
from ..protocol.messages import (
    Facts,
    Failure,
    Findings,
    LogLines,
    Probed,
    Settled,
    Status,
    StepFailed,
)
from ..system.paths import Paths
from . import env_file, releases

T = TypeVar("T")

# The fields with text of a program, a service or an error.
FREE_TEXT: Mapping[Type[Any], Tuple[str, ...]] = {
    Failure: ("what", "hint", "evidence"),
    Findings: ("problems", "pending"),
    StepFailed: ("failure",),
    Settled: ("failure",),
    Probed: ("detail",),
    LogLines: ("text",),
    HookOutput: ("text",),
    Status: ("stuck", "watch"),
    WatchState: ("found", "done", "left"),
    WatchFailure: ("what", "hint", "evidence"),
    Facts: ("recovered", "stuck"),
}
MASKED_LENGTH = 4  # characters; a shorter value that is not known to be secret stays readable


class Redactor:
    """Masks messages; reads the env files when there is text to mask.

    `paths`: of the app; None before it is known, when there is nothing to mask.
    """

    def __init__(self, paths: Optional[Paths]) -> None:
        self._paths = paths
        self._values: Set[str] = set()
        self._read: Dict[str, int] = {}  # release -> when its manifest was made
        self._mask: Any = None

    def learn(self, manifest: Manifest, texts: Mapping[str, str]) -> None:
        """Mask the secrets of a release that is not on this host yet as well."""
        self._add(secrets(manifest, texts))

    def __call__(self, message: T) -> T:
        """Return the message with its free text masked."""
        fields = FREE_TEXT.get(type(message), ())
        found = {name: getattr(message, name) for name in fields}
        masked = {name: self._masked(value) for name, value in found.items() if value}
        return replace(message, **masked) if masked else message  # type: ignore[type-var]

    def text(self, text: str) -> str:
        """Return a text with every secret masked, including the rest of one that was cut."""
        self._load_new()
        return str(self._mask.cut(text)) if self._mask else text

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, tuple):
            return tuple(map(self._masked, value))
        return self(value)

    def _load_new(self) -> None:
        """Read the env files of releases added since the last call."""
        paths = self._paths
        if paths is None:
            return
        for name in releases.listed(paths):
            try:
                made = os.stat(paths.release(name).manifest).st_mtime_ns
            except OSError:
                continue  # incomplete: it has never run
            if self._read.get(name) != made:
                self._read[name] = made
                self._add(_of_release(paths, name))

    def _add(self, values: Iterable[str]) -> None:
        new = set(values) - self._values
        if not new:
            return
        from ..protocol.rules.redaction import Mask  # noqa: PLC0415 - slow to import, and seldom needed

        self._values |= new
        self._mask = Mask(self._values)


def _of_release(paths: Paths, name: str) -> Set[str]:
    manifest = releases.manifest(paths, name)
    if manifest is None:
        return set()
    return secrets(manifest, releases.env_texts(paths, manifest))


def secrets(manifest: Manifest, texts: Mapping[str, str]) -> Set[str]:
    """Return the secret values in a release's env files."""
    found: Set[str] = set()
    for env in manifest.env:
        values = env_file.parse(texts.get(env.service, ""))
        if env.secret is None:
            found.update(value for value in values.values() if len(value) >= MASKED_LENGTH)
        else:
            found.update(values[key] for key in env.secret if key in values)
    return found
