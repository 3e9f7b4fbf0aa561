"""What a release is made of: the keys below `project:`, `bundle:`, `python:` and `assets:`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from shipit.playbook import parsers, paths
from shipit.playbook.fields import (
    AssetsFolder,
    BundleUrl,
    Count,
    Directory,
    Duration,
    File,
    Line,
    Model,
    PythonSource,
    Sha256,
    Specifier,
    Words,
)

_PIN = "#sha256="


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


class PinnedFile(Model):
    """A bundle: a file on this machine, or a URL; without a digest, this alone is enough."""

    path: File | None = Field(
        default=None, description="The file.", examples=["dist/demoapp-1.4.0.shipit"]
    )
    url: BundleUrl | None = Field(
        default=None,
        description="Where it can be fetched, instead of `path`: https://, or what fsspec knows,"
        " such as s3://, gs:// and az://. With its digest, it is fetched once.",
        examples=["s3://releases/demoapp-1.4.0.shipit"],
    )
    sha256: Sha256 = Field(
        default="",
        description="The sha256 that the file must have, in hexadecimal.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )


class Assets(Model):
    """Static files that outlive releases, in the directory `assets` of the app's root."""

    source: AssetsFolder = Field(
        default="",
        alias="from",
        description="Where they are: a folder of the working directory of the release, or"
        " PACKAGE:FOLDER for one in an installed package.",
        examples=["static", "demoapp:static"],
    )
    command: Words = Field(
        default="",
        description="Instead of `from`, a command that writes them into the empty directory"
        " $SHIPIT_ASSETS; run on each host as the app's user, without a shell, in the environment"
        " of the services.",
        examples=["django-admin collectstatic --noinput"],
    )
    timeout: Duration = Field(
        default=300.0,
        description="How long the command may take before it is killed.",
        examples=["2m"],
    )
    keep: Count = Field(
        default=3,
        description="Of how many committed releases they are kept, the running one included; not"
        " of more than `keep_releases`.",
        examples=[3],
    )


class PythonArchive(Model):
    """An archive on this machine with a relocatable Python for one platform."""

    path: File = Field(
        description="A .tar.gz as those of python-build-standalone: one folder with bin/ and lib/.",
        examples=["pythons/cpython-3.13.1-x86_64-unknown-linux-gnu-install_only.tar.gz"],
    )
    sha256: Sha256 = Field(
        description="The sha256 that the file must have, in hexadecimal.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )


class Python(Model):
    """Which Python the venvs are made with; without other keys, its version alone is enough."""

    version: Specifier = Field(
        default="",
        description="Which versions are accepted, in quotes. Default: any that the wheel accepts.",
        examples=["3.13", ">=3.11"],
    )
    source: PythonSource = Field(
        default="host",
        description="Where it comes from: one of the `host`, or one that comes with the release"
        " (`bundle`), so that the host needs none.",
        examples=["bundle"],
    )
    archives: tuple[PythonArchive, ...] = Field(
        default=(),
        description="With `source: bundle`, the archives to choose from, one for each platform."
        " Default: those of python-build-standalone, fetched by uv.",
        examples=[[{"path": "pythons/cpython-3.13.1-....tar.gz", "sha256": "9f86d08..."}]],
    )

    @property
    def is_brought(self) -> bool:
        """Whether it comes with the release."""
        return self.source == "bundle"


def as_python(value: object) -> object:
    """Expand a version to a mapping with `version` only."""
    return value if isinstance(value, Mapping) else {"version": value}


def as_pinned_file(value: object) -> object:
    """Expand `PATH` and `PATH#sha256=DIGEST`, or such a URL, to a mapping."""
    if not isinstance(value, str):
        return value
    where, pin, digest = value.partition(_PIN)
    return {_kind(where): where, **({"sha256": digest} if pin else {})}


def _kind(where: str) -> str:
    return "url" if "://" in where else "path"


def pinned(text: str) -> PinnedFile:
    """Return the bundle that a command line names, relative to the working directory.

    Raises:
        InvalidValueError: the digest or the URL is none.
    """
    where, pin, digest = text.partition(_PIN)
    sha256 = parsers.sha256(digest) if pin else ""
    if _kind(where) == "url":
        return PinnedFile.model_construct(path=None, url=paths.bundle_url(where), sha256=sha256)
    return PinnedFile.model_construct(path=Path(where), url=None, sha256=sha256)


def as_project(value: object) -> object:
    """Expand a path to a mapping with `path` only."""
    return value if isinstance(value, Mapping) else {"path": value}
