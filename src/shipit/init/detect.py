"""Look for everything in a project's files that says how to deploy it. Pure.

`detect` finds, with the place of each finding; `decide` in `decisions` chooses among it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.init import metadata, processes, web, workers
from shipit.init.frameworks import MAKERS, QUEUES
from shipit.init.python import app_objects, environment, modules, routes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shipit.errors import Place
    from shipit.init.findings import Service
    from shipit.init.metadata import LockFile, Metadata
    from shipit.init.processes import Process
    from shipit.init.project_files import Note, ProjectFiles
    from shipit.init.python.modules import Module
    from shipit.init.web import WebApp

# A module without any of these says nothing about a deploy; the last ones call a factory.
_WORDS = frozenset(
    {
        *(maker.partition(".")[0] for maker in (*MAKERS, *QUEUES)),
        *(*environment.WORDS, *routes.WORDS, *workers.WORDS),
        *("ALLOWED_HOSTS", "STATIC_ROOT", "app =", "application ="),
    }
)


@dataclass(frozen=True)
class Findings:
    """What a project's files say.

    Attributes:
        project: what its folder says of itself.
        app: of the member of its workspace that is deployed; else the same.
        web_apps: the likeliest first.
        pages: the paths that look like health checks, the likeliest first.
        variables: what must be in the environment.
        hosts_allowed: Django's ALLOWED_HOSTS, as far as they are texts.
        static_root: the last part of Django's STATIC_ROOT.
    """

    files: ProjectFiles
    project: Metadata
    app: Metadata
    locks: tuple[LockFile, ...]
    processes: tuple[Process, ...]
    web_apps: tuple[WebApp, ...]
    workers: tuple[Service, ...]
    pages: tuple[tuple[str, Place], ...]
    variables: tuple[tuple[str, Place], ...]
    hosts_allowed: tuple[tuple[str, Place], ...]
    static_root: tuple[tuple[str, Place], ...]
    notes: tuple[Note, ...]


def detect(files: ProjectFiles) -> Findings:
    """Return what the files of a project say."""
    project, notes = metadata.read(files)
    found, more = processes.read(files)
    candidates = [_candidate(files, folder, project, found) for folder in project.members]
    candidates = [each for each in candidates if each.web_apps or each.workers]
    chosen = candidates[0] if candidates else _candidate(files, "", project, found)
    return Findings(
        files,
        project,
        chosen.metadata,
        tuple(metadata.locks(files)),
        tuple(found),
        chosen.web_apps,
        chosen.workers,
        tuple(routes.health_pages(chosen.modules)),
        tuple(environment.required(chosen.modules)),
        tuple(_assigned(chosen.modules, "ALLOWED_HOSTS")),
        tuple(_assigned(chosen.modules, "STATIC_ROOT"))[-1:],
        (*files.notes, *notes, *more, *chosen.notes),
    )


@dataclass(frozen=True)
class _Candidate:
    """A project, or a member of its workspace, that may be the app."""

    metadata: Metadata
    modules: Sequence[Module]
    web_apps: tuple[WebApp, ...]
    workers: tuple[Service, ...]
    notes: Sequence[Note]


def _candidate(
    files: ProjectFiles, folder: str, project: Metadata, found: Sequence[Process]
) -> _Candidate:
    own, notes = metadata.read(files, folder) if folder else (project, [])
    parsed, more = modules.parse(files, folder, _WORDS)
    dependencies = {**project.dependencies, **own.dependencies}
    objects = app_objects.web_objects(parsed)
    return _Candidate(
        own,
        parsed,
        tuple(web.web_apps(objects, found, dependencies)),
        workers.workers(found, parsed, files, folder),
        [*notes, *more],
    )


def _assigned(parsed: Sequence[Module], name: str) -> Iterator[tuple[str, Place]]:
    """Yield the texts in what a module assigns to a name."""
    for module in parsed:
        for node in module.nodes(ast.Assign):
            if any(isinstance(each, ast.Name) and each.id == name for each in node.targets):
                texts = map(modules.text_of, modules.of_kind(ast.Constant, node.value))
                yield from ((text, module.place(node)) for text in texts if text)
