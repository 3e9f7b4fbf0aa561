"""Deploy the demo service to two real hosts, then a broken release, and roll back.

    make demo

Prints every command as you would type it, and its output. Exits with 0 only if each one ended as
expected here; the hosts are removed in any case. Needs the wheels of 1.0.0, 1.1.0 and a broken
1.2.0 by prepare.py. If no hosts can be booted it prints why; only with CI=true that is a failure.
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

from shipit.lab.commands import LabError
from shipit.lab.image import obstacles
from shipit.lab.lab import Lab

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
class Environment:
    """The hosts' addresses, and the environment of the commands."""

    addresses: tuple[str, ...]
    environment: Mapping[str, str]

    def shipit(self, *words: str, ends: int = 0) -> None:
        """Run a command of shipit, which must end with the exit status `ends`."""
        argv = ["shipit", *words]
        say(f"$ {shlex.join(argv)}")
        began = time.monotonic()
        done = subprocess.run(
            argv, env=self.environment, cwd=PROJECT, timeout=COMMAND_TIMEOUT_S, check=False
        )
        say(f"({time.monotonic() - began:.1f} s, exit status {done.returncode})\n")
        expect(done.returncode == ends, f"expected exit status {ends}")

    def serves(self, version: str) -> None:
        """Ask both hosts for their health; each must answer with this version."""
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


def play(demo: Environment) -> None:
    """Run the demo; stops at the first command that does not end as expected."""
    title("Deploy 1.0.0 to both hosts")
    demo.shipit("deploy", PLAYBOOK)
    demo.serves("1.0.0")
    title("Deploy 1.1.0: only the app's own wheel is sent")
    demo.shipit("deploy", PLAYBOOK, "-e", "version=1.1.0")
    title("The same again: nothing to do")
    demo.shipit("deploy", PLAYBOOK, "-e", "version=1.1.0")
    title("Deploy 1.2.0, which is broken: it fails its trial and gets no request (exit status 3)")
    demo.shipit("deploy", PLAYBOOK, "-e", "version=1.2.0", "-e", "patience=10s", ends=3)
    demo.serves("1.1.0")
    demo.shipit("status", PLAYBOOK)
    title("Roll back to the release before")
    demo.shipit("rollback", PLAYBOOK)
    demo.serves("1.0.0")


@contextmanager
def two_hosts() -> Iterator[Environment]:
    """Boot two hosts, and remove them at the end."""
    with tempfile.TemporaryDirectory(prefix="shipit-demo-") as scratch:
        say("booting two hosts, each with its own systemd and sshd ...")
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
            yield Environment(addresses, {**os.environ, **settings, "PATH": path})


def title(text: str) -> None:
    say(f"--- {text}\n")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()  # the commands' own output must not overtake it


def expect(truth: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not truth:
        sys.exit(f"demo: {otherwise}")


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
        with two_hosts() as demo:
            play(demo)
    except LabError as error:
        sys.exit(f"demo: {error}")
    say(f"All as expected; the hosts are removed; {time.monotonic() - began:.0f} s in all.")


if __name__ == "__main__":
    main()
