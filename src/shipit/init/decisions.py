"""Decide what the playbook says: from what was found, and what the user has answered. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.errors import Place
from shipit.init import metadata, workers
from shipit.init.findings import Guess, Service, Setup
from shipit.init.project_files import REQUIREMENTS
from shipit.playbook import parsers
from shipit.project.source import PYPROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.init.detect import Findings
    from shipit.init.metadata import Named
    from shipit.init.web import WebApp

LOCK = "requirements.lock"
_PRODUCTION = ("prod", "production", "deploy")
_HOST = re.compile(r"[a-z0-9][a-z0-9.-]*")
_LOCAL_HOSTS = {"*", "127.0.0.1"}  # with which Django answers a check of 127.0.0.1


@dataclass(frozen=True)
class Answers:
    """What the user has answered; an empty answer leaves the guess.

    Attributes:
        serve: the `serve:` line of one of the web apps.
    """

    serve: str = ""
    port: int = 0
    hosts: tuple[str, ...] = ()


def decide(found: Findings, answers: Answers) -> Setup:
    """Return what the playbook says, with its sources, and what is left to do."""
    chosen = _chosen(found, answers)
    port = _port(chosen, answers) if chosen else None
    served = [chosen.service(int(port.value))] if chosen and port else []
    services = (*served, *(each for each in found.workers if each.name != "web" or not served))
    services = services or tuple(workers.of_scripts(found.app.scripts))
    private = found.files.private[:1]
    return Setup(
        app=_app(found),
        project=_project(found),
        package=_package(found),
        groups=_production("group", found.app.groups),
        extras=_production("extra", found.app.extras),
        include=None if found.app.builds else _static_files(found),
        lock=_lock(found),
        python=_python(found),
        services=services or (_placeholder(found),),
        port=port,
        secrets=() if private else tuple(_secrets(found)),
        env_file=Guess("env_file", private[0], why="its values are secret") if private else None,
        health=_health(found) if chosen else None,
        health_host=_health_host(found) if chosen and found.pages else None,
        todo=tuple(_todo(found, chosen, services)),
    )


def _chosen(found: Findings, answers: Answers) -> WebApp | None:
    asked = (app for app in found.web_apps if app.serve == answers.serve)
    return next(asked, next(iter(found.web_apps), None))


def _port(chosen: WebApp, answers: Answers) -> Guess:
    return Guess("port", str(answers.port), why="as answered") if answers.port else chosen.port


def _app(found: Findings) -> Guess:
    name, place, why = found.app.name, found.app.name_place, found.app.name_key
    if not name:
        name, place, why = found.files.name, None, "the folder's name"
    return Guess("app", app_name(name), place, why)


def app_name(name: str) -> str:
    """Return a name as a playbook's `app` may be, as near to a project's name as possible."""
    plain = workers.service_name(name) or "app"
    try:
        return parsers.app_name(plain)
    except parsers.InvalidValueError:  # taken by a part of the system
        return f"{plain[:27]}-app"


def _project(found: Findings) -> Guess:
    place = found.app.builds
    why = "its wheel is built" if place else "no build system: shipped as it is"
    return Guess("project", ".", place, why)


def _package(found: Findings) -> Guess | None:
    if found.app is found.project:
        return None
    return Guess("package", found.app.name, found.app.name_place, "a member of the workspace")


def _production(what: str, named: Named) -> tuple[Guess, ...]:
    return tuple(Guess(what, name, named[name]) for name in _PRODUCTION if name in named)


def _static_files(found: Findings) -> Guess | None:
    return next(
        (
            Guess("include", f"{folder.strip('/')}/**", place, "STATIC_ROOT")
            for folder, place in found.static_root
            if re.fullmatch(r"/?[\w-]+(/[\w-]+)*/?", folder)
        ),
        None,
    )


def _lock(found: Findings) -> Guess | None:
    """Return the file with the dependencies; its name is a lock's even before it is one."""
    first = next(iter(found.locks), None)
    if first is None:
        return None
    if first.unlocked is None:
        return Guess("lock", first.path, Place(first.path, 1))
    return Guess("lock", LOCK, first.unlocked, "not locked yet: see below")


