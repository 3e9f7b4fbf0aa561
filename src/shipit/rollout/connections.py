"""Open sessions with all hosts of a run in parallel, and always close them."""

from __future__ import annotations

import resource
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from shipit.errors import HostError, ShipitError, Unreachable
from shipit.events import HostFailed, Noted, Problem, SecretsKnown, StepBegan, StepEnded
from shipit.rollout.executor import POLL_SECONDS
from shipit.rollout.host_session import HostSession
from shipit.rollout.logins import logging_in
from shipit.rollout.phase import Phase, Transition, bug_of, problem_of
from shipit.secrets import Mask
from shipit.transport import agent_zip, connect
from shipit.transport.endpoint import endpoint
from shipit.transport.upload import ship

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor, Future

    from shipit.events import Emit
    from shipit.release.inputs import HostInput, RunOptions
    from shipit.rollout.logins import Logins
    from shipit.transport.agent_zip import AgentZip
    from shipit.transport.channel import Link
    from shipit.transport.endpoint import Endpoint

DESCRIPTORS = 8192  # for hundreds of hosts: three each, and up to 18 more while wheels are sent
T = TypeVar("T")


@dataclass
class Connections:
    """The sessions of a run, and the state of the hosts without one."""

    executor: Executor
    emit: Emit
    sessions: dict[str, HostSession] = field(default_factory=dict)
    lost: dict[str, Transition] = field(default_factory=dict)

    def problems(self) -> dict[str, Problem]:
        """Return why each lost host takes no further part."""
        found = {name: transition.problem for name, transition in self.lost.items()}
        return {name: problem for name, problem in found.items() if problem}

    def each(self, act: Callable[[str, HostSession], T]) -> dict[str, T]:
        """Return the result of `act` for each session, in parallel; a host that fails is lost."""
        futures = {
            name: self.executor.submit(act, name, session)
            for name, session in self.sessions.items()
        }
        answers: dict[str, T] = {}
        for name, future in futures.items():
            with self.holding(name):
                answers[name] = result_of(future)
        return answers

    @contextmanager
    def holding(self, name: str, running: str = "") -> Iterator[None]:
        """Turn an exception while handling one host's answer into that host's failure.

        Raises:
            InputError: the input is wrong.
        """
        try:
            yield
        except HostError as error:
            self.lose(name, error, running)
        except ShipitError:
            raise
        except Exception as error:  # noqa: BLE001 - the edge of a host
            self.lose(name, bug_of(error, name), running)

    def lose(self, name: str, error: HostError, running: str = "") -> None:
        """Record and report why a host takes no further part, and what it runs if known."""
        phase = Phase.UNREACHABLE if isinstance(error, Unreachable) else Phase.DISCARDED
        self.lost[name] = Transition(phase, running, problem_of(error, name))
        self.sessions.pop(name, None)
        self.emit(HostFailed(problem_of(error, name)))


def result_of(future: Future[T]) -> T:
    """Return a result, or raise its exception.

    Waits for a moment at a time: of a Ctrl-C that another thread hears, or that comes just before a
    wait, this thread learns only after the wait.
    """
    while not future.done():
        wait([future], timeout=POLL_SECONDS)
    return future.result()


@contextmanager
def connect_all(
    targets: Sequence[HostInput], run: RunOptions, emit: Emit, logins: Logins | None = None
) -> Iterator[Connections]:
    """Open a session with every host; those that can't be reached are in `lost`.

    `logins` are those that have begun.
    """
    _allow_descriptors()
    for text in dict.fromkeys(text for target in targets for text in _notes(target)):
        emit(Noted(text))
    become = run.become_password
    endpoints = [endpoint(t.host, become_password=become, render=t.filled) for t in targets]
    passwords = (word for each in endpoints for word in (each.password, each.become_password))
    emit(SecretsKnown(Mask(filter(None, passwords))))
    agent = agent_zip.build()
    with ExitStack() as stack:
        executor = ThreadPoolExecutor(run.forks, thread_name_prefix="host")
        stack.callback(executor.shutdown, wait=False, cancel_futures=True)
        connections = Connections(executor, emit)
        known = logins or stack.enter_context(logging_in(run, emit))
        opened = {each.name: executor.submit(_open, each, agent, known, emit) for each in endpoints}
        for name, future in opened.items():
            with connections.holding(name):
                link, session = result_of(future)
                stack.callback(link.close)
                connections.sessions[name] = stack.enter_context(session)
        yield connections


def _notes(target: HostInput) -> Iterator[str]:
    """Yield notes on how a host's variables were read."""
    yield from target.host.notes
    for mistake in target.host.locked:
        yield f"{mistake.place}: left out: {mistake.what}; {mistake.hint}"


def _allow_descriptors() -> None:
    """Raise this process's limit of open files: each host needs some, uploads need more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(ValueError, OSError):  # macOS may have its own, lower limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _open(to: Endpoint, agent: AgentZip, logins: Logins, emit: Emit) -> tuple[Link, HostSession]:
    """Connect to a host, start its agent, and return the link and the session over it."""
    emit(StepBegan(to.name, "connect"))
    began = time.monotonic()
    link = connect.connect(to, agent, logins.network, logins.take(to.name))
    try:
        wire = link.open()
    except BaseException:
        link.close()
        raise
    emit(StepEnded(to.name, "connect", time.monotonic() - began, ok=True))
    return link, HostSession(to.name, wire, partial(ship, link, wire), emit)
