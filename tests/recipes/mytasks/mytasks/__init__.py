"""Tasks for docs/recipes.md: of celery and `huey`; `mail` has those for rq, `images` for dramatiq.

Each task takes a while, and there is always a next one. What begins and what ends is a line in the
log `tasks`: the event, the version, and what it is about. Beat itself is in it, too.
"""

from __future__ import annotations

import atexit
import itertools
import os
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Any

from celery import Celery, signals
from huey import SqliteHuey

STATE = Path(os.environ["STATE_DIRECTORY"])
VERSION = version("mytasks")
SECONDS = 3.0  # that a task takes: longer than a worker would need to stop without it
AT_A_TIME = 2

FOLDERS = {f"data_folder_{way}": str(STATE / "queue") for way in ("in", "out")}
(STATE / "queue").mkdir(exist_ok=True)
app = Celery("mytasks", broker="filesystem://")
app.conf.broker_transport_options = {**FOLDERS, "control_folder": str(STATE / "control")}
app.conf.beat_schedule = {"work": {"task": "mytasks.work", "schedule": 0.5}}
huey = SqliteHuey(filename=str(STATE / "huey.db"))


def note(event: str, about: object) -> None:
    with (STATE / "tasks").open("a") as log:
        log.write(f"{event} {VERSION} {about}\n")


def take_a_while() -> None:
    number = uuid.uuid4().hex
    note("begun", number)
    time.sleep(SECONDS)
    note("ended", number)


@app.task(name="mytasks.work", ignore_result=True)
def work() -> None:
    take_a_while()


@signals.beat_init.connect
def beat_begins(**_: Any) -> None:  # noqa: ANN401
    note("beat-begun", os.getpid())
    atexit.register(note, "beat-ended", os.getpid())


@huey.task()
def work_on() -> None:
    take_a_while()
    work_on()


@huey.on_startup()
def first() -> None:
    for _ in itertools.repeat(None, AT_A_TIME):
        work_on()
