"""What is allowed in a playbook, and still goes wrong later: the warnings of `shipit lint`.

A rule takes the deployment of one host. It has no false positives: where it can't be sure, it is
silent. It never shows a value that may be a secret. Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from shipit.agent.protocol.manifest import OVERLAP, ROLLBACK
from shipit.errors import Mistake, merged
from shipit.playbook.parsers import is_template
from shipit.servers import limits

if TYPE_CHECKING:
    from shipit.playbook.service import Service
    from shipit.release.inputs import HostInput

Loc = tuple[str | int, ...]

_ALL = 100.0  # percent
_SECRET_NAME = re.compile(
    r"(^|_)(password|passwd|passphrase|secret|token|credentials"
    r"|(api|secret|private|access|auth|signing|encryption|master)_?key)$",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"|\d|true|false|yes|no|on|off|none|null|[~.]{0,2}/.*", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"\w://[^/\s:@]*:[^/\s@{}$]+@")


def warnings(found: Sequence[HostInput]) -> list[Mistake]:
    """Return what the rules find in a deployment, each once for all hosts."""
    return merged(mistake for target in found for rule in RULES for mistake in rule(target))


def no_health_check(target: HostInput) -> Iterator[Mistake]:
    """Find a deployment with a server, all of whose checks are that processes run."""
    wanted = target.deployment
    if any(check.kind != "unit" for check in wanted.health.checks):
        return
    for name, service in wanted.services.items():
        if service.socket or limits.is_server(_words(service)):
            what = (
                f"services.{name} answers requests, and no health check asks it:"
                " a release that answers all of them with an error counts as healthy"
            )
            place = target.draft.place(("services", name), of_key=True)
            yield Mistake("no-health-check", what, place, f"add {_example(service)}")
            return


def _example(service: Service) -> str:
    if service.socket.startswith("/"):
        return f'health: [{{unix: "{service.socket}:/healthz"}}]'
    port = service.socket.rpartition(":")[2] or "8000"
    return f'health: [{{http: "http://127.0.0.1:{port}/healthz"}}]'


def failures_ignored(target: HostInput) -> Iterator[Mistake]:
    """Find a rollout that no number of failed hosts stops."""
    if target.deployment.max_fail_percentage >= _ALL:
        what = "with max_fail_percentage 100, a rollout goes on even if every host fails"
        hint = "write the share of hosts that may fail before all are rolled back"
        yield Mistake("failures-ignored", what, target.draft.place(("max_fail_percentage",)), hint)


def drained_together(target: HostInput) -> Iterator[Mistake]:
    """Find hosts that may all leave their load balancer at the same time."""
    wanted, place = target.deployment, target.draft.place
    if wanted.load_balancer is None:
        return
    if wanted.serial == ("100%",):
        what = "with serial 100%, all hosts leave the load balancer at the same time"
        hint = "write serial: 1, the default with a load_balancer, or a part such as 25%"
        yield Mistake("drained-together", what, place(("serial",)), hint)
    if wanted.watch and ROLLBACK in (wanted.watch.on_failure, wanted.watch.at_boot):
        what = (
            "each host rolls back by itself: where a check fails on all of them, all leave the"
            " load balancer at the same time"
        )
        hint = "report instead, or let no check depend on what all hosts share"
        yield Mistake("drained-together", what, place(("watch",)), hint)


def plain_secret(target: HostInput) -> Iterator[Mistake]:
    """Find secrets that are written out in the playbook's environment variables."""
    values = target.draft.values
    sources: list[tuple[Loc, object]] = [((), values)]
    sources += [(("services", name), it) for name, it in _mapping(values.get("services")).items()]
    for loc, holder in sources:
        for name, value in _mapping(_mapping(holder).get("env")).items():
            if isinstance(value, str) and _is_secret(name, value):
                what = f"the value of {name} looks like a secret, and is readable here"
                hint = (
                    f"keep it elsewhere: secrets: {{{name}: env:NAME, file:PATH or command:ARGV}}"
                )
                yield Mistake("plain-secret", what, target.draft.place((*loc, "env", name)), hint)


def _is_secret(name: str, value: str) -> bool:
    if _PASSWORD_IN_URL.search(value):
        return True
    is_literal = not is_template(value) and not _HARMLESS.fullmatch(value)
    return bool(is_literal and _SECRET_NAME.search(name))


def secret_in_command(target: HostInput) -> Iterator[Mistake]:
    """Find commands into which systemd expands a secret (systemd.service(5), COMMAND LINES)."""
    for name, service in target.deployment.services.items():
        for secret in target.deployment.secrets:
            # $NAME is expanded as a word of its own, ${NAME} anywhere; $$ is a dollar sign.
            word = rf"(^|\s)\${secret}(\s|$)|(?<!\$)(\$\$)*\$\{{{secret}\}}"
            if re.search(word, service.command):
                what = f"services.{name} has {secret} on its command line, where all users see it"
                hint = f"let the program read the variable {secret} from its environment"
                place = target.draft.place(("services", name, service.command_key))
                yield Mistake("secret-in-command", what, place, hint)


def socket_ignored(target: HostInput) -> Iterator[Mistake]:
    """Find uvicorn behind a socket that it does not take: it listens on its own port."""
    wanted = target.deployment
    for name, service in wanted.services.items():
        may_be_set = "UVICORN_FD" in {**wanted.env, **service.env} or wanted.env_files_of(name)
        is_given = service.socket and not service.unit and not may_be_set
        if is_given and limits.ignores_socket(_words(service)):
            what = f"services.{name} gets a socket, and uvicorn listens on a port of its own"
            place = target.draft.place(("services", name, service.command_key))
            hint = "write `serve:` instead of `command:`, or add --fd 3 to it"
            yield Mistake("socket-ignored", what, place, hint)


def handover_options(target: HostInput) -> Iterator[Mistake]:
    """Find options of app servers that get in the way of a hand-over, as `plan` notes them."""
    for name, service in target.deployment.services.items():
        has_socket, overlaps = bool(service.socket), service.handover == OVERLAP
        for remark in limits.remarks(_words(service), {}, has_socket=has_socket, overlaps=overlaps):
            what, _, hint = remark.partition(": ")
            place = target.draft.place(("services", name, service.command_key))
            yield Mistake("handover-option", f"services.{name}: {what}", place, hint)


RULES: tuple[Callable[[HostInput], Iterator[Mistake]], ...] = (
    no_health_check,
    failures_ignored,
    drained_together,
    plain_secret,
    secret_in_command,
    socket_ignored,
    handover_options,
)


def _words(service: Service) -> list[str]:
    """Return the words of a service's command."""
    try:
        return shlex.split(service.command)
    except ValueError:  # systemd's quotes are not quite a shell's
        return service.command.split()


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
