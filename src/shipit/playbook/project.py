"""The keys below `project:`: what a release is built from, where no wheel is named."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from shipit.playbook.fields import Directory, Line, Model


class Project(Model):
    """A project on this machine; without other keys, its path alone is enough."""

    path: Directory = Field(
        description="The project's folder, relative to the playbook: where its pyproject.toml or"
        " its requirements are.",
        examples=[".."],
    )
    package: Line = Field(
        default="",
        description="The member of a workspace that is the app. Default: the project itself.",
        examples=["billing-api"],
    )
    extras: tuple[Line, ...] = Field(
        default=(),
        description="Extras of the project that are installed as well.",
        examples=[["postgres"]],
    )
    groups: tuple[Line, ...] = Field(
        default=(),
        description="Dependency groups of the lock that are installed as well. Default: none, so"
        " no development dependencies.",
        examples=[["prod"]],
    )
    include: tuple[Line, ...] = Field(
        default=(),
        description="Patterns of files to ship although git ignores them, for a project without a"
        " build system; relative to its folder.",
        examples=[["static/**"]],
    )
    exclude: tuple[Line, ...] = Field(
        default=(),
        description="Patterns of files not to ship, for a project without a build system.",
        examples=[["docs/**", "tests/**"]],
    )


def as_project(value: object) -> object:
    """Expand a path to a mapping with `path` only."""
    return value if isinstance(value, Mapping) else {"path": value}
