"""What is known of app servers and task workers: one row for each.

Pure. Measured on real hosts under load with uvicorn 0.54, gunicorn 27, granian 2.8, hypercorn 0.18
and waitress 3.0; docs/recipes.md describes what each of them needs. The sources of the options:

- uvicorn: https://uvicorn.dev/settings/
- gunicorn: https://gunicorn.org/reference/settings/
- hypercorn: https://hypercorn.readthedocs.io/en/latest/how_to_guides/configuring.html
- granian: https://github.com/emmett-framework/granian#options
- waitress: https://docs.pylonsproject.org/projects/waitress/en/latest/arguments.html
- celery: https://docs.celeryq.dev/en/stable/reference/cli.html
- rq: https://python-rq.org/docs/workers/
- dramatiq: https://dramatiq.io/reference.html
- huey: https://huey.readthedocs.io/en/latest/consumer.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LISTENER = 3  # the descriptor of the first socket that systemd gives: sd_listen_fds(3)
LONGEST_TASK = 300.0  # seconds that a task of a worker has to end, unless the playbook says


@dataclass(frozen=True)
class Option:
    """An option that a `serve:` line gets, unless it has it.

    Attributes:
        names: the first is written; the others mean the same, or are in its place.
        value: with {stop}, the seconds of `stop_timeout`; {grace}, the server's own, which are a
            little less; {grace_ms}, these in milliseconds. "" for an option without a value.
    """

    names: tuple[str, ...]
    value: str = ""


@dataclass(frozen=True)
class Package:
    """A package that must be locked, in a supported version: `since` <= it < `before`."""

    name: str
    since: tuple[int, ...] = ()
    before: tuple[int, ...] = ()


@dataclass(frozen=True)
class Serving:
    """What a `serve:` line of a server becomes.

    Attributes:
        program: the program of its package, if that is not called like the server.
        subcommand: the word that follows the program and its global options.
        global_options: a pattern of those that stand before the subcommand.
        options: in any case.
        behind_socket: behind a `socket`, besides.
        side_by_side: where several processes run, besides.
        programs: of `servers/programs`, that a release brings along for a service with a `socket`;
            the first one runs instead of the package's own.
        needs: the packages that must be locked in a supported version, behind a `socket`.
        stop_timeout: seconds, if the playbook has none.
        stop_signal: what asks it to stop, if not SIGTERM.
        workdir: as in the playbook.
        is_single: whether two must never run at once.
    """

    program: str = ""
    subcommand: str = ""
    global_options: str = ""
    options: tuple[Option, ...] = ()
    behind_socket: tuple[Option, ...] = ()
    side_by_side: tuple[Option, ...] = ()
    programs: tuple[str, ...] = ()
    needs: tuple[Package, ...] = ()
    stop_timeout: float = 30.0
    stop_signal: str = ""
    workdir: str = ""
    is_single: bool = False


@dataclass(frozen=True)
class Server:
    """What is known of an app server or a task worker.

    Attributes:
        addresses: the options that make it listen itself.
        instead: what to write with a `socket`.
        pid: its own option for a pid file.
        loses: the requests that a handover loses, although systemd listens.
        alone: for one whose own command can't be given a listener, the alternative.
        listens: whether it has clients of its own; a task worker has none.
        serving: what `serve:` makes of it; None if it takes no `serve:`.
    """

    addresses: tuple[str, ...] = ()
    instead: str = ""
    pid: tuple[str, ...] = ()
    loses: str = ""
    alone: str = ""
    listens: bool = True
    serving: Serving | None = None


_UVICORN = Package("uvicorn", (0, 36), (1,))  # `--http` takes a class since then
_GUNICORN = Serving(
    options=(
        Option(("--graceful-timeout",), "{grace}"),
        Option(("--timeout", "-t"), "{stop}"),
    ),
    behind_socket=(Option(("--no-control-socket", "--control-socket")),),
    needs=(Package("gunicorn", (27,)),),
)
_CELERY = Serving(
    program="celery",
    global_options=r"""(?x) (?: \s+ (?:
        (?: --app | --broker | --result-backend | --loader | --config | --workdir ) [\s=] \s* \S+
        | -[Ab] \s* \S+ | -C | -q | --no-color | --quiet | --skip-checks
    ) (?!\S) )*""",
    stop_timeout=LONGEST_TASK,
)
_UNREAD = "closes accepted connections that it has not yet read from when it stops"

SERVERS: Mapping[str, Server] = {
    "uvicorn": Server(
        addresses=("--port", "--host", "--uds"),
        instead="write --fd 3",
        loses=f"{_UNREAD}: under load a request is sometimes lost; `serve:` avoids it",
        serving=Serving(
            options=(Option(("--timeout-graceful-shutdown",), "{grace}"),),
            behind_socket=(
                Option(("--fd", "--port", "--host", "--uds"), str(LISTENER)),
                Option(("--http",), "patient_uvicorn:PatientProtocol"),
            ),
            programs=("patient_uvicorn.py",),
            needs=(_UVICORN,),
        ),
    ),
    "gunicorn": Server(
        addresses=("--bind", "-b"),
        instead="leave it out: gunicorn finds the socket itself",
        pid=("-p",),
        serving=_GUNICORN,
    ),
    "gunicorn -k uvicorn": Server(
        addresses=("--bind", "-b"),
        instead="leave it out: gunicorn finds the socket itself",
        pid=("-p",),
        loses=f"{_UNREAD}: under load a request is sometimes lost; `serve:` avoids it",
        serving=replace(
            _GUNICORN,
            programs=("patient_gunicorn.py", "patient_uvicorn.py"),
            needs=(*_GUNICORN.needs, Package("uvicorn-worker"), _UVICORN),
        ),
    ),
    "granian": Server(
        addresses=("--port", "--host", "--uds"),
        instead="leave it out",
        loses=f"{_UNREAD}: under load a request is sometimes lost; nginx in front sends it again"
        " (docs/recipes.md)",
        alone="`serve:` gives it one",
        serving=Serving(
            options=(Option(("--workers-kill-timeout",), "{grace}"),),
            programs=("granian_behind_socket.py",),
            needs=(Package("granian", (2, 8), (3,)),),
        ),
    ),
    "hypercorn": Server(
        addresses=("--bind", "-b", "--insecure-bind"),
        instead="write --bind fd://3",
        pid=("-p",),
        loses="drops accepted connections when it stops: some requests are lost at each deploy;"
        " gunicorn answers them first",
        serving=Serving(
            options=(Option(("--graceful-timeout",), "{grace}"),),
            behind_socket=(Option(("--bind", "-b", "--insecure-bind"), f"fd://{LISTENER}"),),
        ),
    ),
    "waitress": Server(
        addresses=("--listen", "--host", "--port", "--unix-socket"),
        instead="leave it out",
        loses="ends without the answers that it owes when it stops: some requests are lost at each"
        " deploy; gunicorn answers them first",
        alone="`serve:` gives it one",
        serving=Serving(
            program="waitress-serve",
            programs=("waitress_behind_socket.py",),
            needs=(Package("waitress", (3,), (4,)),),
        ),
    ),
    "daphne": Server(
        addresses=("--port", "-p", "--bind", "-b", "--unix-socket", "-u"), instead="write --fd 3"
    ),
    "uwsgi": Server(
        addresses=("--http", "--http-socket", "--socket"),
        instead="leave it out: uWSGI finds the socket",
    ),
    "celery": Server(
        listens=False,
        serving=replace(
            _CELERY,
            subcommand="worker",
            # Each needs a name of its own: systemd fills in %p and %i, and celery %h.
            side_by_side=(Option(("--hostname", "-n"), "%p-%i@%%h"),),
        ),
    ),
    "celery-beat": Server(
        listens=False,
        serving=replace(
            _CELERY,
            subcommand="beat",
            options=(Option(("--schedule", "-s"), "%p.schedule"),),
            stop_timeout=30.0,
            workdir="shared",
            is_single=True,
        ),
    ),
    "rq": Server(listens=False, serving=Serving(subcommand="worker", stop_timeout=LONGEST_TASK)),
    "dramatiq": Server(
        listens=False,
        serving=Serving(
            options=(Option(("--worker-shutdown-timeout",), "{grace_ms}"),),
            stop_timeout=LONGEST_TASK,
        ),
    ),
    "huey": Server(
        listens=False,
        serving=Serving(
            program="huey_consumer",
            stop_timeout=LONGEST_TASK,
            stop_signal="SIGINT",  # by SIGTERM it would break off its tasks
        ),
    ),
}
