"""Choose the web app and the server that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.init.findings import Guess, Service
from shipit.init.frameworks import PROGRAMS, SERVERS, USUAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from shipit.errors import Place
    from shipit.init.processes import Process
    from shipit.init.python.app_objects import AppObject

PORT = 8000


@dataclass(frozen=True)
class WebApp:
    """An app object, and the server that would run it.

    Attributes:
        server_place: where the project names the server; None if it is no dependency.
        process: the process that runs it today, if there is one.
    """

    found: AppObject
    server: str
    server_place: Place | None
    process: Process | None = None

    @property
    def serve(self) -> str:
        """The line for the playbook's `serve:`."""
        server, target = SERVERS[self.server], self.found.target
        if self.found.is_factory:
            target = server.factory.format(target=target)
        arguments = server.arguments[self.found.framework.interface].format(target=target)
        return f"{self.server} {arguments}"

    @property
    def port(self) -> Guess:
        """The port that it listens on today, or the default."""
        process = self.process
        if process and process.port:
            return Guess("port", str(process.port), process.place)
        return Guess("port", str(PORT), why="the default")

    def service(self, port: int) -> Service:
        named = f"; {self.server}: {self.server_place}" if self.server_place else ""
        guess = Guess("web", self.serve, self.found.place, self.found.why + named)
        return Service("web", "serve", guess, port)


def web_apps(
    objects: Iterable[AppObject], processes: Sequence[Process], dependencies: Mapping[str, Place]
) -> list[WebApp]:
    """Return all apps, the one to deploy first: that of a process, or whose server is there."""
    found = [_served(each, processes, dependencies) for each in objects]
    return sorted(found, key=lambda app: (app.process is None, app.server_place is None))


def _served(
    found: AppObject, processes: Sequence[Process], dependencies: Mapping[str, Place]
) -> WebApp:
    interface = found.framework.interface
    process = next((each for each in processes if _runs(each, found.target)), None)
    today = PROGRAMS.get(process.program, "") if process else ""
    known = [name for name, server in SERVERS.items() if interface in server.arguments]
    if process and today in known:
        return WebApp(found, today, dependencies.get(today), process)
    server = next((name for name in known if name in dependencies), USUAL[interface])
    return WebApp(found, server, dependencies.get(server), process)


def _runs(process: Process, target: str) -> bool:
    """Return whether a process names the target, or its module where the name is the usual one."""
    names = {word.removesuffix("()") for word in process.words[1:]}
    return not names.isdisjoint({target, target.removesuffix(":application")})
