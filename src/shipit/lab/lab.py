"""A lab of disposable real hosts: each has its own systemd and sshd, ready in half a second.

    with Lab.up(["web1", "web2"], directory) as lab:
        lab.run("web1", "systemctl", "is-active", "ssh")
        lab.power_cut("web1")
        lab.boot("web1")

At the end of the block, or on SIGTERM, every machine, mount, network and file is removed. What a
killed owner left is cleared by the next `up`. A power cut keeps the page cache, so a missing fsync
has no effect. The machines share this machine's kernel and reach only the lab's network and this
machine. Needs root on Linux: call `image.obstacles()` first.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from shipit.lab.claim import Claim, add_bridge, add_cable, claim, clear
from shipit.lab.commands import LabError, call
from shipit.lab.image import USUAL, base_image
from shipit.lab.machine import Machine

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

_MOST_HOSTS = 100
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
_UNMOUNTABLE = set(',:\\"')


class Lab:
    """Hosts that live as long as this object; every method may be called from any thread."""

    def __init__(self, claim: Claim, names: Sequence[str], base: Path) -> None:
        """Prepare; use `Lab.up`."""
        self._claim, self._names, self._base = claim, tuple(names), base
        self._machines: dict[str, Machine] = {}
        self._going_down = threading.Lock()
        self._is_down = False
        self._signals: list[signal.Signals] = []

    @classmethod
    def up(
        cls,
        names: Sequence[str],
        directory: Path,
        *,
        suite: str = USUAL,
        disk: Mapping[str, str] | None = None,
        emit: Callable[[str], None] = lambda _: None,
        timeout: float = 60.0,
    ) -> Self:
        """Boot hosts by these names and wait until each accepts a login.

        Args:
            names: the hosts' names; they become their hostnames as well.
            directory: the lab makes its folder here, on a file system that supports an overlay.
            suite: what the hosts run, one of SUITES.
            disk: for some hosts a small disk: a size ("300M") or tmpfs options as in mount(8)
                ("size=300M,nr_inodes=20000").
            emit: called with a text before something that takes long.
            timeout: for each host's boot, in seconds.

        Raises:
            LabError: names that can't be hostnames, no base image, a host that does not boot.
        """
        _check(names, directory, disk or {})
        base = base_image(emit=emit, suite=suite)
        lab = cls(claim(directory), names, base)
        try:
            lab._watch_for_the_end()
            lab._lay_out(disk or {})
            lab._on_all(lambda machine: _renew(machine, timeout), names)
        except BaseException:
            lab.down()
            raise
        return lab

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @property
    def hosts(self) -> dict[str, Machine]:
        """The hosts by name."""
        return dict(self._machines)

    @property
    def folder(self) -> Path:
        """The lab's folder; it is removed with the lab."""
        return self._claim.folder

    @property
    def prefix(self) -> str:
        """The prefix of the lab's namespaces, links, groups and machines on this machine."""
        return self._claim.prefix

    def run(
        self,
        name: str,
        *argv: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        timeout: float = 30.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root inside a host, without ssh; its failure is not an error here.

        Raises:
            LabError: the host is off, or the command took longer than `timeout` seconds.
        """
        return self._machine(name).run(*argv, input=input, timeout=timeout)

    def read(self, name: str, path: str) -> bytes:
        """Return a file of a host, running or off.

        Raises:
            LabError: there is no such file.
        """
        return self._machine(name).read(path)

    def inventory(self, groups: Mapping[str, Sequence[str]] | None = None) -> str:
        """Return an inventory of these hosts as YAML text, with pinned host keys."""
        hosts = {
            host.name: {
                "ansible_host": host.address,
                "ansible_port": host.port,
                "ansible_user": host.user,
                "ansible_ssh_private_key_file": str(host.key),
                "ansible_become": True,
                "ansible_timeout": 60,  # seconds: many hosts on one machine may be slow
                "shipit_host_key": host.host_key,
            }
            for host in self._machines.values()
        }
        children = {
            group: {"hosts": dict.fromkeys(members)} for group, members in (groups or {}).items()
        }
        return json.dumps({"all": {"hosts": hosts, "children": children}}, indent=2)

    def power_cut(self, name: str) -> None:
        """Kill a host's PID 1, and thereby all its processes at once; its disk stays.

        Raises:
            LabError: it does not end.
        """
        self._machine(name).cut_power()

    def boot(self, name: str, *, timeout: float = 60.0) -> None:
        """Start a host that is off, with its disk, and wait for a login.

        Raises:
            LabError: it is on, or accepts no login in time.
        """
        self._machine(name).boot(timeout)

    def reboot(self, name: str, *, timeout: float = 60.0) -> None:
        """Shut a host down in order, start it again and wait for a login.

        A reboot from inside (`systemctl reboot`) only switches it off: `boot` it then.

        Raises:
            LabError: it does not shut down, or accepts no login in time.
        """
        self._machine(name).reboot(timeout)

    def keep(self, name: str, folder: Path) -> None:
        """Copy a host's disk, as it is now, into a folder; for `reset`."""
        folder.mkdir(parents=True, exist_ok=True)
        call("cp", "--archive", f"{self._machine(name).upper}/.", str(folder / name))

    def reset(self, *names: str, kept: Path | None = None) -> None:
        """Give hosts (all if none is named) a clean disk; address and host key stay the same.

        kept: the folder that `keep` has copied their disks into: they get these instead.

        Raises:
            LabError: one does not boot again.
        """
        chosen = names or self._names
        for name in chosen:
            self.repair_cable(name)
        self._on_all(lambda each: _renew(each, 180.0, kept and kept / each.name), chosen)

    def cut_cable(self, name: str) -> None:
        """Disconnect a host from the network without notice to its peers."""
        call("ip", "link", "set", self._machine(name).label, "down")

    def repair_cable(self, name: str) -> None:
        call("ip", "link", "set", self._machine(name).label, "up")

    def stay(self) -> str:
        """Let the hosts outlive this process; return the rehearsal's message about it."""
        atexit.unregister(self.down)
        return (
            "the machines keep running until the next `shipit rehearse --provider nspawn` on this"
            " machine, which removes them before it boots its own"
        )

    def down(self) -> None:
        """Remove every trace of the lab; a second call does nothing.

        Raises:
            LabError: a process or a mount can't be removed.
        """
        with self._going_down:
            if self._is_down:
                return
            for machine in list(self._machines.values()):
                machine.retire()
            clear(self._claim)
            for machine in self._machines.values():
                machine.reap()
            self._is_down = True
        atexit.unregister(self.down)
        # Handlers that can't be restored from another thread end the process, too.
        while self._signals and threading.current_thread() is threading.main_thread():
            signal.signal(self._signals.pop(), signal.SIG_DFL)

    def _machine(self, name: str) -> Machine:
        try:
            return self._machines[name]
        except KeyError:
            known = ", ".join(self._names)
            raise LabError("no-such-host", f"the lab has no host {name}, only {known}") from None

    def _lay_out(self, disk: Mapping[str, str]) -> None:
        folder, key = self._claim.folder, self._claim.folder / "key"
        folder.mkdir(parents=True, mode=0o755)
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(key))
        add_bridge(self._claim)
        lines = [f"{self._claim.address(i)} {name}" for i, name in enumerate(self._names)]
        book = "\n".join(["127.0.0.1 localhost", "::1 localhost", *lines]) + "\n"
        for index, name in enumerate(self._names):
            add_cable(self._claim, index)
            self._machines[name] = Machine(
                name=name,
                label=self._claim.machine(index),
                address=self._claim.address(index),
                base=self._base,
                folder=folder / name,
                key=key,
                hosts_file=book,
                disk=disk.get(name),
            )

    def _on_all(self, act: Callable[[Machine], None], names: Sequence[str]) -> None:
        pool = ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1))
        try:
            for done in [pool.submit(act, self._machine(name)) for name in names]:
                done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # pending boots end with their machines

    def _watch_for_the_end(self) -> None:
        """Run the block's exit on SIGTERM and SIGHUP, and `down` at the end of the process."""
        atexit.register(self.down)
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _exit_by_signal)
                self._signals.append(number)


def _check(names: Sequence[str], directory: Path, disk: Mapping[str, str]) -> None:
    if not names or len(names) > _MOST_HOSTS or len(set(names)) < len(names):
        what = f"a lab has 1 to {_MOST_HOSTS} hosts with different names, not {len(names)}"
        raise LabError("lab-bad-names", what)
    for name in names:
        if not _NAME.fullmatch(name):
            hint = "letters, digits, `-` and `.`, at most 63"
            raise LabError("lab-bad-names", f"{name!r} can't be a hostname", hint=hint)
    if unknown := set(disk) - set(names):
        raise LabError("no-such-host", f"a disk for unknown hosts: {', '.join(sorted(unknown))}")
    if _UNMOUNTABLE & set(str(directory.resolve())):
        what = f"{directory} has one of {' '.join(sorted(_UNMOUNTABLE))} in its name"
        raise LabError("lab-bad-directory", what, hint="an overlay's options can't carry those")


def _renew(machine: Machine, timeout: float, kept: Path | None = None) -> None:
    machine.cut_power()
    machine.format(kept)
    machine.boot(timeout)


def _exit_by_signal(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
