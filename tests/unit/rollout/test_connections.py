"""A run has the room that hundreds of hosts need, and can be interrupted while they work."""

from __future__ import annotations

import resource
import signal
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from shipit.events import Event
from shipit.release.inputs import RunOptions
from shipit.rollout.connections import DESCRIPTORS, Connections, connect_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.rollout.host_session import HostSession

PATIENCE = 30.0  # seconds


@pytest.fixture
def few() -> Iterator[None]:
    """Allow as few open files as macOS does at first."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few")
def test_as_many_files_may_be_open_as_hundreds_of_hosts_need() -> None:
    reported = list[Event]()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with connect_all([], RunOptions(Path("prod.yaml")), reported.append):
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == (DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS))


def until_waiting(thread: int) -> None:
    """Return once a thread waits for what it has submitted."""
    while True:
        frames = traceback.extract_stack(sys._current_frames()[thread])
        if "submit" not in {frame.name for frame in frames} and frames[-1].name == "wait":
            return


def test_ctrl_c_that_another_thread_hears_is_noticed_while_hosts_work() -> None:
    over, main, seen = threading.Event(), threading.get_ident(), list[bool]()

    def act(_name: str, _session: object) -> None:
        until_waiting(main)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        seen.append(over.wait(PATIENCE))

    def interrupted(connections: Connections) -> None:
        try:
            connections.each(act)
        finally:
            over.set()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have ignored it
    try:
        with ThreadPoolExecutor() as executor:
            connections = Connections(executor, lambda _: None, {"web1": cast("HostSession", None)})
            with pytest.raises(KeyboardInterrupt):
                interrupted(connections)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [True]
