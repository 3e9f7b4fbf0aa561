"""Check the servers of `serve:` against the locked wheels, and say what each line became. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.errors import InputError, Mistake
from shipit.servers.serving import unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.bundle.select import Bundle
    from shipit.playbook.models import Deployment
    from shipit.playbook.reader import Draft

_HINT = "lock such a version, or write a `command:` (docs/recipes.md)"


def refuse_unsupported(draft: Draft, wanted: Deployment, bundle: Bundle) -> None:
    """Refuse a server that was chosen for the host in a version that `serve:` does not support.

    Raises:
        InputError: server-unsupported, with all of them.
    """
    versions = {wheel.name: wheel.version for wheel in bundle.all()}
    mistakes = [
        Mistake("server-unsupported", what, draft.place(("services", name, "serve")), _HINT)
        for name, service in wanted.services.items()
        if service.serve and service.socket
        for what in unsupported(service.serve, versions)
    ]
    if mistakes:
        raise InputError(*mistakes)


def shown(deployment: Deployment) -> Iterator[str]:
    """Yield what each `serve:` became, as the keys of a service."""
    for name, service in deployment.services.items():
        if not service.serve:
            continue
        keys = [f"{name}: {service.command}", f"stop_timeout: {service.stop_timeout:g}s"]
        keys += [f"stop_signal: {service.stop_signal}"] if service.stop_signal else []
        keys += [f"workdir: {service.workdir}"] if service.workdir else []
        yield "; ".join([*keys, *(f"by {program}" for program in service.programs[:1])])
