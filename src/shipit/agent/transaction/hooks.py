"""Run the hooks of a release on this host, each at most once in a transaction.

A hook is written into the journal before it starts and after it has ended. One that was interrupted
is stopped and never started again: before the commit the transaction is taken back anyway, after it
the interruption is reported. It runs in a unit of its own, in the release's environment: see
`host.transient`. Its end goes into the host's history.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..activation import names
from ..host import commands
from ..host.host import Host
from ..protocol.hooks import OK, Hook, HookLine, HookOutput
from ..protocol.manifest import Manifest
from ..protocol.messages import Failure, StepBegan, StepEnded, StepFailed
from ..protocol.rules import unit_text
from ..protocol.values import dataclass
from ..records import history, releases
from ..system.failures import Refused, from_os_error
from ..system.paths import Paths
from ..system.process import Done
from .journal import Journal
from .store import Store

STEP = "hook"
ROOT = "root"
INTERRUPTED = "interrupted"
SHOWN = 64 * 1024  # bytes of a hook's output that are passed on while it runs
PIECE = 4096  # bytes of a line that is passed on before its end
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

    @property
    def paths(self) -> Paths:
        return self.store.paths

    @property
    def host(self) -> Host:
        return self.store.host

    def due(self, open_: Journal) -> List[Tuple[int, Hook]]:
        """Return the hooks of this host that have not begun, each with its number."""
        return [
            (number, hook)
            for number, hook in enumerate(self.of.hooks)
            if hook.when == self.when
            and (open_.attempt.elected or not hook.once)
            and str(number) not in open_.hooks
        ]


def run(of: Run, open_: Journal) -> Tuple[Journal, Optional[Failure]]:
    """Run the hooks of this point up to the first that fails; return the journal, which has them.

    Raises:
        OSError: one could not be written down before its start.
    """
    for number, hook in of.due(open_):
        open_, failure = _run_one(of, open_, number, hook)
        if failure is not None:
            return open_, failure
    return open_, None


def report(of: Run, open_: Journal) -> Journal:
    """Run all hooks of this point, and report those that fail; return the journal."""
    for number, hook in of.due(open_):
        try:
            open_, failure = _run_one(of, open_, number, hook)
        except OSError as error:
            failure = from_os_error(error, STEP)
        if failure is not None:
            of.emit(StepFailed(failure))
    return open_


def end_interrupted(store: Store, emit: Emit, open_: Journal) -> Journal:
    """Stop a hook that a killed process has left running, and record that it was interrupted."""
    left = [number for number, how in open_.hooks.items() if not how]
    if left:
        store.host.systemctl("stop", [store.paths.hook_unit])  # fails if it has ended: fine
    for number in left:
        hook = _hook(store.paths, open_, int(number))
        _record(store.paths, open_, HookLine(hook.name, hook.when, INTERRUPTED, 0.0, int(number)))
        what = f"the hook {hook.name} ({hook.when}) was interrupted, and is not run again"
        emit(StepFailed(Failure("hook-interrupted", what, STEP, "run it by hand if it must run")))
    return replace(open_, hooks={number: how or INTERRUPTED for number, how in open_.hooks.items()})


def _hook(paths: Paths, open_: Journal, number: int) -> Hook:
    """Return a hook of the new release, or in a rollback of the one that is left."""
    for release in (open_.release, open_.previous):
        found = releases.manifest(paths, release)
        if found is not None and number < len(found.hooks):
            return found.hooks[number]
    return Hook(f"number {number + 1}", "?", (), 0.0, "", "/")


# --- one hook ----------------------------------------------------------------------------------


def _run_one(of: Run, open_: Journal, number: int, hook: Hook) -> Tuple[Journal, Optional[Failure]]:
    open_ = of.store.save(_with(open_, number, ""))
    began = of.host.now()
    of.emit(StepBegan(STEP, f"{hook.name} ({hook.when})"))
    try:
        done = _execute(of, hook)
        how, failure = (OK, None) if done.ok else (done.end(hook.timeout), _failure(hook, done))
    except Refused as refused:  # interrupted, or the host cannot run it
        how, failure = f"[{refused.failure.code}] {refused.failure.what}", refused.failure
    seconds = of.host.now() - began
    of.emit(StepEnded(STEP, seconds, ok=failure is None))
    _record(of.paths, open_, HookLine(hook.name, hook.when, how, seconds, number))
    return of.store.save(_with(open_, number, how)), failure


def _with(open_: Journal, number: int, how: str) -> Journal:
    return replace(open_, hooks={**open_.hooks, str(number): how})


def _record(paths: Paths, open_: Journal, line: HookLine) -> None:
    with suppress(OSError):  # it is for people; the journal is what counts
        history.append_hook(paths, open_.txn, line)


def _failure(hook: Hook, done: Done) -> Failure:
    what = f"the hook {hook.name} ({hook.when}) {done.end(hook.timeout)}"
    if done.timed_out:
        hint = "make it faster, or give it more time: `timeout` of the hook in the playbook"
        return Failure("hook-timeout", what, STEP, hint, done.output)
    hint = "it ran in the environment of this release; see its output"
    return Failure("hook-failed", what, STEP, hint, done.output)


def _execute(of: Run, hook: Hook) -> Done:
    """Run a hook in its unit, and pass its output on.

    Raises:
        Refused: it was interrupted, or there is no such user.
    """
    found = commands.of(of.paths, of.of, hook.command)
    if found is None:
        return commands.not_found(hook.command)
    command = replace(
        found,
        user=hook.user,
        directory=hook.directory,
        unit=of.paths.hook_unit,
        environment=_environment(of),
        properties=(*LIMITS, *_directories(of, hook)),
        privileged=hook.user == ROOT,
    )
    output = _Output(of.emit, hook.name)
    done = of.host.run_as(
        command, timeout=hook.timeout, watch=lambda: _stop_if(of.interrupted()), heard=output
    )
    output.end()
    return done


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


class _Output:
    """Passes a hook's output on in whole lines while it runs; of very much, the beginning."""

    def __init__(self, emit: Emit, hook: str) -> None:
        self._emit, self._hook = emit, hook
        self._open, self._total = b"", 0

    def __call__(self, chunk: bytes) -> None:
        shown = chunk[: max(0, SHOWN - self._total)]
        self._total += len(chunk)
        whole, newline, rest = (self._open + shown).rpartition(b"\n")
        self._open = rest
        if newline:
            self._pass_on(whole)
        while len(self._open) >= PIECE:
            self._pass_on(self._open[:PIECE])
            self._open = self._open[PIECE:]

    def end(self) -> None:
        if self._open:
            self._pass_on(self._open)
        if self._total > SHOWN:
            self._pass_on(b"[... %d more bytes are not shown]" % (self._total - SHOWN))

    def _pass_on(self, text: bytes) -> None:
        self._emit(HookOutput(self._hook, text.decode("utf-8", "replace")))
