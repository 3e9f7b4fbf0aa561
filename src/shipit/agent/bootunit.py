"""The unit that settles an interrupted transaction when the machine boots again.

Transient units die with a reboot; this one lies on the disk while a transaction is armed. It is
ordered before the app's units, so that after a power cut an unproven release is not even started.
No systemctl is needed to arm it: only the next boot reads it.
"""

import os
from typing import Iterable

from . import files
from .paths import Paths

TIMEOUT = 120  # seconds; the disk is put right in well under one

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
Restart=on-failure
RestartSec=100ms

[Install]
WantedBy=multi-user.target
"""


def text(paths: Paths, argv: Iterable[str], units: Iterable[str]) -> str:
    """Return the unit's text; `units` wait for it. No word of the argv may hold spaces."""
    before = " ".join(["shutdown.target", *sorted(units)])
    words = " ".join(word.replace("%", "%%") for word in argv)
    return TEMPLATE.format(
        app=paths.app, var=paths.var, root=paths.root, before=before, argv=words, timeout=TIMEOUT
    )


def arm(paths: Paths, content: str) -> None:
    """Put the unit where the next boot finds it."""
    files.write(paths.boot_unit, content.encode())
    files.make_directory(os.path.dirname(paths.boot_link))
    files.point(paths.boot_link, os.path.join("..", os.path.basename(paths.boot_unit)))


def disarm(paths: Paths) -> None:
    """Remove it, for good."""
    if os.path.lexists(paths.boot_link) or os.path.lexists(paths.boot_unit):
        files.unlink(paths.boot_link)
        files.unlink(paths.boot_unit)
        files.sync_directory(paths.units)
