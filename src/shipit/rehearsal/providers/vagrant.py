"""Make the machines of a rehearsal with Vagrant: virtual machines of any box and provider.

Each Vagrant command has a timeout, host keys are pinned, and the command that removes the machines
is reported before the first one exists. Vagrant runs in a folder with our Vagrantfile and an
inventory, from which the Vagrantfile takes the names of the machines.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from shipit.lab.commands import LabError, poll_until
from shipit.lab.image import obstacles
from shipit.rehearsal.long_command import follow
from shipit.rehearsal.providers.base import Provider
from shipit.rehearsal.scenario import Fault
from shipit.render.templating import own_templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path


INSTALL = (
    "install it: https://developer.hashicorp.com/vagrant/install, and a provider such as "
    "VirtualBox; on Debian: apt-get install vagrant vagrant-libvirt"
)
_UP_SECONDS = 600.0  # and again for each machine: a box may be downloaded first
_DESTROY_SECONDS = 300.0
_ASK_SECONDS = 120.0
_LOGIN_SECONDS = 300.0  # for a machine that boots again
_PAUSE_SECONDS = 0.5
_ACTION, _SETTING = "==> ", ":  -- "  # lines that report an action; and its settings
_HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
_NO_CONNECTION = 255  # ssh's exit status for its own errors
_EVIDENCE_LINES = 20

SshSettings = dict[str, dict[str, str]]


class Vagrant:
    """The machines of one folder."""

    def __init__(self, names: Sequence[str], home: Path, report: Callable[[str], None]) -> None:
        """Prepare; use `Vagrant.up`."""
        self._names, self._home, self._report = tuple(names), home, report
        self._ssh_settings: SshSettings = {}
        self._host_keys: dict[str, str] = {}

    @classmethod
    def up(cls, names: Sequence[str], home: Path, report: Callable[[str], None]) -> Self:
        """Make and boot machines of these names in an empty folder.

        Raises:
            LabError: Vagrant failed; nothing is left.
        """
        machines = cls(names, home, report)
        machines.folder.mkdir(mode=0o700)
        shutil.copy(own_templates().parent / "Vagrantfile", home)  # beside it in the wheel, too
        group = {"rehearsal": {"hosts": dict.fromkeys(names)}}
        (home / "inventory.yaml").write_text(json.dumps(group))
        report(f"if this process is killed, remove the machines with: {machines.removal}")
        try:
            machines._vagrant("up", timeout=_UP_SECONDS * (1 + len(names)))
            machines._read_ssh_settings()
        except BaseException:
            with suppress(LabError):  # `down` has reported what may be left
                machines.down()
            raise
        return machines

    @property
    def folder(self) -> Path:
        return self._home / "rehearsal"

    @property
    def removal(self) -> str:
        """The command that removes the machines."""
        return f"cd {shlex.quote(str(self._home))} && vagrant destroy --force"

    def inventory(self) -> str:
        hosts = {
            name: {
                "ansible_host": settings["HostName"],
                "ansible_port": int(settings["Port"]),
                "ansible_user": settings["User"],
                "ansible_ssh_private_key_file": settings["IdentityFile"],
                "ansible_become": True,
                "shipit_host_key": key,
            }
            for name, key in self._host_keys.items()
            for settings in [self._ssh_settings[name]]
        }
        return json.dumps({"all": {"hosts": hosts}}, indent=2)

    def run(
        self,
        name: str,
        *argv: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        timeout: float = 30.0,
    ) -> subprocess.CompletedProcess[str]:
        pinned = (
            *("StrictHostKeyChecking=yes", f'UserKnownHostsFile="{self._home}/known_hosts"'),
            f"HostKeyAlias={name}",
        )
        return self._ssh(name, ("sudo", "-n", "--", *argv), pinned, input or "", timeout)

    def power_cut(self, name: str) -> None:
        self._vagrant("halt", "--force", name, timeout=_ASK_SECONDS)

    def boot(self, name: str) -> None:
        self._vagrant("up", name, timeout=_UP_SECONDS)

    def reboot(self, name: str) -> None:
        before = self._boot_id(name)
        with suppress(LabError):  # the connection may break before the answer
            self.run(name, "systemctl", "reboot")

        def is_back() -> bool:
            with suppress(LabError):
                return self._boot_id(name) != before
            return False

        if not poll_until(is_back, _LOGIN_SECONDS, _PAUSE_SECONDS):
            what = f"{name} accepts no login {_LOGIN_SECONDS:.0f} s after its reboot"
            raise LabError("boot-timeout", what)

    def cut_cable(self, name: str) -> None:
        raise LabError("no-such-fault", f"Vagrant has no command that cuts the cable of {name}")

    def repair_cable(self, name: str) -> None:
        """Do nothing: no cable can be cut."""

    def stay(self) -> str:
        return f"the machines keep running until you run: {self.removal}"

    def down(self) -> None:
        try:
            self._vagrant("destroy", "--force", timeout=_DESTROY_SECONDS)
        except BaseException:
            self._report(f"machines may be left; remove them: {self.removal}")
            raise
        for path in self._home.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _read_ssh_settings(self) -> None:
        """Get the ssh settings of each machine from Vagrant, and its host key from itself.

        Raises:
            LabError: one is missing.
        """
        output = self._vagrant("ssh-config", timeout=_ASK_SECONDS)
        settings = [line for line in output if line.startswith(("Host ", "  "))]
        (self._home / "ssh_config").write_text("\n".join([*settings, ""]))
        self._ssh_settings = ssh_settings(settings)
        if missing := sorted(set(self._names) - set(self._ssh_settings)):
            raise LabError("lab-no-way", f"vagrant ssh-config names no {', '.join(missing)}")
        for name in self._names:
            done = self._ssh(name, ("cat", _HOST_KEY), (), "", _LOGIN_SECONDS)
            if done.returncode:
                raise LabError("lab-no-host-key", f"{name} has no host key: {done.stderr.strip()}")
            self._host_keys[name] = " ".join(done.stdout.split()[:2])
        lines = [f"{name} {key}\n" for name, key in self._host_keys.items()]
        (self._home / "known_hosts").write_text("".join(lines))

    def _boot_id(self, name: str) -> str:
        return self.run(name, "cat", "/proc/sys/kernel/random/boot_id").stdout

    def _ssh(
        self, name: str, words: Sequence[str], options: Sequence[str], given: str, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        always = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5")
        flags = [part for option in (*options, *always) for part in ("-o", option)]
        argv = ("ssh", "-F", str(self._home / "ssh_config"), *flags, name, shlex.join(words))
        try:
            done = subprocess.run(
                argv, input=given, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            what = f"{name}: {words[0]} did not finish within {timeout:.0f} s"
            raise LabError("lab-command-timeout", what) from None
        if done.returncode == _NO_CONNECTION:
            raise LabError("machine-off", f"{name} can't be reached: {done.stderr.strip()}")
        return done

    def _vagrant(self, *words: str, timeout: float) -> list[str]:
        """Run a Vagrant command, report its actions, and return its output lines.

        Raises:
            LabError: it failed, with its last lines, or timed out.
        """
        log, output = self._home / "vagrant.log", list[str]()

        def record(line: str) -> None:
            output.append(line)
            if line.startswith(_ACTION) and _SETTING not in line:
                self._report(line.removeprefix(_ACTION))

        argv = ("vagrant", *words)
        if status := follow(argv, log, env=_environment(), on_line=record, timeout=timeout):
            last = "\n".join(output[-_EVIDENCE_LINES:])
            raise LabError("vagrant-failed", f"{' '.join(argv)} ended with {status}: {last}")
        return output


def ssh_settings(ssh_config: Iterable[str]) -> SshSettings:
    """Return the settings of each host of a `vagrant ssh-config`; the first of several values."""
    found: SshSettings = {}
    for line in ssh_config:
        key, *values = shlex.split(line) or [""]
        if key == "Host":
            found[values[0]] = {}
        elif values and found:
            list(found.values())[-1].setdefault(key, values[0])
    return found


def _environment() -> dict[str, str]:
    """Return our environment without variables that select another Vagrantfile."""
    ignored = {"VAGRANT_CWD", "VAGRANT_VAGRANTFILE", "SHIPIT_MACHINES"}
    kept = {name: value for name, value in os.environ.items() if name not in ignored}
    return {**kept, "VAGRANT_CHECKPOINT_DISABLE": "1", "VAGRANT_NO_COLOR": "1"}


def _check() -> None:
    missing = [command for command in ("vagrant", "ssh") if shutil.which(command) is None]
    if not missing:
        return
    hint = INSTALL if "vagrant" in missing else "install OpenSSH's client"
    other = "" if obstacles() else "; or rehearse without it: --provider nspawn"
    what = f"{' and '.join(missing)} can't be found on the PATH"
    raise LabError("no-vagrant", what, hint=hint + other)


PROVIDER = Provider(
    kind="Vagrant",
    limits="The machines are of one box, and reach neither each other nor what only production "
    "has: what needs a database, a DNS name or a load balancer has not been rehearsed.",
    unsupported=frozenset({Fault.CABLE}),
    check=_check,
    up=Vagrant.up,
)
