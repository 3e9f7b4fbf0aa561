"""One disposable machine: its disk, its identity, its power switch and its console.

A machine is a systemd under systemd-nspawn, with an overlay over the base image and its own network
cable. `start` and `wait_for_login` end in a working login or in an error with the console's last
lines. `claim` sets up its network and removes its remains.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.lab.claim import cgroups_of, children, discard_cgroup, kill, unmount_below
from shipit.lab.image import USERS, LabError, call, finish

if TYPE_CHECKING:
    from collections.abc import Sequence

_POLL_SECONDS = 0.02
_OFF_SECONDS = 60.0
_SHUTDOWN_SECONDS = 100.0
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
# Joins control groups, then runs the command: this is only possible between fork and exec.
_JOIN = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'


@dataclass(frozen=True)
class Blueprint:
    """What a machine is made of; all its files are in its folder."""

    name: str  # the host's name
    label: str  # the name of machine, network namespace and cable on this machine
    address: str
    base: Path
    folder: Path
    key: Path
    hosts_file: str
    disk: str | None = None  # tmpfs options for the disk, or its size only

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def store(self) -> Path:
        return self.folder / "disk"

    @property
    def upper(self) -> Path:
        return self.store / "upper"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"


class Machine:
    """A machine that can be formatted, started, entered and switched off."""

    def __init__(self, blueprint: Blueprint) -> None:
        self.blueprint = blueprint
        self._switch = threading.Lock()
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._is_retired = False
        blueprint.folder.mkdir(parents=True)
        key = blueprint.folder / "host_key"
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key))
        self.host_key = " ".join(key.with_suffix(".pub").read_text().split()[:2])
        known = f"{blueprint.address} {self.host_key}\n"
        (blueprint.folder / "known_hosts").write_text(known)

    @property
    def leader(self) -> int:
        """The process id of the machine's PID 1 on this machine; 0 while it is off."""
        supervisor = self._supervisor
        if supervisor is None or supervisor.poll() is not None:
            return 0
        return next((pid for pid in children(supervisor.pid) if _is_first(pid)), 0)

    def format(self) -> None:
        """Give the machine, which must be off, an empty disk and its identity.

        Raises:
            LabError: the disk can't be mounted here.
        """
        plan = self.blueprint
        unmount_below(plan.folder)
        shutil.rmtree(plan.store, ignore_errors=True)
        _folder(plan.store)
        if plan.disk:
            options = plan.disk if "=" in plan.disk else f"size={plan.disk}"
            call("mount", "-t", "tmpfs", "-o", f"mode=755,{options}", "tmpfs", str(plan.store))
        work = plan.store / "work"
        for folder in (plan.upper, work, plan.root):
            _folder(folder)
        options = f"lowerdir={plan.base},upperdir={plan.upper},workdir={work}"
        call("mount", "-t", "overlay", "-o", options, "overlay", str(plan.root))
        self._sign()

    def start(self) -> None:
        """Switch the power on; return at once.

        Raises:
            LabError: it is on already, or its lab is being removed.
        """
        with self._switch:
            if self._is_retired or self.leader:
                state = "on already" if self.leader else "being removed with its lab"
                raise LabError("machine-not-off", f"{self.blueprint.name} is {state}")
            with self.blueprint.console.open("wb") as console:
                self._supervisor = subprocess.Popen(
                    _boot_argv(self.blueprint),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    # a Debian machine has /tmp on its disk
                    env={**os.environ, "SYSTEMD_NSPAWN_TMPFS_TMP": "0"},
                )

    def wait_for_login(self, timeout: float = 60.0) -> None:
        """Wait until an ssh login works: the port alone is open too early.

        Raises:
            LabError: the machine ended, or timed out; with the console's last lines.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            supervisor = self._supervisor
            if supervisor is None or supervisor.poll() is not None:
                raise self._failed("machine-stopped", "stopped while it booted")
            if self._may_log_in() and self._logs_in():
                return
            time.sleep(_POLL_SECONDS)
        raise self._failed("boot-timeout", f"accepted no login within {timeout:.0f} s")

    def cut_power(self) -> None:
        """Kill the machine at once, as a power cut does; its disk stays.

        Raises:
            LabError: it does not end within 60 s.
        """
        with self._switch:
            supervisor = self._supervisor
            deadline = time.monotonic() + _OFF_SECONDS
            while supervisor is not None and supervisor.poll() is None:
                if time.monotonic() > deadline:
                    raise self._failed("machine-not-off", "does not die")
                if leader := self.leader:  # 0 for a moment while it starts
                    kill(leader)  # its death ends the supervisor as well
                time.sleep(_POLL_SECONDS / 4)

    def reboot(self) -> None:
        """Ask the machine to shut down in order, wait until it is off, and start it again.

        Raises:
            LabError: it is off, or still on after 100 s (systemd waits 90 s for a service).
        """
        supervisor = self._supervisor
        self.run(
            ("systemctl", "reboot"), given=b"", timeout=30
        )  # the connection may break before the answer
        try:
            if supervisor is not None:
                supervisor.wait(_SHUTDOWN_SECONDS)  # started with --keep-unit, it ends here as well
        except subprocess.TimeoutExpired:
            raise self._failed("machine-not-off", "does not shut down") from None
        self.start()

    def retire(self) -> None:
        """Prevent another start."""
        with self._switch:
            self._is_retired = True

    def reap(self) -> None:
        """Wait for the supervisor of a machine that was killed by others."""
        if self._supervisor is not None:
            self._supervisor.wait(_OFF_SECONDS)

    def run(self, argv: Sequence[str], *, given: bytes, timeout: float) -> _Done:
        """Run a command as root inside the running machine, without ssh.

        Raises:
            LabError: the machine is off, or the command timed out.
        """
        if not (leader := self.leader):
            raise LabError("machine-off", f"{self.blueprint.name} is off: boot it first")
        enter = ("nsenter", "--target", str(leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w")
        return finish((*enter, "--", *argv), given=given, timeout=timeout, environment=_ENVIRONMENT)

    def read(self, path: str) -> bytes:
        """Return a file of the machine, running or off.

        Raises:
            LabError: there is no such file.
        """
        look = ("cat", "--", path)
        if self.leader:
            done = self.run(look, given=b"", timeout=30)
        else:  # not by its path from here: a link would lead into this machine's own files
            argv = ("chroot", str(self.blueprint.root), *look)
            done = finish(argv, timeout=30, environment=_ENVIRONMENT)
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip()
            raise LabError("no-such-file", f"{self.blueprint.name}: {words}")
        return done.stdout

    def _sign(self) -> None:
        plan, etc = self.blueprint, self.blueprint.root / "etc"
        _file(etc / "hostname", f"{plan.name}\n")
        _file(etc / "hosts", plan.hosts_file)  # without its own name each sudo waits 20 s
        for suffix in ("", ".pub"):
            source = plan.folder / f"host_key{suffix}"
            shutil.copy(source, etc / "ssh" / f"ssh_host_ed25519_key{suffix}")
        granted = plan.key.with_suffix(".pub").read_text()
        for user in USERS:
            home = plan.root / "home" / user
            folder, owner = home / ".ssh", home.stat()
            folder.mkdir(mode=0o700)
            (folder / "authorized_keys").write_text(granted)
            for spot in (folder, folder / "authorized_keys"):
                os.chown(spot, owner.st_uid, owner.st_gid)

    def _may_log_in(self) -> bool:
        if not (leader := self.leader) or Path(f"/proc/{leader}/root/run/nologin").exists():
            return False
        try:
            socket.create_connection((self.blueprint.address, 22), timeout=1).close()
        except OSError:
            return False
        return True

    def _logs_in(self) -> bool:
        plan = self.blueprint
        words = (
            *("BatchMode=yes", "IdentitiesOnly=yes", "ConnectTimeout=5"),
            *("StrictHostKeyChecking=yes", f'UserKnownHostsFile="{plan.folder}/known_hosts"'),
        )
        options = [part for word in words for part in ("-o", word)]
        to = ("-i", str(plan.key), f"{USERS[0]}@{plan.address}", "true")
        try:
            return finish(("ssh", "-F", "none", *options, *to), timeout=30).returncode == 0
        except LabError:
            return False

    def _failed(self, code: str, what: str) -> LabError:
        log = self.blueprint.console
        tail = log.read_text(errors="replace")[-2000:].strip() if log.exists() else ""
        return LabError(code, f"{self.blueprint.name} {what}; its console: {tail or '(silent)'}")


def _boot_argv(plan: Blueprint) -> list[str]:
    """Return the command that boots a machine in its own control groups.

    In its parent's group, nspawn would put every machine into the same `payload` group: their
    systemds would share one tree and mistake each other's processes for their own. Inside there is
    only cgroup v2, as distributions boot, even if this machine has v1.
    """
    boot = [
        *("env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1"),
        *("systemd-nspawn", "--quiet", "--boot", f"--directory={plan.root}"),
        *("--register=no", "--keep-unit", f"--machine={plan.label}", f"--hostname={plan.name}"),
        *(f"--network-namespace-path=/run/netns/{plan.label}", "--resolv-conf=off"),
        *("--link-journal=no", "--timezone=off", "--console=pipe"),
    ]
    if Path("/run/systemd/system").is_dir():  # systemd manages the groups here: use a scope
        scope = ("systemd-run", "--scope", "--quiet", "--collect", "--property=Delegate=yes")
        unit = f"--unit={plan.label}-{time.monotonic_ns()}"  # the last one may still exist
        return [*scope, unit, "--", *boot]
    groups = cgroups_of(plan.label)
    for group in groups:
        discard_cgroup(group)
        group.mkdir(exist_ok=True)
    return ["sh", "-c", _JOIN, "sh", *map(str, groups), "--", *boot]


def _is_first(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    ids = next((line.split() for line in status.splitlines() if line.startswith("NSpid:")), [])
    return len(ids) > 2 and ids[-1] == "1"  # noqa: PLR2004 - the word, its id here, its id inside


def _folder(path: Path) -> None:
    """Make a folder that all users inside may enter, independent of our umask."""
    path.mkdir(exist_ok=True)
    path.chmod(0o755)


def _file(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)


_Done = subprocess.CompletedProcess[bytes]
