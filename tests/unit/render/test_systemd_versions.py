"""Every directive that we write is known to the oldest systemd, or left out by it without harm.

The versions are those of systemd's own manual pages ("Added in version ...", 257). A directive that
is not in these tables is a decision to be made: which versions know it, and what happens on others?
"""

from __future__ import annotations

import re

from project import TOP
from shipit.agent.activation import trial, trial_directories
from shipit.agent.host import transient
from shipit.agent.host.host import DRIVER_PROPERTIES
from shipit.agent.system.paths import Paths
from shipit.agent.transaction import boot_unit
from shipit.commands.doctor import OLDEST_SYSTEMD
from shipit.playbook.parsers import HARDENING

DIRECTIVE = re.compile(r'^(?:  ")?([A-Z][A-Za-z]+)(?:=|": )', re.MULTILINE)

# What confines a service: an older systemd warns of it, and the service runs without it.
CONFINES = {
    "RestrictSUIDSGID": 242,
    "ProtectHostname": 242,
    "ProtectKernelLogs": 244,
    "ProtectClock": 245,
    "ProtectProc": 247,
}
_UP_TO_240 = """
    After Backlog Before CacheDirectory CapabilityBoundingSet Conflicts DefaultDependencies
    Description Environment EnvironmentFile ExecStart FreeBind KillMode LimitCORE ListenStream
    LockPersonality LogsDirectory NoNewPrivileges NonBlocking NotifyAccess OnCalendar Persistent
    PrivateDevices PrivateMounts PrivateTmp ProtectControlGroups ProtectHome ProtectKernelModules
    ProtectKernelTunables ProtectSystem ReadWritePaths RemoveIPC RemoveOnStop Requires
    RequiresMountsFor Restart RestartSec RestrictAddressFamilies RestrictNamespaces RestrictRealtime
    RuntimeDirectory RuntimeDirectoryPreserve Service SocketGroup SocketMode SocketUser Sockets
    StartLimitBurst StartLimitIntervalSec StateDirectory SyslogIdentifier SystemCallArchitectures
    SystemCallErrorNumber SystemCallFilter TemporaryFileSystem TimeoutStartSec TimeoutStopSec Type
    UMask Unit User WantedBy WorkingDirectory
    AmbientCapabilities IgnoreSIGPIPE KillSignal LogLevelMax OOMScoreAdjust RestartForceExitStatus
"""
OLD = set(_UP_TO_240.split())


def written() -> set[str]:
    """Return the directives of the templates, of a trial and of the boot unit."""
    templates = (TOP / "templates").glob("*.j2")
    boot = boot_unit.texts(Paths("demo", "/opt/demo"), ["python3"], ["demo-web.service"])
    own = trial_directories.text(
        "demo-web@trial.service", "[Service]\nStateDirectory=demo", lambda _: (1, 1)
    )
    texts = [path.read_text() for path in templates if path.stem != "rehearsal"]
    texts += [trial.SOCKET, own]
    return {name for text in [*texts, *boot.values()] for name in DIRECTIVE.findall(text)}


def test_every_directive_is_old_or_confines_a_service() -> None:
    assert written() - OLD - CONFINES.keys() == set()


def test_every_property_of_a_transient_unit_is_old_for_an_unknown_one_is_refused() -> None:
    given = {one.partition("=")[0] for one in (*DRIVER_PROPERTIES, *transient.PROPERTIES)}
    assert given - OLD == set()


def test_what_an_older_systemd_leaves_out_may_be_left_out_by_the_playbook_too() -> None:
    assert set(HARDENING) >= CONFINES.keys()
    assert min(CONFINES.values()) > OLDEST_SYSTEMD


def test_the_tables_hold_nothing_that_is_not_written() -> None:
    assert CONFINES.keys() <= written()
