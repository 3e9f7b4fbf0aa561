"""Let the host go on watching a release that it has committed."""

from typing import Optional

from ...activation import watch_unit
from ...protocol.messages import Failure
from ...records import releases, watches
from ...records.watches import Watched
from ...system.failures import Refused, from_os_error
from .. import boot_unit
from ..journal import Journal
from .context import EffectContext


def watch(context: EffectContext, open_: Journal) -> Optional[Failure]:
    """End the watch of the release before, and begin that of this one.

    Return what prevents it, which takes no commit back.
    """
    paths, host = context.paths, context.host
    committed = releases.manifest(paths, open_.release)
    try:
        if committed is None or committed.watch is None:
            watch_unit.remove(paths, host)
            watches.end(paths)
            return None
        about = (open_.txn, open_.release, host.wall(), host.boot_id(), open_.agent)
        watches.begin(paths, Watched(*about, is_rollback=open_.is_rollback))
        argv = boot_unit.driver_argv(paths, open_, "watch")
        text = watch_unit.text(paths, committed.watch, committed.gate, argv)
        watch_unit.start(paths, host, text)
    except (Refused, OSError) as error:
        return error.failure if isinstance(error, Refused) else from_os_error(error, "commit")
    return None
