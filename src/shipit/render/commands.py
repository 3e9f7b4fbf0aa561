"""The commands that a host runs besides services, around a switch or for its static files."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from shipit.agent.protocol.assets import ASSETS, Assets
from shipit.agent.protocol.balancers import Haproxy, LoadBalancer
from shipit.agent.protocol.hooks import BEFORE_ACTIVATE, STAGED, Hook
from shipit.agent.protocol.migrations import Migration
from shipit.playbook.hooks.models import ONCE

if TYPE_CHECKING:
    from shipit.playbook.balancer.models import BalancerCommand
    from shipit.playbook.models import Deployment
    from shipit.render.release_names import ReleaseNames


def hooks(deployment: Deployment, release: ReleaseNames) -> tuple[Hook, ...]:
    """Return the hooks that hosts run."""
    return tuple(
        Hook(
            hook.name,
            hook.when,
            tuple(shlex.split(hook.command)),
            hook.timeout,
            hook.user or deployment.user,
            release.workdir,
            once=hook.run == ONCE,
        )
        for hook in deployment.hooks
        if hook.on_host
    )


def migration(deployment: Deployment, release: ReleaseNames) -> Migration | None:
    """Return the migration of a release."""
    if (wanted := deployment.migrate) is None:
        return None
    words, where = tuple(shlex.split(wanted.command)), release.workdir
    hook = Hook("migration", BEFORE_ACTIVATE, words, wanted.timeout, deployment.user, where, True)
    return Migration(hook, tuple(shlex.split(wanted.pending)), wanted.reversible)


def balancer(deployment: Deployment, release: ReleaseNames) -> LoadBalancer | None:
    """Return the load balancer of a release."""
    if (wanted := deployment.load_balancer) is None:
        return None
    if (found := wanted.haproxy) is not None:
        return LoadBalancer(wanted.wait, Haproxy(found.sockets, found.backend, found.server))
    drain = _balancing("drain", wanted.drain, deployment, release)
    return LoadBalancer(
        0.0, drain=drain, undrain=_balancing("undrain", wanted.undrain, deployment, release)
    )


def _balancing(
    name: str, wanted: BalancerCommand | None, deployment: Deployment, release: ReleaseNames
) -> Hook | None:
    if wanted is None:
        return None
    words, user = tuple(shlex.split(wanted.command)), wanted.user or deployment.user
    return Hook(name, BEFORE_ACTIVATE, words, wanted.timeout, user, release.workdir)


def smoke(deployment: Deployment) -> tuple[str, ...]:
    """Return the smoke command as argv; empty if there is none."""
    return tuple(shlex.split(deployment.smoke))


def assets(deployment: Deployment, release: ReleaseNames) -> Assets | None:
    """Return which static files a release has; no more releases are kept than there are."""
    if (wanted := deployment.assets) is None:
        return None
    keep = min(wanted.keep, deployment.keep_releases)
    if wanted.command:
        words, where = tuple(shlex.split(wanted.command)), release.workdir
        made = Hook(ASSETS, STAGED, words, wanted.timeout, deployment.user, where)
        return Assets(keep, command=made)
    package, colon, folder = wanted.source.rpartition(":")
    if colon:
        return Assets(keep, f"{package.replace('.', '/')}/{folder}", is_in_package=True)
    return Assets(keep, f"{release.folder}/{folder}")
