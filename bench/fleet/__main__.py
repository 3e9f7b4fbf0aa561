"""Deploy to many simulated hosts, and write down what the controller needs for each.

make bench-fleet                               # 50, 500 and 2000 hosts: a quarter of an hour
make bench-fleet FLEET="--hosts 50,200"
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import service
from wheelhouse import Recipe, write_lock, write_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE = Path(__file__).parents[2] / "docs/scale.md"
WRITTEN = re.compile(r"(<!-- written by make bench-fleet -->\n).*(<!-- end -->)", re.DOTALL)
LIMIT = 1800.0  # seconds
PLAYBOOK = {
    "app": service.NAME,
    "hosts": "all",
    "wheel": "wheels/benchapp-1.0.0-py3-none-any.whl",
    "lock": "requirements.lock",
    "wheelhouse": "wheels",
    "installer": "pip",
    "services": {"web": {"command": "python -m benchapp"}},
    "health": [{"http": "http://127.0.0.1:8000/"}],
}


@dataclass(frozen=True)
class Figures:
    """What one command took for so many hosts: seconds of wall time and of CPU, and MB."""

    action: str
    hosts: int
    seconds: float
    cpu: float
    memory: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet")
    parser.add_argument("--hosts", type=_numbers, default=[1, 50, 500, 2000])
    parser.add_argument("--forks", default="30")
    parser.add_argument("--write", action="store_true", help="write docs/scale.md")
    options = parser.parse_args()
    found = []
    for count in options.hosts:
        with tempfile.TemporaryDirectory() as name, simulated() as (port, key):
            folder = Path(name)
            prepare(folder, count, port, key)
            for action in ("deploy", "no-op"):
                found.append(measured(action, count, folder, options.forks))
                sys.stderr.write(f"{_line(found[-1])}\n")
    if options.write:
        text = "\n".join(table(found))
        page = PAGE.read_text()
        PAGE.write_text(WRITTEN.sub(lambda marks: f"{marks[1]}{text}\n{marks[2]}", page))


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


@contextmanager
def simulated() -> Iterator[tuple[int, str]]:
    """Run simulated hosts; give the port and the host key."""
    argv = [sys.executable, "-m", "bench.fleet.hosts"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        port, _, key = server.stdout.readline().strip().partition(" ")
        try:
            yield int(port), key
        finally:
            server.stdin.close()


def prepare(folder: Path, count: int, port: int, key: str) -> None:
    wheels = folder / "wheels"
    write_wheel(wheels, Recipe("pip", "24.0"))
    write_wheel(wheels, Recipe(service.NAME))
    write_lock(folder / "requirements.lock", [write_wheel(wheels, Recipe("alpha"))])
    own = folder / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", own], check=True)
    every = {
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_ssh_private_key_file": str(own),
        "shipit_host_key": key,
    }
    hosts = {f"host{number}": {"ansible_user": f"host{number}"} for number in range(count)}
    inventory = {"all": {"hosts": hosts, "vars": every}}
    (folder / "inventory.yaml").write_text(json.dumps(inventory))
    (folder / "playbook.yaml").write_text(json.dumps(PLAYBOOK))


def measured(action: str, count: int, folder: Path, forks: str) -> Figures:
    argv = [sys.executable, "-m", "shipit", "deploy", "playbook.yaml", "--forks", forks]
    log = folder / "output.txt"
    with log.open("w") as output:
        began = time.perf_counter()
        process = subprocess.Popen(argv, cwd=folder, stdout=output, stderr=output)
        watch = threading.Timer(LIMIT, process.kill)
        watch.start()
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        watch.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    said = log.read_text()
    wanted = "unchanged" if action == "no-op" else "committed"
    if process.returncode or said.count(wanted) < count:
        raise SystemExit(
            f"{action} of {count} hosts ended with {process.returncode}:\n{said[-4000:]}"
        )
    return Figures(action, count, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _line(it: Figures) -> str:
    rate = it.hosts / it.seconds
    wall = f"{it.hosts:5} hosts  {it.action:7}{it.seconds:8.1f} s  {rate:6.1f} hosts/s"
    return f"{wall}  cpu {it.cpu:7.2f} s  {it.memory:6.0f} MB"


def table(found: Sequence[Figures]) -> Iterator[str]:
    """Yield the rows of a table; a further host is one beyond those of the smallest fleet."""
    heads = ("", "hosts", "seconds", "hosts a second", "CPU s", "CPU s of a further host", "MB")
    yield f"| {' | '.join((*heads, 'MB of a further host'))} |"
    yield "|---" * (len(heads) + 1) + "|"
    for it in found:
        least = min(
            (each for each in found if each.action == it.action), key=lambda each: each.hosts
        )
        more = it.hosts - least.hosts
        cpu = f"{(it.cpu - least.cpu) / more:.3f}" if more else ""
        memory = f"{(it.memory - least.memory) / more:.2f}" if more else ""
        cells = (f"{it.seconds:.1f}", f"{it.hosts / it.seconds:.0f}", f"{it.cpu:.1f}", cpu)
        yield f"| {it.action} | {it.hosts} | {' | '.join(cells)} | {it.memory:.0f} | {memory} |"


if __name__ == "__main__":
    main()
