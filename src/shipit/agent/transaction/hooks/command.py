"""Run one command of a release in a unit of its own, in the release's environment.

See `host.transient`. Its output is passed on line by line.
"""

from dataclasses import replace
from typing import Any, Callable, Dict, List, Optional, Tuple

from ...activation import names
from ...host import commands, marked
from ...host.host import Host
from ...protocol.hooks import Hook
from ...protocol.manifest import Manifest
from ...protocol.messages import Failure
from ...protocol.rules import unit_text
from ...protocol.values import dataclass
from ...records import releases
from ...system.failures import Refused
from ...system.paths import Paths
from ...system.process import Done
from ..store import Store

STEP = "hook"
UNIQUE = ""  # the unit of what the journal does not have
# systemd's words for what a hook may use; the hook is killed before the services are.
LIMITS = (
    "TasksMax=1024",
    "MemoryMax=75%",
    "OOMScoreAdjust=500",
    "UMask=0027",
    "Environment=PYTHONUNBUFFERED=1",
)
# What services keep between releases. RuntimeDirectory= would end with the hook.
KEPT = ("StateDirectory", "CacheDirectory", "LogsDirectory")

Interrupted = Callable[[], Optional[Failure]]
Emit = Callable[[Any], None]


def uninterrupted() -> Optional[Failure]:
    """Let a hook run as long as its timeout allows."""
    return None


@dataclass(frozen=True)
class Run:
    """The hooks of one point in a transaction.

    Attributes:
        of: the release that has them, and whose environment they run in.
        interrupted: why to end a running one, asked a few times a second.
    """

    store: Store
    emit: Emit
    of: Manifest
    when: str
    interrupted: Interrupted = uninterrupted
    is_query: bool = False  # of a plan: makes nothing on the host

    @property
    def paths(self) -> Paths:
        return self.store.paths

    @property
    def host(self) -> Host:
        return self.store.host


def execute(of: Run, hook: Hook, unit: Optional[str] = None) -> Done:
    """Run a hook in its unit, and pass its output on.

    `unit`: another one than that of hooks, which a killed transaction is known to have left.

    Raises:
        Refused: it was interrupted, there is no such user, or root does not trust the program.
    """
    located = commands.as_root if hook.user == commands.ROOT else commands.of
    found = located(of.paths, of.of, hook.command)
    if found is None:
        return commands.not_found(hook.command)
    command = replace(
        found,
        user=hook.user,
        directory=hook.directory,
        unit=of.paths.hook_unit if unit is None else unit,
        environment=_environment(of),
        properties=(*LIMITS, *(() if of.is_query else _directories(of, hook))),
    )
    output = marked.Output(of.emit, hook.name, command.end_mark)
    done = of.host.run_as(
        command, timeout=hook.timeout, watch=lambda: _stop_if(of.interrupted()), heard=output
    )
    output.end()
    return done


def failure_of(hook: Hook, done: Done) -> Optional[Failure]:
    """Return why a hook has failed; None if it has not."""
    if done.ok:
        return None
    what = f"the hook {hook.name} ({hook.when}) {done.end(hook.timeout)}"
    if done.timed_out:
        hint = "make it faster, or give it more time: `timeout` of the hook in the playbook"
        return Failure("hook-timeout", what, STEP, hint, done.output)
    hint = "it ran in the environment of this release; see its output"
    if done.lost:
        hint = "what it has done is unknown: see its output, and the journal of the host"
    return Failure("hook-failed", what, STEP, hint, done.output)


def _stop_if(failure: Optional[Failure]) -> None:
    if failure is not None:
        raise Refused(failure)


def _environment(of: Run) -> Tuple[str, ...]:
    """Return what a hook may want to know of its deploy; every user of the host may read it."""
    manifest = of.of
    found = {"APP": manifest.app, "RELEASE": manifest.id, "VERSION": manifest.version}
    return tuple(f"SHIPIT_{key}={value}" for key, value in {**found, "HOOK": of.when}.items())


def _directories(of: Run, hook: Hook) -> List[str]:
    """Return the settings that give a hook the directories of the services of its user.

    Missing ones are made, as the first start of a service would. Present ones stay as they are:
    systemd would give them away where the release changes the user of the services.
    """
    found: Dict[str, List[str]] = {}
    settings: Dict[str, None] = {}
    for name, text in sorted(releases.unit_texts(of.paths, of.of).items()):
        own = unit_text.settings(text, "Service")
        for each in names.wanted({name: text}):
            if each.kind not in KEPT or each.user != hook.user:
                continue
            found.setdefault(each.kind, []).append(each.path)
            if of.host.owner(each.path) is None:
                settings[each.setting] = None
                mode = unit_text.last(own, f"{each.kind}Mode")
                settings.update({f"{each.kind}Mode={mode}": None} if mode else {})
    for kind, paths in found.items():
        variable = kind.replace("Directory", "_DIRECTORY").upper()  # systemd.exec(5)
        settings[f"Environment={variable}={':'.join(dict.fromkeys(paths))}"] = None
    return list(settings)
