"""Build the command that runs an app's program in a transient unit: as its user, and confined.

PID 1 reads the env files and changes the user in a clean environment; only the program itself gets
the app's environment: LD_PRELOAD and its like never act in a process of root. No secret is in an
argv or a property of the unit, which every user may read. All processes that the program starts end
with it, as they cannot leave its cgroup. Starts nothing itself: `host` does.
"""

import os
from dataclasses import field
from typing import List, Tuple

from ..protocol.messages import Failure
from ..protocol.values import dataclass
from ..system import accounts
from ..system.failures import Refused

SPARE = 5.0  # seconds after which a program whose agent was killed has ended
UNPRIVILEGED = ("NoNewPrivileges=yes", "CapabilityBoundingSet=", "AmbientCapabilities=")
# systemd reports programs that end by SIGTERM and its like as successful; a shell distinguishes all
# ends (128 + the signal). The last line is made by the program's own end alone: systemd-run also
# reports success when it loses the bus. The words are arguments of the shell, which parses none.
WAIT_AND_MARK = ("/bin/sh", "-c", 'm=$1; shift; "$@" 2>&1; s=$?; echo "$m $s"; exit $s', "sh")
# What chooses the code that root loads does not come from env files; PATH is set after them.
CHOOSING = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE"),
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "BASH_ENV", "ENV"),
)
PRIVILEGED = (f"UnsetEnvironment={' '.join(CHOOSING)}",)
PROPERTIES = (
    "LimitCORE=0",
    "IgnoreSIGPIPE=no",
    "KillMode=control-group",
    "KillSignal=SIGKILL",
    "TimeoutStopSec=5",
    "LogLevelMax=notice",  # a check is made many times: "Started" and "Deactivated" are noise
    "Environment=LC_ALL=C.UTF-8",
    "Environment=PYTHONDONTWRITEBYTECODE=1",
)


@dataclass(frozen=True)
class Command:
    """An app's program, which root does not trust.

    Attributes:
        argv: the program's path first.
        env_files: the later ones win; their values reach the program's environment alone.
        search: its PATH, unless the env files have another.
        unit: the name of its unit; "" for a unique one.
        environment: NAME=value, below the env files; readable by every user.
        properties: more settings of its unit.
        privileged: keeps the capabilities of its user.
        end_mark: a word that, with the exit status, is the last line of its output if it has ended;
            `Host.run_as` takes it off.
    """

    argv: Tuple[str, ...]
    user: str
    directory: str
    env_files: Tuple[str, ...] = ()
    search: str = os.defpath
    unit: str = ""
    environment: Tuple[str, ...] = ()
    properties: Tuple[str, ...] = ()
    privileged: bool = False
    end_mark: str = field(default_factory=lambda: f"shipit-end-{os.urandom(8).hex()}")


def name() -> str:
    """Return a unique unit name: no app's name can contain a dot."""
    return f"shipit-run.{os.urandom(8).hex()}.service"


def argv(unit: str, command: Command, timeout: float) -> List[str]:
    """Return the argv that runs the command in this unit, with its output and exit status.

    The unit ends by itself shortly after `timeout` seconds, if nothing else stops it.

    Raises:
        Refused: no-user.
    """
    if accounts.user(command.user) is None:
        raise Refused(Failure("no-user", f"there is no user {command.user}", ""))
    properties = [
        *(PRIVILEGED if command.privileged else UNPRIVILEGED),
        *PROPERTIES,
        *command.properties,
        f"User={command.user}",
        f"WorkingDirectory={command.directory}",
        f"Environment=PATH={command.search}",
        *(f"Environment={setting}" for setting in command.environment),
        *(f"EnvironmentFile={path}" for path in command.env_files),
        f"RuntimeMaxSec={timeout + SPARE:.3f}",
    ]
    waiting = (*WAIT_AND_MARK, command.end_mark)
    own_path = ("/usr/bin/env", f"PATH={command.search}") if command.privileged else ()
    return [
        *("systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--service-type=exec"),
        f"--unit={unit}",
        f"--description=shipit: {os.path.basename(command.argv[0])}",
        *(f"--property={each}" for each in properties),
        "--",
        # systemd expands variables; `$$` is a literal `$`.
        *(word.replace("$", "$$") for word in (*waiting, *own_path, *command.argv)),
    ]
