"""Another local user holds up the transaction, and a disk loses its journal: on a real host.

The attacks are those of a review: locks that anybody could take kept deploys and recovery from
their work, and a journal that could not be read was taken for no transaction.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from hosts.agenthost import HOST
from hosts.test_transaction import PATIENCE, Site
from patience import until

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

VAR = "/var/lib/shipit"
TXN = f"{VAR}/txn"
LOCKS = (
    *(f"{TXN}/app.txn.lock", f"{TXN}/app.session.lock"),
    *(f"{VAR}/uv-cache.lock", f"{VAR}/store.lock"),
)
# Opens what it can, then takes each lock as soon as it is free, and never lets go.
THIEF = """
import fcntl, signal, sys, threading
opened = [open(path) for path in sys.argv[1:]]
for stream in opened:
    threading.Thread(target=fcntl.flock, args=(stream, fcntl.LOCK_SH), daemon=True).start()
open("/run/thief/ready", "w").close()
signal.pause()
"""


@pytest.fixture
def site(fresh_web1: Lab) -> Site:
    return Site(fresh_web1)


def robbed(site: Site) -> None:
    """Lay the folders out as earlier versions did, and have another user hold every lock there."""
    site.put("/usr/local/lib/thief.py", THIEF.encode())
    site.sh(
        f"mkdir -p {TXN}; chmod 0755 {VAR} {TXN}; touch {' '.join(LOCKS)};"
        f"chmod 0644 {' '.join(LOCKS)};"
        "systemd-run --quiet --unit=thief --uid=nobody --property=RuntimeDirectory=thief"
        f" python3 /usr/local/lib/thief.py {' '.join(LOCKS)}"
    )
    until(
        lambda: bool(site.sh("ls /run/thief/ready 2>/dev/null")),
        lambda: site.sh("systemctl status thief"),
        PATIENCE,
    )


def as_nobody(site: Site, command: str) -> str:
    return site.sh(f"setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c '{command}' 2>&1")


def test_locks_that_another_user_holds_keep_nobody_from_anything(site: Site) -> None:
    robbed(site)
    assert site.deploy("r1")["outcome"] == "committed"
    site.assert_runs("r1")
    site.session(what="deploy", release="r2", verdict="")
    site.sh("systemctl kill --signal=KILL --kill-who=main shipit-app.service")
    site.settle()
    site.assert_runs("r1")
    site.session(what="deploy", release="r3", verdict="")
    site.sh("systemctl stop shipit-app.service")
    assert "was undone: release r1 runs" in site.session()[0]["recovered"]
    site.assert_runs("r1")
    assert site.sh("systemctl is-active thief") == "active"
    modes = site.sh(f"stat -c %a {TXN}; stat -c %a {TXN}/*.lock | sort -u").split()
    assert modes == ["700", "600"]


def test_nobody_else_can_open_a_lock_any_more(site: Site) -> None:
    site.deploy("r1")
    for command in (f"exec 9< {TXN}/app.txn.lock", f"ls {TXN}", f"ls {VAR}/blobs"):
        assert "Permission denied" in as_nobody(site, command)


def test_a_boot_settles_what_another_user_held_up(site: Site) -> None:
    site.deploy("r1")
    site.session(what="deploy", release="r2", verdict="")
    site.sh(f"chmod 0755 {VAR} {TXN}; chmod 0644 {TXN}/*.lock")
    site.put(
        "/etc/systemd/system/thief.service",
        textwrap.dedent(f"""\
            [Unit]
            DefaultDependencies=no
            Before=shipit-recover@app.service
            After=local-fs.target
            [Service]
            User=nobody
            RuntimeDirectory=thief
            ExecStart=/usr/bin/python3 /usr/local/lib/thief.py {" ".join(LOCKS[:2])}
            ExecStartPost=/bin/sh -c "until test -e /run/thief/ready; do sleep 0.05; done"
            [Install]
            WantedBy=multi-user.target
            """).encode(),
    )
    site.put("/usr/local/lib/thief.py", THIEF.encode())
    site.sh("systemctl enable thief")
    site.lab.power_cut(HOST)
    site.lab.boot(HOST)
    site.settle()
    assert site.sh("systemctl is-active thief") == "active"
    site.assert_runs("r1")


def test_a_driver_that_finds_the_transaction_held_is_started_again(site: Site) -> None:
    """Root's own processes hold locks too, and may die before they have come to the end."""
    site.deploy("r1")
    site.session(what="deploy", release="r2", verdict="")
    holder = f"flock -x {TXN}/app.txn.lock sleep 3600"
    # It waits for the driver's lock, and gets it when the driver is killed.
    site.sh(f"systemd-run --quiet --unit=holder {holder}")
    site.sh("systemctl kill --signal=KILL --kill-who=main shipit-app.service")
    until(
        lambda: int(site.sh("systemctl show -P NRestarts shipit-app.service") or 0) > 1,
        lambda: site.sh("systemctl status shipit-app.service holder.service"),
        PATIENCE,
    )
    site.sh("systemctl stop holder")
    site.settle()
    site.assert_runs("r1")


@pytest.mark.parametrize("way", ["killed", "power cut"])
def test_a_journal_that_is_lost_in_the_middle_is_rolled_back(site: Site, way: str) -> None:
    site.deploy("r1")
    site.session(what="deploy", release="r2", verdict="")
    site.sh(f"truncate -s 0 {TXN}/app.json; truncate -s 4096 {TXN}/app.json")
    if way == "killed":
        site.sh("systemctl kill --signal=KILL --kill-who=main shipit-app.service")
    else:
        site.lab.power_cut(HOST)
        site.lab.boot(HOST)
    site.settle()
    site.assert_runs("r1")
    assert "[journal-unreadable]" in site.sh("tail -n 1 /opt/app/ledger.jsonl")
    assert site.deploy("r3")["outcome"] == "committed"


def test_a_boot_unit_that_systemd_refuses_is_replaced_by_one_that_it_takes(site: Site) -> None:
    """As 240 to 243 refuse any Restart= for Type=oneshot, later versions refuse Restart=always."""
    code = textwrap.dedent("""\
        import os, sys
        sys.path.insert(0, "/root/lib")
        from shipit.agent.host.host import RealHost
        from shipit.agent.system.paths import Paths
        from shipit.agent.transaction import boot_unit
        paths, host = Paths("app", "/opt/app"), RealHost()
        best, plain = boot_unit.texts(paths, ["/bin/true"], ["app-web.service"]).values()
        refused = best.replace("on-failure", "always")
        for texts in (
            {"on-failure": best, "no": plain},
            {"always": refused, "no": plain},  # what it has of the unit is the one before
            {"always": refused, "no": plain},
            {"always": refused},
            {"on-failure": best, "no": plain},
        ):
            if len(texts) == 1:
                host.systemctl("daemon-reload")
            try:
                boot_unit.arm(paths, host, texts, [])
                print("Restart" in open(paths.boot_unit).read())
            except Exception as error:
                print(error)
            boot_unit.disarm(paths)
        """)
    site.put("/root/arm.py", code.encode())
    output = site.sh("python3 /root/arm.py").splitlines()
    assert "its load state is bad-setting" in output.pop(3)
    assert output == ["True", "False", "False", "True"]
