"""Say how to run a program of an app in a transient unit of its own: as its user, and confined.

PID 1 reads the env files, changes the user with a clean environment, and only the program itself is
started with the real one: LD_PRELOAD and its like never act in a process of root. No secret is in
an argv or in a property of the unit, which everybody may read. What the program starts ends with
it, whatever it does: a cgroup cannot be left. Starts nothing: that is `host`.
"""

import os
from dataclasses import dataclass
from typing import List, Tuple

from ..protocol.messages import Failure
from ..system import accounts
from ..system.failures import Refused

SPARE = 5.0  # seconds; by then a program has ended whose agent was killed
# Of programs that end by SIGTERM and its like, systemd says that they succeeded; a shell tells all
# ends apart (128 + the signal). The words of the program are its arguments: it parses none.
WAIT_FOR = ("/bin/sh", "-c", '"$@" 2>&1; exit $?', "sh")
PROPERTIES = (
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "LimitCORE=0",
    "IgnoreSIGPIPE=no",
    "KillMode=control-group",
    "KillSignal=SIGKILL",
    "TimeoutStopSec=5",
    "LogLevelMax=notice",  # a check is made many times: "Started" and "Deactivated" tell nothing
    "Environment=LC_ALL=C.UTF-8",
    "Environment=PYTHONDONTWRITEBYTECODE=1",
)


@dataclass(frozen=True)
class Command:
    """A program that root does not trust.

    Attributes:
        argv: the program's path first.
        env_files: the later ones win; their values are in the program's environment alone.
        search: its PATH, unless the env files have another.
    """

    argv: Tuple[str, ...]
    user: str
    directory: str
    env_files: Tuple[str, ...] = ()
    search: str = os.defpath


def name() -> str:
    """Return a unit's name that nobody has: no app's name can hold a dot."""
    return f"shipit-run.{os.urandom(8).hex()}.service"


def argv(unit: str, command: Command, timeout: float) -> List[str]:
    """Return what runs the command in this unit and ends as it does; its output is the command's.

    The unit ends by itself a little after `timeout` seconds, should nobody be left to stop it.

    Raises:
        Refused: no-user.
    """
    if accounts.user(command.user) is None:
        raise Refused(Failure("no-user", f"there is no user {command.user}", ""))
    properties = [
        *PROPERTIES,
        f"User={command.user}",
        f"WorkingDirectory={command.directory}",
        f"Environment=PATH={command.search}",
        *(f"EnvironmentFile={path}" for path in command.env_files),
        f"RuntimeMaxSec={timeout + SPARE:.3f}",
    ]
    return [
        *("systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--service-type=exec"),
        f"--unit={unit}",
        f"--description=shipit: {os.path.basename(command.argv[0])}",
        *(f"--property={each}" for each in properties),
        "--",
        # systemd puts variables in; two dollar signs are one.
        *(word.replace("$", "$$") for word in (*WAIT_FOR, *command.argv)),
    ]
