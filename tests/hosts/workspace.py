"""A project of an operator: a folder with playbook, wheels and inventory, and the command line.

workspace = Workspace.set(folder, lab)
workspace.wheel("1.0.0"); workspace.playbook(version="1.0.0")
done = workspace.shipit("deploy"); done.status == 0
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Protocol

import yaml

import wheelhouse
from hosts.site import at_rest
from hosts.warm import Command, warm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from shipit.lab.lab import Lab

SECRET = "s3ntinel-Zq8wV5xK"  # a password that may be in its own env file only
PORT = 8000
PATIENCE = 300.0  # seconds; a command that takes longer hangs
ANSWER = 30  # seconds for a page


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def output(self) -> str:
        return self.out + self.err

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What `--json` printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        return self.lines[-1]

    def reported(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Return the events of a kind that have these fields."""
        return [
            line for line in self.lines if line["event"] == event and fields.items() <= line.items()
        ]


class Process(Protocol):
    """A command that has been started: a `Command`, or a subprocess.Popen."""

    @property
    def stdout(self) -> IO[str] | None: ...
    @property
    def returncode(self) -> Any: ...  # noqa: ANN401 - of a Popen an int, before its end as well
    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def communicate(self) -> tuple[str, str]: ...


@contextmanager
def alarm(process: Process, seconds: float = PATIENCE) -> Iterator[None]:
    """Kill a command that hangs, so that reading its output ends."""
    clock = threading.Timer(seconds, process.kill)
    clock.start()
    try:
        yield
    finally:
        clock.cancel()


def ended(process: Process, before: Sequence[str] = ()) -> Done:
    """Let a command end; `before` is what has been read of its output."""
    with alarm(process):
        out, err = process.communicate()
    return Done(process.returncode, "".join(before) + out, err)


def heard(process: Process, awaited: Callable[[dict[str, Any]], bool]) -> list[str]:
    """Read the output of a `--json` command up to the awaited event."""
    assert process.stdout is not None
    lines = []
    with alarm(process):
        for line in process.stdout:
            lines.append(line)
            if awaited(json.loads(line)):
                return lines
    raise AssertionError(f"it never came to that: {''.join(lines)}")


def all_in(step: str, hosts: Sequence[str]) -> Callable[[dict[str, Any]], bool]:
    """Return a condition: each of these hosts has begun a step."""
    missing = set(hosts)

    def seen(event: dict[str, Any]) -> bool:
        if (event["event"], event.get("step")) == ("step-began", step):
            missing.discard(event["host"])
        return not missing

    return seen


def stopped(process: Process) -> None:
    """Kill a command and wait for its end; it may have ended already."""
    process.kill()
    process.communicate()


