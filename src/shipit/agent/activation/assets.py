"""Make the view of static files that belongs to a release, and point <root>/assets to it.

A view is built whole beside the present one before anything points to it, and the present one stays
until the transaction has ended: the way back needs no room on the disk but for one symlink.
"""

import os
from contextlib import suppress
from typing import Optional

from ..host.host import Host
from ..protocol.manifest import Manifest
from ..records import views
from ..records.views import Layers
from ..storage import prune
from ..system import files
from ..system.paths import Paths


def build(paths: Paths, host: Host, layers: Layers) -> None:
    """Build the view of some releases, unless it is there.

    Raises:
        OSError: the disk is full, for instance.
    """
    if layers and not os.path.isdir(views.path(paths, layers)):
        files.make_directory(paths.views)
        host.link_tree(views.path(paths, layers), views.links(paths, layers))


def prepare(paths: Paths, host: Host, running: Optional[Manifest], *, lenient: bool) -> Layers:
    """Build the view of a release that is about to run, and return what it is made of.

    `lenient`: a full disk must not stop a release that has run before.
    """
    layers = views.wanted(paths, running)
    try:
        build(paths, host, layers)
    except OSError:
        if not lenient:
            raise
    return layers


def point(paths: Paths, host: Host, layers: Layers) -> None:
    """Let clients find the view of some releases, if it could be built; for none remove the link.

    Leaves what shipit has not made.
    """
    if views.is_taken(paths):
        return
    if layers and os.path.isdir(views.path(paths, layers)):
        host.point(paths.assets, views.target(paths, layers))
    elif not layers and views.linked(paths):
        host.remove(paths.assets)


def settle(paths: Paths, host: Host, running: Optional[Manifest]) -> None:
    """Let clients find what belongs to the running release, and remove all other views.

    Raises:
        OSError: the disk is full, for instance.
    """
    layers = views.wanted(paths, running)
    if views.is_taken(paths):
        return
    build(paths, host, layers)
    point(paths, host, layers)
    prune.mark_views(paths, spare=views.linked(paths))
    with suppress(OSError):  # not empty, or missing
        os.rmdir(paths.views)
