"""A run has the room that hundreds of hosts need."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shipit.events import Event
from shipit.release.inputs import RunOptions
from shipit.rollout.connections import DESCRIPTORS, connect_all

if TYPE_CHECKING:
    from collections.abc import Iterator


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
