"""A hook of a playbook, and its migration, as frozen models."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pydantic import Field

from shipit.playbook.fields import (
    Duration,
    Flag,
    HookPoint,
    HookRun,
    Line,
    Model,
    UserName,
    Words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTROLLER, ONCE, EACH = "controller", "once", "each"  # where a hook runs


def _first_word(hook: Mapping[str, object]) -> str:
    """Return the default name of a hook: its program."""
    words = shlex.split(str(hook.get("command", "")))
    return words[0].rpartition("/")[2] if words else ""


class Hook(Model):
    """A command that is run at one point of a deploy."""

    when: HookPoint = Field(
        description="When to run it: once a release is `staged`, `before_activate`,"
        " `after_activate`, `before_commit`, `after_commit`, or `on_rollback`; on the controller"
        " also `before_stage` (see docs/hooks.md).",
        examples=["after_activate"],
    )
    run: HookRun = Field(
        default=EACH,
        description="Where to run it: on `each` host; on one host, `once` in a deploy; or on the"
        " `controller`, once as well.",
        examples=["once"],
    )
    command: Words = Field(
        description="The command, run without a shell. On a host its first word is looked up in"
        " the release's venv/bin, and it has the environment of the services; on the controller it"
        " starts in the playbook's folder.",
        examples=["demoapp warm-cache --all"],
    )
    name: Line = Field(
        default_factory=_first_word,
        description="Its name in plans and output. Default: its program.",
        examples=["Warm the cache"],
    )
    timeout: Duration = Field(
        default=300.0,
        description="How long it may take before it is killed, with all processes that it has"
        " started.",
        examples=["90s", "10m"],
    )
    user: UserName = Field(
        default="",
        description="The user that it runs as on a host; it must exist. Default: the app's user.",
        examples=["demoapp"],
    )

    @property
    def on_host(self) -> bool:
        return self.run != CONTROLLER


class Migrate(Model):
    """What changes the data that releases share, such as the schema of a database."""

    command: Words = Field(
        description="The command, run once on one host before any host is switched: as the app's"
        " user, without a shell, in the environment of the new release.",
        examples=["demoapp migrate"],
    )
    pending: Words = Field(
        default="",
        description="A command that changes nothing and prints what the migration would do. Its"
        " output is shown before the migration, and by `shipit plan` if the host has the release.",
        examples=["demoapp migrate --plan"],
    )
    reversible: Flag = Field(
        default=True,
        description="Whether the previous release runs with the changed data. If not, a rollback"
        " past this release is refused unless it is forced.",
        examples=[False],
    )
    timeout: Duration = Field(
        default=3600.0,
        description="How long it may take before it is killed; what it has done is unknown then.",
        examples=["10m"],
    )
