"""A deployed app on two hosts, to try bad input on: what was refused must have changed nothing.

    site.refuses(code="inodes-too-few", hosts=["web2"], says=["/var/lib/shipit", "df -i"])

What a refusal may change on a host is only what says that it happened (logs, the app's ledger) and
shipit's own store: a wheel that has arrived need not be sent again.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from patience import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hosts.workspace import Done, Workspace
    from shipit.lab.lab import Lab

HOSTS = ("web1", "web2")
CLEANING = 60.0  # seconds
UNWATCHED = (
    *("var/lib/shipit/agent", "var/lib/tinyapp", "var/lib/systemd"),
    *("var/log", "var/tmp", "run", "tmp"),
)
BY_STAGING = ("var/lib/shipit", "opt/tinyapp/ledger.jsonl")
# What a login starts and ends, and the clock.
LOGINS = (
    "systemd-tmpfiles-clean",
    "session-",
    "user@",
    "user-",
    "run-",
    "init.scope",
    "shipit-",
    "systemd-hostnamed",
)
# systemd learns of these from the kernel, a moment later: the mounts are asked of the kernel.
FROM_KERNEL = (".device", ".mount")
_PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,MainPID,NRestarts"

Look = dict[str, tuple[object, ...]]


def snapshot(lab: Lab, unwatched: Sequence[str] = ()) -> Look:
    """Return every file of every host's disk, its mounts, and the state of every unit."""
    seen: Look = {}
    for name, host in lab.hosts.items():
        left_out = {str(host.upper / path) for path in (*UNWATCHED, *unwatched)}
        for path, status in _walk(host.upper, left_out):
            seen[f"{name}:/{os.path.relpath(path, host.upper)}"] = status
        shown = lab.run(name, "systemctl", "show", f"--property={_PROPERTIES}", "*")
        for block in shown.stdout.strip().split("\n\n"):
            unit = dict(line.partition("=")[::2] for line in block.splitlines())
            if not unit["Id"].startswith(LOGINS) and not unit["Id"].endswith(FROM_KERNEL):
                seen[f"{name}: unit {unit['Id']}"] = tuple(sorted(unit.items()))
        for line in lab.run(name, "cat", "/proc/1/mounts").stdout.splitlines():
            _source, point, *rest = line.split()
            if not point.startswith("/run/"):
                seen[f"{name}: mount {point}"] = tuple(rest)
    return seen


def _walk(top: Path, left_out: set[str]) -> list[tuple[str, tuple[object, ...]]]:
    found = []
    for folder, folders, files in os.walk(top):
        folders[:] = [each for each in folders if os.path.join(folder, each) not in left_out]  # noqa: PTH118 - thousands of them
        paths = [os.path.join(folder, each) for each in (*folders, *files)]  # noqa: PTH118
        for path in paths:
            if path not in left_out:
                with suppress(FileNotFoundError):  # it is just being removed
                    found.append((path, _facts(path)))
    return found


def _facts(path: str) -> tuple[object, ...]:
    status = os.lstat(path)
    facts = (oct(status.st_mode), status.st_uid, status.st_gid)
    if stat.S_ISDIR(status.st_mode):  # a file that came and went again has changed nothing
        return facts
    return (*facts, status.st_size, status.st_mtime_ns, status.st_ino)


def at_rest(lab: Lab) -> None:
    """Wait until no agent is at work any more: the last deploy's may still sweep the disk."""
    agents = ("pgrep", "-f", "[s]hipit-boot|[s]hipit/agent/.*[.]pyz")

    def working() -> list[str]:
        return [name for name in lab.hosts if lab.run(name, *agents).returncode == 0]

    until(lambda: not working(), lambda: f"an agent is still at work on {working()}", CLEANING)


def unchanged_since(lab: Lab, before: Look, unwatched: Sequence[str] = ()) -> None:
    """Prove that the hosts are as they were; what is being removed there may take a moment."""

    def changed() -> list[str]:
        return differences(before, snapshot(lab, unwatched))

    until(lambda: not changed(), lambda: "\n".join(changed()), CLEANING)


