"""One disposable machine: its disk, its identity, its power switch and its console.

A machine is a systemd under systemd-nspawn, with an overlay over the base image and its own network
cable. `boot` ends in a working login or in an error with the console's last lines. `claim` sets up
its network and removes its remains.
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

from shipit.lab.claim import cgroups_of, children, discard_cgroup, kill, unmount_below
from shipit.lab.commands import LabError, call, finish, poll_until
from shipit.lab.image import USERS

_POLL_SECONDS = 0.02
_OFF_SECONDS = 60.0
_SHUTDOWN_SECONDS = 100.0  # systemd waits 90 s for a service
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
# Joins control groups, then runs the command: this is only possible between fork and exec.
_JOIN = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'


@dataclass(eq=False)
class Machine:
    """A machine that can be formatted, booted, entered and switched off.

    Attributes:
        name: its hostname.
        label: the name of machine, network namespace and cable on this machine.
        base: the root file system under its disk.
        folder: all its files are in it.
        key: the private key of every user.
        hosts_file: the text of its /etc/hosts.
        disk: tmpfs options for a small disk, or its size only.
        user: one of USERS; the others exist as well.
        host_key: `ssh-ed25519 AAAA...`
        root: the merged file system; don't follow absolute links in it: see `read`.
        upper: what differs from the base image.
    """

    name: str
    label: str
    address: str
    base: Path
    folder: Path
    key: Path
    hosts_file: str
    disk: str | None = None
    user: str = USERS[0]
    port: int = 22

    def __post_init__(self) -> None:
        self.root, self._store = self.folder / "root", self.folder / "disk"
        self.upper, self._console = self._store / "upper", self.folder / "console.log"
        self._switch = threading.Lock()
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._is_retired = False
        self.folder.mkdir(parents=True)
        key = self.folder / "host_key"
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key))
        self.host_key = " ".join(key.with_suffix(".pub").read_text().split()[:2])
        (self.folder / "known_hosts").write_text(f"{self.address} {self.host_key}\n")

    @property
    def pid(self) -> int:
        """The process id of the machine's PID 1 on this machine; 0 while it is off."""
        if (supervisor := self._running()) is None:
            return 0
        return next((pid for pid in children(supervisor.pid) if _is_first(pid)), 0)

    def format(self, kept: Path | None = None) -> None:
        """Give the machine, which must be off, an empty disk and its identity, or a kept disk."""
        unmount_below(self.folder)
        shutil.rmtree(self._store, ignore_errors=True)
        _folder(self._store)
        if self.disk:
            options = self.disk if "=" in self.disk else f"size={self.disk}"
            call("mount", "-t", "tmpfs", "-o", f"mode=755,{options}", "tmpfs", str(self._store))
        work = self._store / "work"
        for folder in (self.upper, work, self.root):
            _folder(folder)
        if kept:
            call("cp", "--archive", f"{kept}/.", str(self.upper))
        options = f"lowerdir={self.base},upperdir={self.upper},workdir={work}"
        call("mount", "-t", "overlay", "-o", options, "overlay", str(self.root))
        if not kept:
            self._sign()

    def boot(self, timeout: float) -> None:
        """Switch the power on and wait for a login.

        Raises:
            LabError: it is on already, or its lab is being removed; or it ended or timed out, with
                the console's last lines.
        """
        with self._switch:
            if self._is_retired or self.pid:
                state = "on already" if self.pid else "being removed with its lab"
                raise LabError("machine-not-off", f"{self.name} is {state}")
            with self._console.open("wb") as console:
                self._supervisor = subprocess.Popen(
                    self._boot_argv(),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    # a Debian machine has /tmp on its disk
                    env={**os.environ, "SYSTEMD_NSPAWN_TMPFS_TMP": "0"},
                )
        if not poll_until(self._accepts_login, timeout, _POLL_SECONDS):
            raise self._failed("boot-timeout", f"accepted no login within {timeout:.0f} s")

    def cut_power(self) -> None:
        """Kill the machine at once, as a power cut does; its disk stays."""

        def is_off() -> bool:
            if pid := self.pid:  # 0 for a moment while it starts
                kill(pid)  # its death ends the supervisor as well
            return self._running() is None

        with self._switch:
            if not poll_until(is_off, _OFF_SECONDS, _POLL_SECONDS / 4):
                raise self._failed("machine-not-off", "does not die")

    def reboot(self, timeout: float) -> None:
        """Ask the machine to shut down in order, wait until it is off, and boot it again."""
        supervisor = self._supervisor
        self.run("systemctl", "reboot")  # the connection may break before the answer
        try:
            if supervisor is not None:
                supervisor.wait(_SHUTDOWN_SECONDS)  # started with --keep-unit, it ends here as well
        except subprocess.TimeoutExpired:
            raise self._failed("machine-not-off", "does not shut down") from None
        self.boot(timeout)

    def retire(self) -> None:
        """Prevent another start."""
        with self._switch:
            self._is_retired = True

    def reap(self) -> None:
        """Wait for the supervisor of a machine that was killed by others."""
        if self._supervisor is not None:
            self._supervisor.wait(_OFF_SECONDS)

    def run(
        self,
        *argv: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        timeout: float = 30.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root inside the running machine, without ssh."""
        done = self._finish_inside(argv, (input or "").encode(), timeout)
        out, err = (words.decode(errors="replace") for words in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(list(argv), done.returncode, out, err)

    def read(self, path: str) -> bytes:
        """Return a file of the machine, running or off."""
        look = ("cat", "--", path)
        if self.pid:
            done = self._finish_inside(look)
        else:  # not by its path from here: a link would lead into this machine's own files
            argv = ("chroot", str(self.root), *look)
            done = finish(argv, timeout=30, environment=_ENVIRONMENT)
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip()
            raise LabError("no-such-file", f"{self.name}: {words}")
        return done.stdout

    def _running(self) -> subprocess.Popen[bytes] | None:
        """Return the supervisor unless it has ended."""
        supervisor = self._supervisor
        return supervisor if supervisor and supervisor.poll() is None else None

    def _finish_inside(
        self, argv: tuple[str, ...], given: bytes = b"", timeout: float = 30.0
    ) -> subprocess.CompletedProcess[bytes]:
        if not (pid := self.pid):
            raise LabError("machine-off", f"{self.name} is off: boot it first")
        enter = ("nsenter", "--target", str(pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w")
        return finish((*enter, "--", *argv), given=given, timeout=timeout, environment=_ENVIRONMENT)

    def _sign(self) -> None:
        """Write its hostname, its host key, and the key of its users."""
        etc = self.root / "etc"
        texts = {"hostname": f"{self.name}\n", "hosts": self.hosts_file}
        for file, text in texts.items():  # without its own name each sudo waits 20 s
            (etc / file).write_text(text)
            (etc / file).chmod(0o644)
        for suffix in ("", ".pub"):
            source = self.folder / f"host_key{suffix}"
            shutil.copy(source, etc / "ssh" / f"ssh_host_ed25519_key{suffix}")
        granted = self.key.with_suffix(".pub").read_text()
        for user in USERS:
            home = self.root / "home" / user
            folder, owner = home / ".ssh", home.stat()
            folder.mkdir(mode=0o700)
            (folder / "authorized_keys").write_text(granted)
            for spot in (folder, folder / "authorized_keys"):
                os.chown(spot, owner.st_uid, owner.st_gid)

    def _accepts_login(self) -> bool:
        """Whether an ssh login works: the port alone is open too early."""
        if self._running() is None:
            raise self._failed("machine-stopped", "stopped while it booted")
        if not (pid := self.pid) or Path(f"/proc/{pid}/root/run/nologin").exists():
            return False
        words = (
            *("BatchMode=yes", "IdentitiesOnly=yes", "ConnectTimeout=5"),
            *("StrictHostKeyChecking=yes", f'UserKnownHostsFile="{self.folder}/known_hosts"'),
        )
        options = [part for word in words for part in ("-o", word)]
        to = ("-i", str(self.key), f"{self.user}@{self.address}", "true")
        try:
            socket.create_connection((self.address, self.port), timeout=1).close()
            return finish(("ssh", "-F", "none", *options, *to), timeout=30).returncode == 0
        except (OSError, LabError):
            return False

    def _failed(self, code: str, what: str) -> LabError:
        log = self._console
        tail = log.read_text(errors="replace")[-2000:].strip() if log.exists() else ""
        return LabError(code, f"{self.name} {what}; its console: {tail or '(silent)'}")

    def _boot_argv(self) -> list[str]:
        """Return the command that boots the machine in its own control groups.

        In its parent's group, nspawn would put every machine into the same `payload` group: their
        systemds would share one tree and mistake each other's processes for their own. Inside there
        is only cgroup v2, as distributions boot, even if this machine has v1.
        """
        boot = [
            *("env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1"),
            *("systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}"),
            *("--register=no", "--keep-unit", f"--machine={self.label}", f"--hostname={self.name}"),
            *(f"--network-namespace-path=/run/netns/{self.label}", "--resolv-conf=off"),
            *("--link-journal=no", "--timezone=off", "--console=pipe"),
        ]
        if Path("/run/systemd/system").is_dir():  # systemd manages the groups here: use a scope
            scope = ("systemd-run", "--scope", "--quiet", "--collect", "--property=Delegate=yes")
            unit = f"--unit={self.label}-{time.monotonic_ns()}"  # the last one may still exist
            return [*scope, unit, "--", *boot]
        groups = cgroups_of(self.label)
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
