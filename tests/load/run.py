"""Deploy repeatedly under load to a real host, and report what its clients noticed.

    make load LOAD_DEPLOYS=100 LOAD_RATE=500 LOAD_SERVERS="uvicorn gunicorn"

The steps are run with the command line, in turn: a good deploy, a broken release, a good deploy, a
rollback. Ends with 1 if a request was lost, a broken release answered one, a websocket was closed
without a close frame, or a step did not end as expected. Where no hosts can be booted it prints
why, and fails only with CI=true.
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
from load.deploys import GUNICORN, UVICORN, DeployedApp, UnexpectedEnd, steps
from shipit.lab.commands import LabError
from shipit.lab.image import obstacles
from shipit.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosts.book import Result
    from hosts.load import Load
    from load.deploys import Step

APPS = {"uvicorn": UVICORN, "gunicorn": GUNICORN}
HOST = "web1"
COLUMNS = (
    *("server", "steps", "requests", "failures", "retried", "of broken"),
    *("p50", "p99", "p99.9", "max", "longest pause"),
)
SHOWN = 20  # failures


@dataclass(frozen=True)
class Options:
    """The options of a run."""

    deploys: int
    rate: float
    servers: tuple[str, ...]
    handover: str
    long_seconds: float


@dataclass(frozen=True)
class Outcome:
    """The result of one server's steps."""

    server: str
    steps: int
    result: Result
    of_broken: int  # answers of a broken release
    failures: tuple[str, ...]  # each with its step
    problem: str = ""

    @property
    def is_good(self) -> bool:
        return not (self.result.failures or self.torn or self.of_broken or self.problem)

    @property
    def torn(self) -> int:
        """The number of websockets without a close frame, for example killed by stop_timeout."""
        return sum(close.code == NO_CLOSE for close in self.result.closes)


def parse(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--deploys", type=int, default=100, help="steps for each server (100)")
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second (500)")
    parser.add_argument("--servers", default=" ".join(APPS), help=f"of {', '.join(APPS)} (all)")
    parser.add_argument("--handover", default="overlap", help="as in the playbook (overlap)")
    parser.add_argument("--long", type=float, default=10.0, help="seconds of long requests (10)")
    wanted = parser.parse_args(arguments)
    servers = tuple(wanted.servers.split())
    if unknown := set(servers) - set(APPS):
        parser.error(f"no such server: {', '.join(sorted(unknown))}; there are {', '.join(APPS)}")
    return Options(wanted.deploys, wanted.rate, servers, wanted.handover, wanted.long)


def run(options: Options, server: str, lab: Lab, folder: Path, outcomes: list[Outcome]) -> None:
    """Run one server's steps up to the first unexpected end; add the result to `outcomes`.

    It is added even if the run is stopped.
    """
    app = APPS[server]
    deployed = DeployedApp.set(folder, lab, HOST, app, options.handover)
    demand = Demand(
        rate=options.rate,
        long=2,
        long_page=f"/slow?seconds={options.long_seconds:g}",
        websocket=app.websocket,
    )
    problem = "it was stopped before its last step"
    load = deployed.clients(demand)
    try:
        with load:
            problem = run_steps(options, server, deployed, load)
    finally:
        outcomes.append(outcome(server, deployed, load.result, problem))


def run_steps(options: Options, server: str, deployed: DeployedApp, load: Load) -> str:
    """Return the problem; "" if there was none."""
    try:
        for number, step in enumerate(steps(options.deploys, deployed.app.faults), 1):
            deployed.run_step(step)
            report(progress(server, f"step {number}/{options.deploys}", step, deployed, load))
    except UnexpectedEnd as error:
        return str(error)
    return ""


def run_all(options: Options, outcomes: list[Outcome]) -> None:
    """Run one server after the other on a clean host; add the results to `outcomes`."""
    with (
        tempfile.TemporaryDirectory(prefix="shipit-load-") as scratch,
        Lab.up([HOST], Path(scratch), emit=report) as lab,
    ):
        for server in options.servers:
            lab.reset()
            (folder := Path(scratch) / server).mkdir()
            run(options, server, lab, folder, outcomes)


def progress(server: str, number: str, step: Step, deployed: DeployedApp, load: Load) -> str:
    last, tally = deployed.times[-1], load.tally
    asked = f"{tally['requests']:,} requests, {tally['failures']} failures"
    return f"{server}  {number}  {step}  {last.ended - last.began:.1f}s  {asked}"


def outcome(server: str, deployed: DeployedApp, result: Result, problem: str = "") -> Outcome:
    lost = Counter(
        f"{each.client} request {each.kind}: {deployed.step_at(each.at)}"
        for each in result.failures
    )
    return Outcome(
        server=server,
        steps=len(deployed.times),
        result=result,
        of_broken=sum(result.versions.get(version, 0) for version in deployed.broken),
        failures=tuple(f"{times} x {what}" for what, times in lost.items()),
        problem=problem,
    )


def row(of: Outcome) -> tuple[str, ...]:
    result = of.result
    counts = (of.steps, result.requests, len(result.failures), result.retried, of.of_broken)
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
    """Return the details that are not in the table."""
    shown = list(of.failures[:SHOWN])
    if len(of.failures) > SHOWN:
        shown.append(f"and {len(of.failures) - SHOWN} more")
    if of.result.closes:
        codes = Counter(each.code for each in of.result.closes)
        ended = ", ".join(f"{times} x {code}" for code, times in sorted(codes.items()))
        shown.append(f"the websocket was closed with: {ended}")
    rate = of.result.requests / of.result.seconds
    shown.append(f"{rate:.0f} requests a second were sent; late ones are sent as soon as possible")
    shown.append(f"{of.result.reconnected} kept connections were closed between requests")
    shown.append(f"the load itself was late by {of.result.own_delay * 1000:.0f} ms at most")
    shown += of.problem.splitlines()
    return [f"{of.server}: {each}" for each in shown]


def report(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    options = parse()
    if reasons := obstacles():
        report(f"no real hosts here ({'; '.join(reasons)})")
        sys.exit(os.environ.get("CI") == "true")
    outcomes: list[Outcome] = []
    try:
        run_all(options, outcomes)
    except (LabError, UnexpectedEnd) as error:
        report(f"load: {error}")
    finally:
        if outcomes:
            report(f"\nhandover: {options.handover}\n{table(outcomes)}")
            report("\n".join(note for each in outcomes for note in notes(each)))
    is_whole = len(outcomes) == len(options.servers)
    sys.exit(not (is_whole and all(each.is_good for each in outcomes)))


if __name__ == "__main__":
    main()
