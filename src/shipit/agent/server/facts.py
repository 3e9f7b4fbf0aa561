"""Return what this host is and what runs on it, in a few milliseconds.

Starts one process if a release is deployed (`systemctl show`), otherwise none. What seldom changes
(interpreters, systemd's version) is cached until its file changes.
Values of env files leave the host only as keyed digests.
"""

import hmac
import os
import re
import sys
from typing import Dict, Iterable, Optional, Tuple

from ..host.host import Host, UnitView
from ..host.systemd import systemd_version
from ..protocol.answers import Drift
from ..protocol.manifest import Manifest
from ..protocol.messages import VERSION, Facts, Hello
from ..records import env_file, history, holds, migrations, releases
from ..storage import blobs, pythons, unchanged
from ..system import interpreters, signers, trust
from ..system.failures import existing
from ..system.paths import Paths
from ..system.process import run
from ..transaction.store import Store
from .history_report import release_lines

MUSL = re.compile(r"ld-musl-.+\.so\.1")
QUICK = 10.0  # seconds
MACHINE_ID, BOOT_ID = "/etc/machine-id", "/proc/sys/kernel/random/boot_id"
MOST_MIGRATIONS = 100  # records that are reported; the host keeps all
FIRST_PROCESS = "/proc/1/ns/mnt"
ID_OF_SHIPIT = b"shipit: one machine under two names"


def gather(store: Store, hello: Hello, recovered: str) -> Facts:
    """Answer a Hello; `recovered` says what was done about an open transaction."""
    paths, host = store.paths, store.host
    attempts = history.entries(paths)
    top = history.head(attempts)
    current = releases.manifest(paths, top.release) if top else None
    unit_names = [unit.name for unit in current.units] if current else []
    spaces = {path: os.statvfs(existing(path)) for path in (paths.root, paths.var)}
    fullest = min(spaces, key=lambda path: spaces[path].f_bavail * spaces[path].f_frsize)
    machine = os.uname()
    drift = drifted(paths, top.release) if top and hello.compare else ()
    found = interpreters.find(os.path.join(paths.var, "interpreters.json"), interpreters.places())
    return Facts(
        protocol=VERSION,
        hostname=machine.nodename,
        machine=machine.machine,
        libc=libc(),
        systemd=systemd_version(os.path.join(paths.var, "systemd.json"), host),
        agent_python="%d.%d.%d" % sys.version_info[:3],
        interpreters=found.usable,
        fullest=fullest,
        free_bytes=spaces[fullest].f_bavail * spaces[fullest].f_frsize,
        free_inodes=spaces[fullest].f_favail,
        present=_present(paths, hello.blobs, drift),
        current=current,
        healthy=current is not None and healthy(paths, host, current),
        units=releases.installed_texts(paths, unit_names),
        env=env_digests(paths, current, bytes.fromhex(hello.nonce)),
        releases=release_lines(paths, attempts),
        behind=tuple(history.behind(attempts, top.release if top else "")),
        holder=store.holder(),
        recovered=recovered,
        stuck=store.stuck(),
        rejected=found.rejected,
        machine_digest=machine_digest(),
        drift=drift,
        signed_only=signers.are_asked_for(paths),
        holds=holds.reported(holds.now_standing(paths, attempts, host.wall())),
        migrations=tuple(migrations.lines(paths)[-MOST_MIGRATIONS:]),
    )


def drifted(paths: Paths, release: str) -> Tuple[Drift, ...]:
    """Return how the committed release has drifted; read its bytes only if it was touched."""
    if unchanged.since_verified(paths, release):
        return ()
    from ..storage import drift  # noqa: PLC0415 - imports cost time

    return drift.of(paths, release)


def _undamaged(paths: Paths, there: Iterable[str], drift: Iterable[Drift]) -> Tuple[str, ...]:
    """Return the blobs that are not known to be damaged."""
    damaged = {each.path for each in drift}
    return tuple(digest for digest in there if paths.blob(digest) not in damaged)


def _present(paths: Paths, wanted: Iterable[str], drift: Iterable[Drift]) -> Tuple[str, ...]:
    """Return what need not be sent: sound blobs, and interpreters that are unpacked."""
    blobs_there = _undamaged(paths, blobs.present(paths, wanted), drift)
    rest = [each for each in wanted if each not in blobs_there]
    return (*blobs_there, *pythons.present(paths, rest))


def healthy(paths: Paths, host: Host, current: Manifest) -> bool:
    """Whether `current` points at the release, its texts are intact and its units are active."""
    if not (releases.is_pointed_at(paths, current) and releases.has_its_texts(paths, current)):
        return False
    views = host.show([unit.name for unit in current.units if unit.start])
    return all(map(is_running, views.values()))


def is_running(view: UnitView) -> bool:
    return view.is_active and view.load == "loaded"


def env_digests(
    paths: Paths, current: Optional[Manifest], nonce: bytes
) -> Dict[str, Dict[str, str]]:
    """Return a keyed digest of each value of the running release's env files.

    The controller, which made the nonce, sees which values differ from its own; a later reader of
    the answer can't guess them.
    """
    if current is None or not nonce:
        return {}
    return {
        service: {
            key: hmac.new(nonce, value.encode("utf-8", "surrogateescape"), "sha256").hexdigest()
            for key, value in env_file.parse(text).items()
        }
        for service, text in releases.env_texts(paths, current).items()
    }


# --- the machine -------------------------------------------------------------------------------


def machine_digest() -> str:
    """Return a digest that identifies this machine under any of its names.

    The machine's id is confidential (machine-id(5)), so it is only the digest's key. Clones of one
    image may share it, so the digest covers the boot's id as well and, for containers that share a
    kernel, the namespace of the first process.
    """
    try:
        parts = (ID_OF_SHIPIT, _content(BOOT_ID), os.readlink(FIRST_PROCESS).encode())
        return hmac.new(_content(MACHINE_ID), b"\0".join(parts), "sha256").hexdigest()
    except OSError:
        return ""


def _content(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read().strip()


def libc() -> Tuple[str, int, int]:
    """Return the name and version of the C library: ("glibc", 2, 36); ("unknown", 0, 0)."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except ValueError:  # not built against glibc
        name, version = "musl", _musl_version()
    parts = re.findall(r"\d+", version)
    if len(parts) < 2:  # noqa: PLR2004 - major and minor
        return ("unknown", 0, 0)
    return (name, int(parts[0]), int(parts[1]))


def _musl_version() -> str:
    """Run musl's loader without a program: it prints its version."""
    names = filter(MUSL.fullmatch, sorted(os.listdir("/lib")))
    loaders = [path for path in (f"/lib/{name}" for name in names) if not trust.weakness(path)]
    return run(loaders[:1], timeout=QUICK).output if loaders else ""
