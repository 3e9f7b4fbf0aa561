"""Ship the demo service to two real hosts, then a broken release, and go back.

    make demo

Every command is shown as a person would type it, and run with its own output. Ends with 0 only if
each did what this file says of it; the hosts are gone in any case. Expects the wheels that
prepare.py makes of 1.0.0, 1.1.0 and a broken 1.2.0. Where no hosts can be booted it says why, and
that is a failure only with CI=true.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.lab import Lab, LabError, obstacles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOK = "playbooks/demo.yaml"
PORT = 8000
COMMAND_TIMEOUT_S = 180
VAGRANT = (
    "DEMO_DATABASE_URL=sqlite+aiosqlite:///demo.db "
    ".venv/bin/shipit rehearse playbooks/demo.yaml --provider vagrant"
)


@dataclass(frozen=True)
class Stage:
    """Where the demo plays: the hosts' addresses, and what a person's shell would know."""

    addresses: tuple[str, ...]
    environment: Mapping[str, str]

    def shipit(self, *words: str, ends: int = 0) -> None:
        """Run a command of shipit; `ends` is the exit status that it must have."""
        argv = ["shipit", *words]
        say(f"$ {shlex.join(argv)}")
        began = time.monotonic()
        done = subprocess.run(
            argv, env=self.environment, cwd=PROJECT, timeout=COMMAND_TIMEOUT_S, check=False
        )
        say(f"({time.monotonic() - began:.1f} s, exit status {done.returncode})\n")
        expect(done.returncode == ends, f"expected exit status {ends}")

    def serves(self, version: str) -> None:
        """Ask both hosts for their health from here; each must answer with this version."""
        for address in self.addresses:
            argv = ["curl", "--silent", "--show-error", "--max-time", "10"]
            argv.append(f"http://{address}:{PORT}/healthz")
            say(f"$ {shlex.join(argv)}")
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
            )
            say(done.stdout.strip() or done.stderr.strip())
            expect(_version(done.stdout) == version, f"expected version {version}")
        say("")


def play(stage: Stage) -> None:
    """Tell the story; stops at the first thing that is not as told."""
    title("Ship 1.0.0 to both hosts")
    stage.shipit("deploy", PLAYBOOK)
    stage.serves("1.0.0")
    title("Ship 1.1.0: only the app's own wheel travels")
    stage.shipit("deploy", PLAYBOOK, "-e", "version=1.1.0")
    title("The same once more: nothing to do")
    stage.shipit("deploy", PLAYBOOK, "-e", "version=1.1.0")
    title("Ship 1.2.0, which is broken: it fails its trial and serves nobody (exit status 3)")
    stage.shipit("deploy", PLAYBOOK, "-e", "version=1.2.0", "-e", "patience=10s", ends=3)
    stage.serves("1.1.0")
    stage.shipit("status", PLAYBOOK)
    title("Go back to the release before")
    stage.shipit("rollback", PLAYBOOK)
    stage.serves("1.0.0")


@contextmanager
def two_hosts() -> Iterator[Stage]:
    """Boot two hosts, and leave nothing of them."""
    with tempfile.TemporaryDirectory(prefix="shipit-demo-") as scratch:
        say("two hosts, each with a systemd and an sshd of its own, are booting ...")
        began = time.monotonic()
        with Lab.up(["web1", "web2"], Path(scratch), emit=say) as lab:
            say(f"(up after {time.monotonic() - began:.1f} s)\n")
            inventory = Path(scratch) / "inventory.yaml"
            inventory.write_text(lab.inventory({"web": ["web1", "web2"]}))
            settings = {
                "SHIPIT_INVENTORY": str(inventory),
                "DEMO_DATABASE_URL": "sqlite+aiosqlite:///demo.db",
            }
            for name, value in settings.items():
                say(f"$ export {name}={shlex.quote(value)}")
            say("")
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            addresses = tuple(host.address for host in lab.hosts.values())
            yield Stage(addresses, {**os.environ, **settings, "PATH": path})


def title(text: str) -> None:
    say(f"--- {text}\n")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()  # the commands' own output must not overtake it


def expect(truth: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not truth:
        sys.exit(f"demo: not as told: {otherwise}")


def _version(answer: str) -> str:
    try:
        return str(json.loads(answer)["version"])
    except (ValueError, KeyError, TypeError):
        return ""


def main() -> None:
    if reasons := obstacles():
        say(f"no real hosts here ({'; '.join(reasons)}); on virtual machines: {VAGRANT}")
        sys.exit(os.environ.get("CI") == "true")
    began = time.monotonic()
    try:
        with two_hosts() as stage:
            play(stage)
    except LabError as error:
        sys.exit(f"demo: {error}")
    say(f"All as told, and the hosts are gone; {time.monotonic() - began:.0f} s in all.")


if __name__ == "__main__":
    main()
