"""The edge of an agent's process: report to the controller whatever escapes a role.

What is neither a refusal nor an error of the disk is a bug of shipit, and is reported as one.
"""

import sys
from typing import Callable

from ..protocol.messages import Failure, ProtocolError
from ..system.failures import from_os_error
from .channel import Channel, ControllerDisconnected


def guarded(channel: Channel, act: Callable[[], None]) -> int:
    """Run `act`; report what went wrong, if the controller still listens."""
    try:
        act()
    except ControllerDisconnected:
        return 0
    except ProtocolError as error:
        failure = Failure(
            "bad-request", str(error), "agent", "both sides must have the same version"
        )
    except OSError as error:
        failure = from_os_error(error, "receive")
    except Exception:  # noqa: BLE001 - the edge of the process
        failure = bug()
        sys.stderr.write(channel.redacted(failure).evidence)
    else:
        return 0
    try:
        channel.send(failure)
    except ControllerDisconnected:
        return 1
    return 1


def bug() -> Failure:
    """Return the exception being handled as a failure: it is a bug of shipit."""
    import traceback  # noqa: PLC0415

    kind, error, _trace = sys.exc_info()
    name = kind.__name__ if kind else "error"
    hint = "this is a bug of shipit: report it with the lines below"
    evidence = traceback.format_exc()
    return Failure("agent-bug", f"the agent failed: {name}: {error}", "agent", hint, evidence)
