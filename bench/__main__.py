"""Deploy one service by every tool, and write down what it took.

make bench                          # all of it: an hour or two on a quiet machine
make bench BENCH="--hosts 1 --rtt 25 --rounds 1 --tools shipit,floor"
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import venv
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from bench import report, service
from bench.meter import Failed, Figures, measured
from bench.site import site
from bench.tools.ansible import Ansible
from bench.tools.base import Job
from bench.tools.fabric import Fabric
from bench.tools.floor import Floor
from bench.tools.pyinfra import Pyinfra
from bench.tools.shipit import Shipit

if TYPE_CHECKING:
    from bench.service import Wheels
    from bench.site import Site
    from bench.tools.base import Tool

TOP = Path(__file__).parents[1]
BUILD = TOP / "build/bench"
PEERS = TOP / "bench/peers.txt"
TOOLS: tuple[Tool, ...] = (Floor(), Shipit(), Fabric(), Pyinfra(), Ansible())
OLD, NEW, BROKEN = "1.0.0", "1.1.0", "1.2.0"
VERSIONS = {OLD: "", NEW: "", BROKEN: "raise SystemExit('broken')"}
FETCHING = 900.0  # seconds
ASK = (
    "import json, urllib.request as u;"
    f"print(json.load(u.urlopen('http://127.0.0.1:{service.PORT}/healthz'))['version'])"
)


def main() -> None:
    options = parsed()
    BUILD.mkdir(parents=True, exist_ok=True)
    wheels, python = service.prepared(BUILD, VERSIONS), peers()
    found: list[report.Row] = []
    for count in options.hosts:
        for rtt in options.rtt:
            names = [f"host{number}" for number in range(1, count + 1)]
            with (
                tempfile.TemporaryDirectory() as folder,
                site(Path(folder), names, rtt / 1000) as at,
            ):
                for tool in [tool for tool in TOOLS if tool.name in options.tools]:
                    rounds = [played(tool, at, wheels, python) for _ in range(options.rounds)]
                    for action in rounds[0]:
                        middle = median([each[action] for each in rounds])
                        found.append(report.Row(tool.name, count, rtt, action, middle))
                        sys.stderr.write(f"{report.line(found[-1])}\n")
    (BUILD / "figures.json").write_text(json.dumps([asdict(row) for row in found], indent=1))
    if options.write:
        report.write(TOP / "docs", found, TOOLS, PEERS.read_text())


def played(tool: Tool, at: Site, wheels: Wheels, python: Path) -> dict[str, Figures]:
    """Play all actions with a tool on clean hosts; return what each took."""
    at.reset()
    folder = Path(tempfile.mkdtemp(dir=at.folder))
    job = Job(folder, at.folder, at.addresses, wheels, python)
    tool.prepare(job)
    actions = {
        "cold": (tool.deploy(job, OLD), OLD),
        "warm": (tool.deploy(job, NEW), NEW),
        "no-op": (tool.deploy(job, NEW), NEW),
        "broken": (tool.deploy(job, BROKEN), NEW),
        "rollback": (tool.rollback(job, NEW), OLD),
    }
    taken: dict[str, Figures] = {}
    for action, (call, version) in actions.items():
        taken[action] = measured(call, folder, at, fails=action == "broken")
        for name in at.names:
            runs = at.lab.run(name, "python3", "-c", ASK).stdout.strip()
            if runs != version:
                raise Failed(
                    f"{tool.name}, {action}: {name} runs {runs or 'nothing'}, not {version}"
                )
    return taken


def median(figures: list[Figures]) -> Figures:
    names = [field.name for field in fields(Figures)]
    return Figures(*(statistics.median(getattr(each, name) for each in figures) for name in names))


def peers() -> Path:
    """Install the pinned peers once; return the Python of their environment."""
    folder = BUILD / "peers"
    done = folder / "peers.txt"
    if not done.exists() or done.read_text() != PEERS.read_text():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin/pip"), "install", "--quiet", "--requirement", str(PEERS)]
        subprocess.run(pip, check=True, timeout=FETCHING)
        done.write_text(PEERS.read_text())
    return folder / "bin/python"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").splitlines()[0])

    def numbers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    def names(text: str) -> list[str]:
        found = text.split(",")
        if unknown := set(found) - {tool.name for tool in TOOLS}:
            raise argparse.ArgumentTypeError(f"no such tool: {', '.join(sorted(unknown))}")
        return found

    every = ",".join(tool.name for tool in TOOLS)
    parser.add_argument("--hosts", type=numbers, default="1,4,10", help="how many, in turn")
    parser.add_argument("--rtt", type=numbers, default="0,25,100", help="milliseconds, in turn")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    parser.add_argument("--tools", type=names, default=every)
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    return parser.parse_args()


main()