def _python(found: Findings) -> Guess | None:
    """Return the accepted Pythons; a wheel says that itself."""
    if found.app.builds:
        return None
    value, place = found.app.python, found.app.python_place
    try:
        value = parsers.python_specifier(value)
    except parsers.InvalidValueError:  # none, or of a syntax that a playbook does not have
        value, place = metadata.pinned_python(found.files)
    return Guess("python", value, place) if value else None


def _secrets(found: Findings) -> Iterator[Guess]:
    for name, place in found.variables:
        yield Guess("secret", name, place, "read without a default")


def _health(found: Findings) -> Guess:
    if found.pages:
        path, place = found.pages[0]
        return Guess("health", path, place)
    return Guess("health", "", None, "the port accepts connections; no page for it was found")


def _health_host(found: Findings) -> Guess | None:
    """Return the host that Django demands in a request, unless it takes 127.0.0.1."""
    names = [name for name, _ in found.hosts_allowed]
    if not names or not _LOCAL_HOSTS.isdisjoint(names):
        return None
    plain = [each for each in found.hosts_allowed if _HOST.fullmatch(each[0])]
    return next((Guess("host", name, place, "ALLOWED_HOSTS") for name, place in plain), None)


def _placeholder(found: Findings) -> Service:
    name = f"python -m {found.app.name.replace('-', '_') or 'myapp'}"
    return Service("main", "command", Guess("main", name, None, "nothing that runs was found"))


def _todo(found: Findings, chosen: WebApp | None, services: tuple[Service, ...]) -> Iterator[str]:
    if not services:
        yield "write what the app runs: nothing was found (services: main: command)"
    if chosen and chosen.server_place is None:
        yield f"depend on {chosen.server}, which no dependency is: {_add(found, chosen.server)}"
    yield from _unlocked(found)
    for process in found.processes:
        is_plain, place = workers.is_plain(process), process.place
        if process.name == "release":
            command = " ".join(process.command) if is_plain else "its command"
            yield f"before a deploy, run what {place} runs: {command}"
        elif place.file == "Procfile" and process.name != "web" and not is_plain:
            yield f"write the service {process.name}: {place} needs a shell, or has a secret in it"
    if found.variables and not found.files.private:
        names = ", ".join(f"PROD_{name}" for name, _ in found.variables)
        yield f"set the secrets in the environment of each deploy: {names}"
    if _static_files(found) and not found.app.builds:
        yield "collect the static files before each deploy: python manage.py collectstatic"


def _unlocked(found: Findings) -> Iterator[str]:
    first = next(iter(found.locks), None)
    if first is None:
        yield f"lock the dependencies: {_lock_command(found)}"
    elif first.unlocked:
        how = f"uv pip compile --universal --generate-hashes {first.path} -o {LOCK}"
        yield f"lock the dependencies, {first.unlocked} has no hash: {how}"


def _lock_command(found: Findings) -> str:
    if "Pipfile" in found.files.texts:
        return "pipenv lock"
    pyproject = found.files.texts.get(PYPROJECT, "")
    if re.search(r"^\[tool\.poetry", pyproject, re.MULTILINE):
        return "poetry lock"
    return "uv lock"


def _add(found: Findings, package: str) -> str:
    """Return how to add a dependency, by the tool whose lock there is."""
    path = found.locks[0].path if found.locks else ""
    if path in REQUIREMENTS:
        return f"write it into {path} or what it is locked from"
    tools = {"poetry.lock": "poetry add", "pdm.lock": "pdm add", "Pipfile.lock": "pipenv install"}
    return f"{tools.get(path, 'uv add')} {package}"