def differences(before: Look, after: Look) -> list[str]:
    return [
        f"{name}: {before.get(name)} -> {after.get(name)}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


@dataclass
class Site:
    """The workspace, and what must be repaired after a test."""

    workspace: Workspace
    number: int = 0  # of versions so far
    runs: str = ""  # the version that is deployed
    hosts: Sequence[str] = HOSTS
    undo: ExitStack = field(default_factory=ExitStack)

    @property
    def lab(self) -> Lab:
        return self.workspace.lab

    def mend(self) -> None:
        """Put everything right that a test has spoilt."""
        self.undo.close()
        self.workspace.inventory(self.hosts)
        self.workspace.env.clear()
        self.workspace.lock()
        if self.runs:
            self.workspace.playbook(self.runs)

    def settle(self) -> None:
        """Put everything right, and take for deployed what all hosts serve; else deploy anew.

        For tests of which each begins with a deploy that has to get on.
        """
        self.mend()
        versions = {*self.workspace.versions().values()}
        if len(versions) > 1:
            self.accepts()
            return
        (self.runs,) = versions
        self.workspace.playbook(self.runs)

    def accepts(self) -> None:
        """Deploy something new: whatever was wrong before must not stand in the way."""
        self.wants()
        done = self.workspace.shipit("deploy")
        assert done.status == 0, done.output
        self.runs = f"1.0.{self.number}"
        assert self.workspace.versions() == dict.fromkeys(self.hosts, self.runs)

    def wants(self, **changes: object) -> None:
        """Write a playbook that wants a version which no host has yet."""
        self.number += 1
        self.workspace.wheel(f"1.0.{self.number}")
        self.workspace.playbook(f"1.0.{self.number}", **changes)

    def spoil(self, name: str, do: str, undo: str) -> None:
        """Change a host by a line of shell until the test's end.

        An undo must pass while an agent is still ending there: `umount -l`, not `umount`.
        """
        self.undo.callback(self.workspace.sh, name, undo)
        self.workspace.sh(name, do)

    def reach(self, name: str, **variables: object) -> None:
        """Change the inventory's variables of a host; None takes one out."""
        whole: dict[str, Any] = yaml.safe_load(self.lab.inventory(groups={"web": list(self.hosts)}))
        own = {**whole["all"]["hosts"][name], **variables}
        whole["all"]["hosts"][name] = {k: v for k, v in own.items() if v is not None}
        self.workspace.inventory(self.hosts, yaml.safe_dump(whole))

    def refuses(
        self,
        *words: str,
        code: str,
        says: Sequence[str],
        hosts: Sequence[str] = ("",),
        status: int = 3,
        staging: bool = False,
        unwatched: Sequence[str] = (),
    ) -> Done:
        """Deploy what must be refused with this one problem; nothing on any host may change.

        hosts: those it is reported for; "" for the input itself.
        says: what must be in what is reported: what is wrong, where, what was expected, what to do.
        staging: whether some host gets as far as staging.
        unwatched: paths that may change, below the hosts' roots.
        """
        unwatched = (*unwatched, *(BY_STAGING if staging else ()))
        at_rest(self.lab)
        before = snapshot(self.lab, unwatched)
        done = self.workspace.shipit("deploy", "--json", *words)
        assert (done.status, done.result["exit_status"]) == (status, status), done.output
        for host in hosts:
            reported = [each for each in problems(done) if each.get("host", "") == host]
            found = [each for each in reported if each["code"] == code]
            assert found, done.output
            assert found[0]["hint"], f"{code} does not say what to do: {found[0]}"
            whole = json.dumps(found[0], ensure_ascii=False).replace('\\"', '"')
            for word in says:
                assert word in whole, f"{word!r} is not in {whole}"
        assert "Traceback" not in done.output
        unchanged_since(self.lab, before, unwatched)
        return done


def problems(done: Done) -> list[dict[str, Any]]:
    """Return everything that was asked to be wrong, of the playbook and of hosts."""
    return done.reported("error") + [line["problem"] for line in done.reported("host-failed")]
