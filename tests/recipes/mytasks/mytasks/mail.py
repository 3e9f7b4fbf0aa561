"""Jobs for rq, in Redis on this host. As a program it adds the first ones."""

from __future__ import annotations

from redis import Redis
from rq import Queue

from mytasks import AT_A_TIME, take_a_while

NAME = "default"


def work() -> None:
    take_a_while()
    add()


def add() -> None:
    Queue(NAME, connection=Redis()).enqueue("mytasks.mail.work")


if __name__ == "__main__":
    for _ in range(AT_A_TIME):
        add()
