"""Choose the services besides the web app: workers of task queues, schedulers, other processes."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from shipit.init.findings import Guess, Service
from shipit.init.frameworks import PROGRAMS, QUEUES
from shipit.init.python.app_objects import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shipit.errors import Place
    from shipit.init.processes import Process
    from shipit.init.project_files import ProjectFiles
    from shipit.init.python.modules import Module

WORDS = ("celery", "huey", "dramatiq")
_SCHEDULE = r"\bbeat_schedule\b|\bCELERY_?BEAT_SCHEDULE\b|\badd_periodic_task\("
# Words that mean the same in a shell, in systemd's ExecStart, in YAML and in a template.
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./()-]+")
_SECRET = re.compile(r"(?i)://[^/]*@|passw|secret|token")
_SCRIPTS = {"huey_consumer": "huey", "huey_consumer.py": "huey"}


def workers(
    processes: Sequence[Process], modules: Sequence[Module], files: ProjectFiles, top: str
) -> tuple[Service, ...]:
    """Return the services of the processes, and those of task queues that no process runs."""
    found = {service.name: service for service in _of_processes(processes)}
    kinds = {_kind(service) for service in found.values()}
    for service in _of_objects(modules, files, top):
        if _kind(service) not in kinds:
            found.setdefault(service.name, service)
    return tuple(found.values())


def is_plain(process: Process) -> bool:
    """Return whether a command can stand in a playbook: no shell, no template, no secret."""
    words = process.command
    return (
        bool(words)
        and all(_PLAIN.fullmatch(word) for word in words)
        and not any(_SECRET.search(word) for word in words)
    )


def _kind(service: Service) -> str:
    return service.guess.value.partition(" ")[0]


def _of_processes(processes: Sequence[Process]) -> Iterator[Service]:
    for process in processes:
        line = _served(process)
        is_own = process.place.file == "Procfile" and process.program not in PROGRAMS
        name = service_name(process.name)
        if not name or not is_plain(process):
            continue
        if line:
            yield Service(name, "serve", Guess(name, line, process.place))
        elif is_own and name not in ("web", "release"):
            command = " ".join(process.command)
            yield Service(name, "command", Guess(name, command, process.place))


def _served(process: Process) -> str:
    """Return the `serve:` line of a task worker; "" for another process."""
    words = process.words[1:]
    if process.program == "celery":
        kinds = {"worker": "celery", "beat": "celery-beat"}
        kind = next((word for word in words if word in kinds), "")
        return " ".join([kinds[kind], *(word for word in words if word != kind)]) if kind else ""
    if process.program == "rq" and words[:1] == ("worker",):
        return " ".join(["rq", *words[1:]])
    program = _SCRIPTS.get(process.program, process.program)
    return " ".join([program, *words]) if program in ("dramatiq", "huey") and words else ""


def _of_objects(modules: Sequence[Module], files: ProjectFiles, top: str) -> Iterator[Service]:
    """Yield a worker for each task queue that the source makes, and Celery's beat if it has one."""
    found = {kind: (target, place) for kind, target, place in named(modules, QUEUES)}
    if "celery" in found:
        target, place = found["celery"]
        yield _worker("worker", f"celery -A {target}", place, "Celery")
        paths = (path for path in files.named("*.py") if path.startswith(top))
        schedules = (files.place_of(path, _SCHEDULE) for path in paths)
        if schedule := next((each for each in schedules if each.line), None):
            yield _worker("beat", f"celery-beat -A {target}", schedule, "a schedule")
    if "huey" in found:
        target, place = found["huey"]
        yield _worker("worker", f"huey {target.replace(':', '.')}", place, "Huey")
    actors = [(each.name, place) for each in modules for place in _actors(each)]
    if actors:
        names = sorted({name for name, _ in actors})
        yield _worker("worker", f"dramatiq {' '.join(names)}", actors[0][1], "dramatiq.actor")


def _worker(name: str, line: str, place: Place, why: str) -> Service:
    return Service(name, "serve", Guess(name, line, place, why))


def _actors(module: Module) -> Iterator[Place]:
    """Yield the first place in which a module uses dramatiq's actors."""
    for node in (*module.nodes(ast.Attribute), *module.nodes(ast.Name)):
        if module.dotted(node) == "dramatiq.actor":
            yield module.place(node)
            return


def of_scripts(scripts: Mapping[str, Place]) -> Iterator[Service]:
    """Yield a service for the first script of a project: it has nothing else to run."""
    for script, place in [each for each in scripts.items() if _PLAIN.fullmatch(each[0])][:1]:
        yield Service("main", "command", Guess("main", script, place, "[project.scripts]"))


def service_name(name: str) -> str:
    """Return a name as a playbook's service may have it; "" if nothing of it is left."""
    letters = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return re.sub(r"^[^a-z]+", "", letters)[:31].rstrip("-")