@dataclass
class Workspace:
    """A folder with everything that a deploy needs."""

    folder: Path
    lab: Lab
    env: dict[str, str] = field(default_factory=dict)
    hosts: Sequence[str] = ()  # of the inventory, as far as it was written by their names
    handover: str = "restart"  # of the usual playbook's web
    interval: str = "50ms"  # of its gate

    @classmethod
    def set(cls, folder: Path, lab: Lab, hosts: Sequence[str] = ("web1", "web2")) -> Workspace:
        workspace = cls(folder, lab)
        workspace.inventory(hosts)
        wheelhouse.installed_wheel(workspace.wheels, "uv")
        wheelhouse.installed_wheel(workspace.wheels, "pip")
        workspace.lock()
        return workspace

    @property
    def wheels(self) -> Path:
        folder = self.folder / "wheels"
        folder.mkdir(exist_ok=True)
        return folder

    def inventory(self, hosts: Sequence[str], text: str | None = None) -> None:
        made = text or self.lab.inventory(groups={"web": list(hosts)})
        self.hosts = hosts or self.hosts
        (self.folder / "inventory.yaml").write_text(made)

    def variables(self, **of_hosts: Mapping[str, object]) -> None:
        """Write an inventory with these additional variables of hosts."""
        made = yaml.safe_load(self.lab.inventory({"web": list(self.lab.hosts)}))
        for name, values in of_hosts.items():
            made["all"]["hosts"][name].update(values)
        self.inventory([], yaml.safe_dump(made))

    def lock(self, *dependencies: Path) -> None:
        wheelhouse.write_lock(self.folder / "requirements.lock", list(dependencies))

    def wheel(self, version: str, fault: str = "", requires: Sequence[str] = ()) -> Path:
        """Build the app in this version; `fault` breaks it (see tinyapp)."""
        return wheelhouse.tinyapp_wheel(self.folder, version, fault, tuple(requires))

    def playbook(self, version: str = "1.0.0", **changes: object) -> Path:
        """Write the playbook; a change of None removes the key."""
        values: dict[str, Any] = {
            "name": "Ship tinyapp",
            "hosts": "web",
            "app": "tinyapp",
            "wheel": f"tinyapp-{version}-py3-none-any.whl",
            "lock": "requirements.lock",
            "wheelhouse": "wheels",
            "env": {"GREETING": "hello"},
            "secrets": {"PASSWORD": "env:TINYAPP_PASSWORD"},
            "services": {
                "web": {
                    "command": "tinyapp",
                    "socket": PORT,
                    "stop_timeout": "5s",
                    "handover": self.handover,
                },
                "worker": {"command": "tinyapp-worker", "stop_timeout": "5s"},
                "nightly": {"command": "tinyapp-report", "timer": "*-01-01 03:00:00"},
            },
            "smoke": "tinyapp --version",
            "health": {
                "checks": [
                    {
                        "http": f"http://127.0.0.1:{PORT}/healthz",
                        "json": {"version": "{{ release.version }}"},
                    }
                ],
                "deadline": "60s",
                "min_healthy": "300ms",
                "interval": self.interval,
            },
            **changes,
        }
        kept = {key: value for key, value in values.items() if value is not None}
        path = self.folder / "playbook.yaml"
        path.write_text(yaml.safe_dump(kept, sort_keys=False))
        return path

    def environment(self) -> dict[str, str]:
        """Return the environment that commands run in."""
        return {**os.environ, "TINYAPP_PASSWORD": SECRET, **self.env}

    def start(self, verb: str, *words: str, package: str = "") -> Command:
        """Start `shipit VERB playbook.yaml WORDS...`; `package` is the folder of another one."""
        argv = [verb, "playbook.yaml", *words]
        return warm(package).start(argv, self.folder, self.environment())

    def start_cold(self, verb: str, *words: str) -> subprocess.Popen[str]:
        """Start the same as a new process."""
        # A shell makes its background processes ignore Ctrl-C.
        hears = ("env", "--default-signal=INT")
        return subprocess.Popen(
            [*hears, sys.executable, "-m", "shipit", verb, "playbook.yaml", *words],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def shipit(self, verb: str, *words: str, env: Mapping[str, str] | None = None) -> Done:
        """Run a command with the playbook; fail if it hangs."""
        return self.run(verb, "playbook.yaml", *words, env=env)

    def run(self, *argv: str, env: Mapping[str, str] | None = None) -> Done:
        """Run `shipit ARGV`; fail if it hangs."""
        environment = {**self.environment(), **(env or {})}
        command = warm().start(argv, self.folder, environment)
        done = ended(command)
        assert done.status != -signal.SIGKILL, f"shipit {argv} hung: {done.output}"
        return done

    def deploy(self, version: str, *words: str, fault: str = "", **changes: object) -> Done:
        """Build this version, name it in the playbook, and deploy it."""
        self.wheel(version, fault)
        self.playbook(version, **changes)
        return self.shipit("deploy", *words)

    def deploy_and_lose_power(self, host: str) -> None:
        """Deploy, cut a host's power while the release is in its gate, and boot it again."""
        deploying = self.start("deploy", "--json")
        try:
            heard(deploying, all_in("check", [host]))
            self.lab.power_cut(host)
            self.lab.boot(host, timeout=180)
        finally:
            stopped(deploying)

    def begin(self, *hosts: str, version: str = "1.0.0", **changes: object) -> None:
        """Give hosts that serve a release, and on which nothing else has ever been.

        It is deployed once in a process: after that they get copies of their disks of then.
        """
        self.wheel(version)
        texts = [self.playbook(version, **changes), self.folder / "requirements.lock"]
        reported = repr((hosts, *(text.read_text() for text in texts)))
        kept = self.lab.folder / "kept" / hashlib.sha256(reported.encode()).hexdigest()
        if kept.exists():
            self.lab.reset(*hosts, kept=kept)
            for host in hosts:
                self.sh(host, "systemctl is-system-running --wait || true")
        else:
            self.lab.reset(*hosts)
            done = self.shipit("deploy")
            assert done.status == 0, done.output
            at_rest(self.lab)
            for host in hosts:
                self.lab.keep(host, kept)
        assert {self.serves(host).get("version") for host in hosts} == {version}

    def asked(self, verb: str, *words: str) -> dict[str, dict[str, Any]]:
        """Return the answer of status, releases or plan for each host."""
        answer = self.shipit(verb, "--json", *words).result
        hosts: dict[str, dict[str, Any]] = answer["deployments"][0]["hosts"]
        return hosts

    # --- from outside ---------------------------------------------------------------------------

    def serves(self, name: str, page: str = "/healthz", port: int = PORT) -> dict[str, Any]:
        """Return the answer of a host's service; an error in `error`.

        TCP keepalive detects a host that loses its power meanwhile.
        """
        url = f"http://{self.lab.hosts[name].address}:{port}{page}"
        limits = ("--connect-timeout", "10", "--keepalive-time", "2", "-m", str(ANSWER))
        done = subprocess.run(
            ["curl", "-sS", *limits, url],
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr}

    def versions(self) -> dict[str, str]:
        return {name: str(self.serves(name).get("version")) for name in self.hosts}

    def sh(self, name: str, script: str) -> str:
        """Run a line of shell on a host, as root and not over ssh."""
        done = self.lab.run(name, "sh", "-c", script, timeout=PATIENCE)
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout.strip()
