"""Every bad input is reported clearly, with its exit status, and changes nothing on any host.

After each, the next deploy with everything right succeeds. Where a host has staged, `site` deploys
something new; where all are proven to be as they were, `desk` leaves it to the next test of `site`.
What is refused before any host is asked is in test_input_errors, in process.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import wheelhouse
from hosts.site import HOSTS, Site, problems
from hosts.workspace import PORT
from shipit.lab.image import SUDO_PASSWORD
from wheelhouse import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

WEB = {"command": "tinyapp", "socket": PORT, "handover": "restart"}


@pytest.fixture
def desk(deployed: Site) -> Iterator[Site]:
    """The same, for what is refused before any host stages: nothing there has to be repaired."""
    yield deployed
    deployed.mend()


# --- what is written in the playbook -----------------------------------------------------------


def test_a_mistake_in_the_playbook_touches_no_host(desk: Site) -> None:
    desk.wants(sevices={})
    says = ["playbook.yaml", "'sevices'", "did you mean 'services'?"]
    desk.refuses(status=2, code="playbook-unknown-key", says=says)


# --- what does not fit a host ------------------------------------------------------------------


def test_a_wheel_for_another_machine_is_reported_with_what_the_host_has(desk: Site) -> None:
    """Hosts are asked before this is known; the other ways not to fit are in test_bundle."""
    tag = "cp311-cp311-manylinux_2_17_aarch64"
    wheel = wheelhouse.write_wheel(desk.workspace.wheels, Recipe("native", "1.0", tag=tag))
    desk.undo.callback(wheel.unlink)
    desk.wants()
    desk.workspace.lock(wheel)
    known = [wheel.name, "aarch64", "the host has", "3.11", "requirements.lock", "pip download"]
    desk.refuses(status=2, code="wrong-platform", says=known)


def test_a_host_without_a_python_that_fits_is_reported_with_those_it_has(desk: Site) -> None:
    desk.wants(python=">=3.13")
    says = [">=3.13", "3.11", "/usr/bin/python3.11", "install"]
    desk.refuses(code="no-python-fits", hosts=HOSTS, says=says)


# --- reaching a host ---------------------------------------------------------------------------


def test_an_unknown_host_key_is_reported_with_its_fingerprint_and_the_command(desk: Site) -> None:
    desk.workspace.env["HOME"] = str(desk.workspace.folder)
    desk.reach("web2", shipit_host_key=None)
    desk.wants()
    fingerprint = desk.workspace.sh("web2", "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
    says = [fingerprint.split()[1], "ssh-keyscan", desk.lab.hosts["web2"].address, "known_hosts"]
    desk.refuses(code="host-key-unknown", hosts=["web2"], says=says)


def test_a_changed_host_key_is_reported_with_both_fingerprints(desk: Site) -> None:
    desk.workspace.env["HOME"] = str(desk.workspace.folder)
    web1, web2 = (desk.lab.hosts[name] for name in HOSTS)
    known = desk.workspace.folder / ".ssh" / "known_hosts"
    known.parent.mkdir(exist_ok=True)
    known.write_text(f"{web2.address} {web1.host_key}\n")
    desk.undo.callback(known.unlink)
    desk.reach("web2", shipit_host_key=None)
    desk.wants()
    says = [f"{known}:1: SHA256:", "attack", f"ssh-keygen -R {web2.address}"]
    desk.refuses(code="host-key-changed", hosts=["web2"], says=says)


def test_a_pinned_key_that_does_not_fit_is_reported(desk: Site) -> None:
    desk.reach("web2", shipit_host_key=desk.lab.hosts["web1"].host_key)
    desk.wants()
    says = ["pinned by shipit_host_key: SHA256:", "change shipit_host_key in the inventory"]
    desk.refuses(code="host-key-changed", hosts=["web2"], says=says)


def test_a_refused_login_is_reported_with_what_was_tried(desk: Site) -> None:
    desk.workspace.env |= {"HOME": str(desk.workspace.folder), "SSH_AUTH_SOCK": ""}
    desk.reach("web2", ansible_user="nobody")
    desk.wants()
    says = ["refused to log in nobody", str(desk.lab.hosts["web2"].key), "ansible_user"]
    desk.refuses(code="login-refused", hosts=["web2"], says=says)


@pytest.mark.parametrize(
    ("variables", "code", "says"),
    [
        ({"ansible_become": False}, "not-root", ["deploy, who is not root", "ansible_become"]),
        ({"ansible_user": "nosudo"}, "sudo-password-needed", ["nosudo", "-K", "sudoers.d"]),
        ({"ansible_user": "pwsudo"}, "sudo-password-needed", ["pwsudo", "-K", "sudoers.d"]),
        (
            {"ansible_user": "pwsudo", "ansible_become_password": "s3ntinel-wrong"},
            "sudo-password-wrong",
            ["pwsudo", "-K or ansible_become_password"],
        ),
        (
            {"ansible_python_interpreter": "/opt/none/python3"},
            "python-missing",
            ["/opt/none/python3", "3.8", "apt-get install python3"],
        ),
    ],
)
def test_a_login_that_cannot_become_root_is_reported(
    desk: Site, variables: dict[str, object], code: str, says: list[str]
) -> None:
    desk.reach("web2", **variables)
    desk.wants()
    done = desk.refuses(code=code, hosts=["web2"], says=says)
    assert "s3ntinel-wrong" not in done.output


def test_the_right_password_of_sudo_lets_in(desk: Site) -> None:
    variables = {"ansible_user": "pwsudo", "ansible_become_password": SUDO_PASSWORD}
    desk.reach("web2", **variables)
    desk.accepts()


def test_a_host_without_sudo_is_reported(desk: Site) -> None:
    desk.spoil("web2", "mv /usr/bin/sudo /usr/bin/away", "mv /usr/bin/away /usr/bin/sudo")
    desk.wants()
    says = ["no sudo on the host", "apt-get install sudo"]
    desk.refuses(code="sudo-missing", hosts=["web2"], says=says)


def test_a_host_without_python_is_reported(desk: Site) -> None:
    away = "mkdir /root/away; mv /usr/bin/python3* /root/away"
    desk.spoil("web2", away, "mv /root/away/* /usr/bin; rmdir /root/away")
    desk.wants()
    says = ["no python3 on the host", "3.8", "apt-get install python3"]
    desk.refuses(code="python-missing", hosts=["web2"], says=says)


def test_a_python_that_is_too_old_is_reported(desk: Site) -> None:
    script = 'echo "shipit: Python is too old: 3.6.9" >&2; exit 1'
    make = f"printf '#!/bin/sh\\n%s\\n' '{script}' > /usr/local/bin/python36"
    desk.spoil("web2", f"{make}; chmod 755 /usr/local/bin/python36", "rm /usr/local/bin/python36")
    desk.reach("web2", ansible_python_interpreter="/usr/local/bin/python36")
    desk.wants()
    says = ["3.6.9", "3.8", "ansible_python_interpreter"]
    desk.refuses(code="python-too-old", hosts=["web2"], says=says)


def test_a_host_that_is_down_is_reported(desk: Site) -> None:
    desk.lab.cut_cable("web2")
    desk.undo.callback(desk.lab.repair_cable, "web2")
    desk.reach("web2", ansible_timeout=2)
    desk.wants()
    says = [
        "no answer from",
        f"{desk.lab.hosts['web2'].address}:22",
        "within 2 s",
        "is the host up",
    ]
    desk.refuses(code="connect-timeout", hosts=["web2"], says=says)


def test_a_closed_port_is_reported(desk: Site) -> None:
    desk.reach("web2", ansible_port=2)
    desk.wants()
    says = [f"nobody listens at {desk.lab.hosts['web2'].address}:2", "sshd", "ansible_port"]
    desk.refuses(code="connect-refused", hosts=["web2"], says=says)


def test_the_troubles_of_all_hosts_are_reported_together(desk: Site) -> None:
    desk.reach("web1", ansible_host="nowhere.invalid")
    text = (desk.workspace.folder / "inventory.yaml").read_text()
    desk.workspace.inventory(HOSTS, text.replace("ansible_port: 22", "ansible_port: 1"))
    desk.wants()
    done = desk.workspace.shipit("deploy", "--json")
    assert done.status == 3
    reported = {each["host"]: each["code"] for each in problems(done)}
    assert reported == {"web1": "name-unknown", "web2": "connect-refused"}


# --- the state of a host -----------------------------------------------------------------------


def test_a_port_of_somebody_else_is_reported_with_its_owner(site: Site) -> None:
    listen = "import socket,time; s=socket.create_server(('0.0.0.0', 8081)); time.sleep(600)"
    run = f'systemd-run --unit=squatter /usr/bin/python3 -c "{listen}"'
    run = f"{run}; until ss -Hltn sport = :8081 | grep -q .; do sleep 0.05; done"
    site.spoil("web2", run, "systemctl stop squatter")
    site.wants(services={"web": {**WEB, "socket": 8081}})
    says = ["port 8081 is taken by", "python3", "squatter.service", "stop that"]
    site.refuses(code="port-taken", hosts=["web2"], says=says, staging=True)


def test_a_current_that_is_a_directory_is_reported_with_the_command(site: Site) -> None:
    app = "/opt/tinyapp"
    site.spoil(
        "web2",
        f"mv {app}/current /root/link && mkdir {app}/current",
        f"rmdir {app}/current && mv /root/link {app}/current",
    )
    site.wants()
    says = ["/opt/tinyapp/current is not a symlink", "mv /opt/tinyapp/current"]
    site.refuses(code="current-taken", hosts=["web2"], says=says, staging=True)


@pytest.mark.parametrize("folder", ["/opt", "/etc/systemd/system", "/var/lib"])
def test_a_disk_that_is_read_only_is_reported(site: Site, folder: str) -> None:
    mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"
    site.spoil("web2", mount, f"umount -l {folder}")
    site.wants()
    says = [folder, "mounted read-only", "dmesg"]
    site.refuses(code="read-only", hosts=["web2"], says=says, staging=True)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ("size=40m", "disk-too-small", ["MiB free", "MiB are needed", "keep_releases"]),
        ("size=900m,nr_inodes=40", "inodes-too-few", ["inodes left", "are needed", "df -i"]),
    ],
)
def test_a_disk_that_is_too_small_is_reported_with_what_is_needed(
    site: Site, options: str, code: str, says: list[str]
) -> None:
    # The store alone lies on it, as where /var is a file system of its own.
    mount = f"mount -t tmpfs -o {options} small /var/lib/shipit"
    site.spoil("web2", mount, "umount -l /var/lib/shipit")
    site.wants()
    says = [*says, "/var/lib/shipit"]
    # Without its wheels the running release is not as it was verified.
    running = site.workspace.sh("web2", "readlink /opt/tinyapp/current").strip()
    stamp = f"opt/tinyapp/{running}/proven"
    site.refuses(code=code, hosts=["web2"], says=says, staging=True, unwatched=[stamp])


def test_a_unit_that_systemd_does_not_understand_is_reported(site: Site) -> None:
    template = "[Service]\nExecStart={{ service.command }}\nRestart=someday\nUser=tinyapp\n"
    (site.workspace.folder / "web.service.j2").write_text(template)
    site.wants(services={"web": {**WEB, "unit": "web.service.j2"}})
    says = ["systemd-analyze verify", "tinyapp-web.service", "someday", "template"]
    site.refuses(code="unit-verify", hosts=HOSTS, says=says, staging=True)


def test_a_smoke_command_that_fails_is_reported_with_its_output(site: Site) -> None:
    site.wants(smoke="/bin/sh -c 'echo no such table; exit 7'")
    says = ["exit status 7", "expected 0", "no such table", "before anything was switched"]
    site.refuses(code="smoke-failed", hosts=HOSTS, says=says, staging=True)


def test_a_time_that_systemd_does_not_know_is_reported(site: Site) -> None:
    """Before, the timer was enabled and never fired."""
    job = {"command": "tinyapp-report", "timer": "10:00 Nowhere/Land"}
    site.wants(services={"web": WEB, "nightly": job})
    says = ["tinyapp-nightly.timer", "10:00 Nowhere/Land", "systemd-analyze calendar"]
    site.refuses(code="timer-unknown", hosts=HOSTS, says=says, staging=True)


def test_a_unit_of_somebody_else_is_not_overwritten(site: Site) -> None:
    path = "/etc/systemd/system/tinyapp-cron.service"
    site.spoil("web2", f"printf '[Service]\\nExecStart=/bin/true\\n' > {path}", f"rm {path}")
    site.wants(services={"web": WEB, "cron": {"command": "tinyapp-worker"}})
    says = [path, "not installed by shipit", "another name"]
    site.refuses(code="unit-taken", hosts=["web2"], says=says, staging=True)


def test_a_symlink_in_the_way_of_a_file_is_not_followed(site: Site) -> None:
    """The release's folder can be foreseen: whoever may write to the root could lay a trap."""
    (site.workspace.folder / "app.ini.j2").write_text("[app]\n")
    site.wants(files=[{"src": "app.ini.j2", "dest": "conf/app.ini"}])
    plan = json.loads(site.workspace.shipit("plan", "--json").out.splitlines()[-1])
    release = plan["deployments"][0]["hosts"]["web2"]["release"]
    top = f"/opt/tinyapp/releases/{release}"
    site.spoil(
        "web2",
        f"mkdir -p {top}/files /root/prey && ln -s /root/prey {top}/files/conf",
        f"rm -rf {top} /root/prey",
    )
    done = site.workspace.shipit("deploy")
    assert site.workspace.sh("web2", "ls /root/prey") == "", done.output
