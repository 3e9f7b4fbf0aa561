"""What is known of frameworks, of the servers that run them, and of task queues: tables alone.

The options of the servers: those sources that servers/known.py names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Interface(Enum):
    """How a server calls an app."""

    ASGI = "ASGI"
    WSGI = "WSGI"


@dataclass(frozen=True)
class Framework:
    """A web framework.

    Attributes:
        makers: the calls that make its app objects, by the names under which they are imported.
    """

    name: str
    interface: Interface
    makers: tuple[str, ...]


FRAMEWORKS = (
    Framework("FastAPI", Interface.ASGI, ("fastapi.FastAPI", "fastapi.applications.FastAPI")),
    Framework("Litestar", Interface.ASGI, ("litestar.Litestar", "litestar.app.Litestar")),
    Framework("Quart", Interface.ASGI, ("quart.Quart",)),
    Framework("BlackSheep", Interface.ASGI, ("blacksheep.Application",)),
    Framework("Falcon", Interface.ASGI, ("falcon.asgi.App",)),
    Framework("Starlette", Interface.ASGI, ("starlette.applications.Starlette",)),
    Framework("Django", Interface.ASGI, ("django.core.asgi.get_asgi_application",)),
    Framework("Django", Interface.WSGI, ("django.core.wsgi.get_wsgi_application",)),
    Framework("Flask", Interface.WSGI, ("flask.Flask",)),
    Framework("Falcon", Interface.WSGI, ("falcon.App", "falcon.API")),
    Framework("Bottle", Interface.WSGI, ("bottle.Bottle", "bottle.default_app")),
)
MAKERS = {maker: framework for framework in FRAMEWORKS for maker in framework.makers}


@dataclass(frozen=True)
class Server:
    """An app server that `serve:` knows.

    Attributes:
        arguments: for each interface that it speaks, what follows its name, with {target}.
        factory: what stands for the target where that has to be called.
    """

    arguments: Mapping[Interface, str]
    factory: str


# In the order of preference, where a project depends on several.
SERVERS = {
    "uvicorn": Server({Interface.ASGI: "{target}"}, "{target} --factory"),
    "gunicorn": Server({Interface.WSGI: "{target}"}, "{target}()"),
    "granian": Server(
        {Interface.ASGI: "--interface asgi {target}", Interface.WSGI: "--interface wsgi {target}"},
        "{target} --factory",
    ),
    "hypercorn": Server(
        {Interface.ASGI: "{target}", Interface.WSGI: "wsgi:{target}"}, "{target}()"
    ),
    "waitress": Server({Interface.WSGI: "{target}"}, "--call {target}"),
}
USUAL = {Interface.ASGI: "uvicorn", Interface.WSGI: "gunicorn"}
PROGRAMS = {**{name: name for name in SERVERS}, "waitress-serve": "waitress"}

# The calls that make the object of a task queue, and the queue.
QUEUES = {
    **dict.fromkeys(("celery.Celery", "celery.app.Celery", "celery.app.base.Celery"), "celery"),
    **dict.fromkeys(("huey.RedisHuey", "huey.SqliteHuey", "huey.PriorityRedisHuey"), "huey"),
}
