"""Build the root file system that every lab machine starts from, once per recipe.

The image is complete or absent: it is built beside its place and renamed, under a lock, so that
several runs may ask for it at the same time. Does not boot anything, and never deletes an older
recipe's image (a running lab may still use it).
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.lab.commands import LabError, call, held

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

CACHE = Path("/var/cache/shipit-lab")
SUDO_PASSWORD = "lab-sudo-password"  # noqa: S105 - public, and only for disposable machines
USERS = ("deploy", "pwsudo", "nosudo")  # sudo without a password, with SUDO_PASSWORD, no sudo

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_UBUNTU = "http://archive.ubuntu.com/ubuntu"
_UBUNTU_KEYRING = Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg")


@dataclass(frozen=True)
class Suite:
    """A distribution that hosts may run, by its name in the archive."""

    name: str
    title: str
    extra: tuple[str, ...] = ()  # packages that shipit needs there
    mirror: str = ""  # "" for mmdebstrap's default
    keyring: Path = _KEYRING


SUITES = {
    suite.name: suite
    for suite in (
        Suite("bullseye", "Debian 11", ("python3-distutils",)),
        Suite("bookworm", "Debian 12"),
        Suite("trixie", "Debian 13"),
        Suite("jammy", "Ubuntu 22.04", mirror=_UBUNTU, keyring=_UBUNTU_KEYRING),
        Suite("noble", "Ubuntu 24.04", mirror=_UBUNTU, keyring=_UBUNTU_KEYRING),
    )
}
USUAL = "bookworm"


def title(suite: str) -> str:
    """Return the common name of a suite.

    Raises:
        LabError: it is not one of SUITES.
    """
    if suite not in SUITES:
        known = ", ".join(SUITES)
        raise LabError("lab-no-suite", f"there is no suite {suite!r}", hint=f"known: {known}")
    return SUITES[suite].title


_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server"),
    *("python3", "iproute2", "sudo", "procps"),
)
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
# Background work is useless on a machine that lives for a minute; console-getty has no console.
_MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"),
    *("e2scrub_all.timer", "fstrim.timer", "console-getty.service"),
)
_EDITION = 2  # increase it when _settle changes, so that images are rebuilt
_BUILD_SECONDS = 900.0

_COMMANDS = {  # command -> its Debian package
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}  # bits, as in linux/capability.h


def obstacles() -> list[str]:
    """Return why this machine can't boot a lab, one short line per reason; empty if it can."""
    system = platform.system()
    if system != "Linux":
        return [f"a lab needs Linux, this is {system}"]
    effective = re.search(r"^CapEff:\s*(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return obstacles_of(
        is_root=os.geteuid() == 0,
        capabilities=int(effective[1], 16) if effective else 0,
        missing=[command for command in _COMMANDS if shutil.which(command) is None],
        has_keyring=_KEYRING.exists(),
    )


def obstacles_of(
    *, is_root: bool, capabilities: int, missing: Collection[str], has_keyring: bool
) -> list[str]:
    """Return the obstacles of a Linux machine with these properties."""
    reasons = []
    lacking = [name for name, bit in _CAPABILITIES.items() if not capabilities >> bit & 1]
    if not is_root:
        reasons.append("a lab needs root: run it with sudo")
    elif lacking:
        reasons.append(f"root without {' and '.join(lacking)} (an unprivileged container?)")
    packages: dict[str, list[str]] = {}
    for command in missing:
        packages.setdefault(_COMMANDS[command], []).append(command)
    for package, commands in packages.items():
        reasons.append(f"no {' and '.join(commands)}: apt-get install {package}")
    if not has_keyring:
        reasons.append("no Debian archive keys: apt-get install debian-archive-keyring")
    return reasons


def base_image(
    cache: Path = CACHE, emit: Callable[[str], None] = lambda _: None, suite: str = USUAL
) -> Path:
    """Return the base root file system; build it first if this recipe has none yet (20-40 s).

    Raises:
        LabError: there is no such suite, the packages can't be fetched, or another build holds the
            lock for 15 minutes.
    """
    about = title(suite)
    recipe = (
        *(_EDITION, suite, (*_PACKAGES, *SUITES[suite].extra), _LEFT_OUT, _MASKED),
        *(USERS, SUDO_PASSWORD, platform.machine()),
    )
    base = cache / hashlib.sha256(repr(recipe).encode()).hexdigest()[:16]
    if base.is_dir():
        return base
    cache.mkdir(parents=True, exist_ok=True)
    with held(cache / "lock", timeout=_BUILD_SECONDS):
        if not base.is_dir():
            emit(f"building the base image of {about} in {base} (once, about half a minute)")
            _build(base, suite)
    return base


def _build(base: Path, suite: str) -> None:
    part, about = base.with_suffix(".part"), SUITES[suite]
    shutil.rmtree(part, ignore_errors=True)  # left by a killed build: we hold the lock
    if not about.keyring.exists():
        what = f"no archive keys of {about.title} ({about.keyring})"
        hint = "they are a package of the distribution: docs/support.md"
        raise LabError("lab-no-keys", what, hint=hint)
    argv = (
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"),
        f"--keyring={about.keyring}",
        f"--include={','.join((*_PACKAGES, *about.extra))}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
        "--dpkgopt=force-unsafe-io",  # the whole is synced at the end
        *(suite, str(part), *filter(None, [about.mirror])),
    )
    try:
        call(*argv, timeout=_BUILD_SECONDS)
    except LabError as error:
        server = about.mirror or "deb.debian.org"
        hint = f"are {server} (or your http_proxy) reachable and 300 MB of disk free?"
        raise LabError("lab-no-image", error.what, hint=hint) from error
    _settle(part)
    call("sync", "--file-system", str(part), timeout=120)
    part.rename(base)


def _settle(root: Path) -> None:
    """Configure the freshly installed packages as an image that every machine can start from."""
    for user in USERS:
        call("chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", user)
    call("chroot", str(root), "usermod", "--append", "--groups", "sudo", "pwsudo")
    call("chroot", str(root), "chpasswd", given=f"pwsudo:{SUDO_PASSWORD}\n")
    grant = root / "etc/sudoers.d/deploy"
    grant.write_text("deploy ALL=(ALL:ALL) NOPASSWD: ALL\n")
    grant.chmod(0o440)
    for unit in _MASKED:
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    masked = root / "etc/systemd/system-generators"
    masked.mkdir(exist_ok=True)
    # They look for partitions, consoles and init scripts, at every reload: half of what it takes.
    for generator in (root / "lib/systemd/system-generators").iterdir():
        (masked / generator.name).symlink_to("/dev/null")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()  # each machine gets its own
    for empty in ("etc/machine-id", "etc/resolv.conf"):  # a nameserver would delay sudo by 20 s
        (root / empty).unlink(missing_ok=True)
        (root / empty).touch(mode=0o644)
    (root / "var/log/journal").mkdir(exist_ok=True)  # the log survives a power cut
