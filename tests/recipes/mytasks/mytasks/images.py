"""Messages for dramatiq, in Redis on this host. As a program it adds the first ones."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from mytasks import AT_A_TIME, take_a_while

dramatiq.set_broker(RedisBroker())


@dramatiq.actor(actor_name="work")
def work() -> None:
    take_a_while()
    work.send()


if __name__ == "__main__":
    for _ in range(AT_A_TIME):
        work.send()
