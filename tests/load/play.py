"""Deploy again and again under load to a real host, and say what its customers noticed.

    make load LOAD_DEPLOYS=100 LOAD_RATE=500 LOAD_SERVERS="uvicorn gunicorn"

Every act is done by the command line, in turn: a good deploy, a broken release, a good deploy, a
rollback. Ends with 1 if a request was lost, a broken release answered one, a websocket was not
told of its end, or an act did not end as it should. Where no hosts can be booted it says why, and
that is a failure only with CI=true.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hosts.load import Demand
from hosts.wire import NO_CLOSE
from load.story import GUNICORN, UVICORN, NotAsTold, Stage, acts
from shipit.lab.lab import Lab, LabError, obstacles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosts.book import Result
    from hosts.load import Load
    from load.story import Act

APPS = {"uvicorn": UVICORN, "gunicorn": GUNICORN}
HOST = "web1"
COLUMNS = (
    *("server", "acts", "requests", "failures", "retried", "of broken"),
    *("p50", "p99", "p99.9", "max", "longest pause"),
)
SHOWN = 20  # failures


@dataclass(frozen=True)
class Order:
    """What is to be played."""

    deploys: int
    rate: float
    servers: tuple[str, ...]
    handover: str
    long_seconds: float


@dataclass(frozen=True)
class Outcome:
    """What became of one server's acts."""

    server: str
    played: int
    result: Result
    of_broken: int  # answers of a broken release
    failures: tuple[str, ...]  # told with their act
    went_wrong: str = ""

    @property
    def is_good(self) -> bool:
        return not (self.result.failures or self.torn or self.of_broken or self.went_wrong)

    @property
    def torn(self) -> int:
        """The websockets that ended without a word, as one that stop_timeout has cut short."""
        return sum(close.code == NO_CLOSE for close in self.result.closes)


def parse(arguments: Sequence[str] | None = None) -> Order:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--deploys", type=int, default=100, help="acts for each server (100)")
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second (500)")
    parser.add_argument("--servers", default=" ".join(APPS), help=f"of {', '.join(APPS)} (all)")
    parser.add_argument("--handover", default="overlap", help="as in the playbook (overlap)")
    parser.add_argument("--long", type=float, default=10.0, help="seconds of long requests (10)")
    wanted = parser.parse_args(arguments)
    servers = tuple(wanted.servers.split())
    if unknown := set(servers) - set(APPS):
        parser.error(f"no such server: {', '.join(sorted(unknown))}; there are {', '.join(APPS)}")
    return Order(wanted.deploys, wanted.rate, servers, wanted.handover, wanted.long)


def play(order: Order, server: str, lab: Lab, folder: Path, outcomes: list[Outcome]) -> None:
    """Play one server's acts, up to the first that does not end as it should; adds what came of it.

    That is added also when the run is stopped.
    """
    app = APPS[server]
    stage = Stage.set(folder, lab, HOST, app, order.handover)
    demand = Demand(
        rate=order.rate,
        long=2,
        long_page=f"/slow?seconds={order.long_seconds:g}",
        websocket=app.websocket,
    )
    went_wrong = "it was stopped before its last act"
    load = stage.customers(demand)
    try:
        with load:
            went_wrong = play_acts(order, server, stage, load)
    finally:
        outcomes.append(outcome(server, stage, load.result, went_wrong))


def play_acts(order: Order, server: str, stage: Stage, load: Load) -> str:
    """Return what went wrong, or nothing."""
    try:
        for number, act in enumerate(acts(order.deploys, stage.app.faults), 1):
            stage.play(act)
            say(progress(server, f"act {number}/{order.deploys}", act, stage, load))
    except NotAsTold as error:
        return str(error)
    return ""


def play_all(order: Order, outcomes: list[Outcome]) -> None:
    """Play one server after the other on a host that is clean; adds what became of each."""
    with (
        tempfile.TemporaryDirectory(prefix="shipit-load-") as scratch,
        Lab.up([HOST], Path(scratch), emit=say) as lab,
    ):
        for server in order.servers:
            lab.reset()
            (folder := Path(scratch) / server).mkdir()
            play(order, server, lab, folder, outcomes)


def progress(server: str, number: str, act: Act, stage: Stage, load: Load) -> str:
    last, tally = stage.played[-1], load.tally
    asked = f"{tally['requests']:,} requests, {tally['failures']} failures"
    return f"{server}  {number}  {act}  {last.ended - last.began:.1f}s  {asked}"


def outcome(server: str, stage: Stage, result: Result, went_wrong: str = "") -> Outcome:
    lost = Counter(
        f"{each.client} request {each.kind}: {stage.act_at(each.at)}" for each in result.failures
    )
    return Outcome(
        server=server,
        played=len(stage.played),
        result=result,
        of_broken=sum(result.versions.get(version, 0) for version in stage.broken),
        failures=tuple(f"{times} x {what}" for what, times in lost.items()),
        went_wrong=went_wrong,
    )


def row(of: Outcome) -> tuple[str, ...]:
    result = of.result
    counts = (of.played, result.requests, len(result.failures), result.retried, of.of_broken)
    seconds = (*result.latency.values(), result.longest_pause)
    return (of.server, *(f"{each:,}" for each in counts), *(f"{s * 1000:,.0f} ms" for s in seconds))


def table(outcomes: Sequence[Outcome]) -> str:
    rows = [COLUMNS, *(row(each) for each in outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip()
        for each in rows
    )


def notes(of: Outcome) -> list[str]:
    """Return what a table has no room for."""
    shown = list(of.failures[:SHOWN])
    if len(of.failures) > SHOWN:
        shown.append(f"and {len(of.failures) - SHOWN} more")
    if of.result.closes:
        codes = Counter(each.code for each in of.result.closes)
        told = ", ".join(f"{times} x {code}" for code, times in sorted(codes.items()))
        shown.append(f"the websocket was closed with: {told}")
    rate = of.result.requests / of.result.seconds
    shown.append(f"{rate:.0f} requests a second were asked; who is late catches up")
    shown.append(f"{of.result.reconnected} kept connections were closed between requests")
    shown.append(f"the load itself was late by {of.result.own_delay * 1000:.0f} ms at most")
    shown += of.went_wrong.splitlines()
    return [f"{of.server}: {each}" for each in shown]


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    order = parse()
    if reasons := obstacles():
        say(f"no real hosts here ({'; '.join(reasons)})")
        sys.exit(os.environ.get("CI") == "true")
    outcomes: list[Outcome] = []
    try:
        play_all(order, outcomes)
    except (LabError, NotAsTold) as error:
        say(f"load: {error}")
    finally:
        if outcomes:
            say(f"\nhandover: {order.handover}\n{table(outcomes)}")
            say("\n".join(note for each in outcomes for note in notes(each)))
    is_whole = len(outcomes) == len(order.servers)
    sys.exit(not (is_whole and all(each.is_good for each in outcomes)))


if __name__ == "__main__":
    main()
