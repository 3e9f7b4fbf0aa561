"""The systemd units of a transaction: what drives it, and what settles it at the next boot.

The driver's unit is transient, and does not survive a reboot. The other one is on the disk while a
transaction is armed. It is ordered before the app's units, so that after a power cut an unverified
release is never started. Only a boot starts it. Arming verifies that systemd loads it.
"""

import os
from typing import Dict, Iterable, List, Mapping, Sequence, Tuple

from ..activation import switch
from ..host.host import Host, UnitView
from ..protocol.messages import Failure
from ..records import releases
from ..system import files
from ..system.failures import Refused
from ..system.paths import Paths
from .journal import Journal
from .store import Store

TIMEOUT = 120  # seconds; restoring the disk takes well under one

TEMPLATE = """\
# Written by shipit while a transaction is open; removed when it ends.
[Unit]
Description=shipit: settle the interrupted transaction of {app}
DefaultDependencies=no
Conflicts=shutdown.target
RequiresMountsFor={var} {root}
After=local-fs.target
Before={before}

[Service]
Type=oneshot
ExecStart={argv}
TimeoutStartSec={timeout}
{restart}
[Install]
WantedBy=multi-user.target
"""
# Restart= as systemd shows it -> the lines for it, the preferred first: systemd 240 to 243 reject
# it for Type=oneshot.
RESTARTS = {"on-failure": "Restart=on-failure\nRestartSec=100ms\n", "no": ""}


def texts(paths: Paths, argv: Iterable[str], units: Iterable[str]) -> Dict[str, str]:
    """Return the unit's texts by their Restart=, as in RESTARTS.

    `units` start after it. No word of the argv may contain spaces.
    """
    before = " ".join(["shutdown.target", *sorted(units)])
    words = " ".join(word.replace("%", "%%") for word in argv)
    values = {"app": paths.app, "var": paths.var, "root": paths.root, "before": before}
    return {
        restart: TEMPLATE.format(**values, argv=words, timeout=TIMEOUT, restart=lines)
        for restart, lines in RESTARTS.items()
    }


def arm(
    paths: Paths, host: Host, texts: Mapping[str, str], others: Sequence[str]
) -> Dict[str, UnitView]:
    """Install and enable the unit for the next boot; return the views of the `others`.

    One `systemctl show` both loads the unit, which shows whether systemd accepts it, and returns
    the views. systemd may still have the last transaction's unit loaded: with the same Restart= it
    differs in names alone.

    Raises:
        Refused: boot-unit-refused.
    """
    name, load = os.path.basename(paths.boot_unit), ""
    for restart, text in texts.items():
        _put(paths, text)
        if load not in ("", "loaded"):  # systemd caches a rejected unit
            host.systemctl("daemon-reload")
        views = host.show([name, *others])
        load = views[name].load
        if load == "loaded" and views[name].restart == restart:
            return {other: views[other] for other in others}
    what = f"systemd rejects {paths.boot_unit}: its load state is {load}"
    hint = f"nothing was switched; see `systemctl status {name}`, `systemd-analyze verify`"
    raise Refused(Failure("boot-unit-refused", what, "arm", hint))


def _put(paths: Paths, text: str) -> None:
    files.write(paths.boot_unit, text.encode())
    files.make_directory(os.path.dirname(paths.boot_link))
    files.point(paths.boot_link, os.path.join("..", os.path.basename(paths.boot_unit)))
    _remove(paths, paths.old_boot_unit)


def disarm(paths: Paths) -> None:
    """Remove the unit and its link."""
    _remove(paths, paths.boot_unit)
    _remove(paths, paths.old_boot_unit)


def is_armed(paths: Paths) -> bool:
    """Whether the unit, or that of an earlier version, is installed."""
    there = (paths.boot_unit, paths.old_boot_unit)
    return any(os.path.lexists(each) or os.path.lexists(paths.wants(each)) for each in there)


def _remove(paths: Paths, unit: str) -> None:
    link = paths.wants(unit)
    if os.path.lexists(link) or os.path.lexists(unit):
        files.unlink(link)
        files.unlink(unit)
        files.sync_directory(paths.units)


# --- the driver --------------------------------------------------------------------------------


def driver_argv(paths: Paths, open_: Journal, role: str = "transact") -> List[str]:
    """Return the command that continues the transaction in its own process."""
    return [open_.python, "-I", "-S", open_.agent, role, paths.app, paths.root]


def start_driver(store: Store, open_: Journal, *, wait: bool = True) -> None:
    """Start the transient unit that drives the transaction, without the session.

    Raises:
        Refused: driver-refused.
    """
    unit, after = store.paths.unit, unit_names(store.paths, open_)
    done = store.host.start_driver(unit, driver_argv(store.paths, open_), after=after, wait=wait)
    if not done.ok:
        what = f"systemd did not start {unit}"
        raise Refused(Failure("driver-refused", what, open_.state.value, evidence=done.output))


def unit_names(paths: Paths, open_: Journal) -> Tuple[str, ...]:
    """Return the names of the units of the new and the previous release."""
    both = (open_.release, open_.previous)
    return switch.unit_names(*(releases.manifest(paths, release) for release in both))
