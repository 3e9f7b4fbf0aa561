"""The systemd unit that watches a committed release: after its commit, and at each boot.

It ends by itself. One that hangs is ended by systemd, with a signal that nobody else sends, and not
started again; after any other signal it is, a few times. Its text depends on the agent, its Python
and how long the watch lasts.
"""

import os
from typing import Sequence

from ..health.watched import longest
from ..host.host import Host
from ..protocol.manifest import Gate, Watch
from ..protocol.messages import Failure
from ..system import files
from ..system.failures import Refused
from ..system.paths import Paths

SPARE = 120.0  # seconds after which a watch that should have ended hangs
TEMPLATE = """\
# Written by shipit: checks the committed release of {app} for a while, then ends.
[Unit]
Description=shipit: watch the release of {app}
After=multi-user.target
RequiresMountsFor={var} {root}
StartLimitIntervalSec=600
StartLimitBurst=5

[Service]
Type=exec
ExecStart={argv}
Restart=on-failure
RestartForceExitStatus=SIGTERM SIGINT SIGHUP SIGPIPE
RestartSec=5
RuntimeMaxSec={runtime:.0f}
KillSignal=SIGALRM
SuccessExitStatus=SIGALRM
RestartPreventExitStatus=SIGALRM
Nice=5

[Install]
WantedBy=multi-user.target
"""


def text(paths: Paths, watch: Watch, gate: Gate, argv: Sequence[str]) -> str:
    """Return the text of the unit that watches a release. No word of the argv has spaces."""
    words = " ".join(word.replace("%", "%%") for word in argv)
    values = {"app": paths.app, "var": paths.var, "root": paths.root}
    return TEMPLATE.format(**values, argv=words, runtime=longest(watch, gate) + SPARE)


def start(paths: Paths, host: Host, wanted: str) -> None:
    """Install the unit for each boot, and start it now, instead of one that watches.

    Raises:
        Refused: watch-not-started.
    """
    unit, link = paths.watch_unit, paths.wants(paths.watch_unit)
    name = os.path.basename(unit)
    if files.read_text(unit) != wanted or not os.path.islink(link):
        files.write(unit, wanted.encode())
        files.make_directory(os.path.dirname(link))
        files.point(link, os.path.join("..", name))
        host.systemctl("daemon-reload")
    host.systemctl("reset-failed", [name])  # else a few deploys in a row hit the start limit
    done = host.systemctl("restart --no-block", [name])
    if not done.ok:
        what = f"systemd did not start {name}: the release is not watched"
        hint = f"see systemctl status {name} on the host"
        raise Refused(Failure("watch-not-started", what, "commit", hint, done.output))


def remove(paths: Paths, host: Host) -> None:
    """Stop and remove the unit, if there is one."""
    link = paths.wants(paths.watch_unit)
    if os.path.lexists(link) or os.path.lexists(paths.watch_unit):
        host.systemctl("stop --no-block", [os.path.basename(paths.watch_unit)])
        files.unlink(link)
        files.unlink(paths.watch_unit)
        files.sync_directory(paths.units)
