"""Every bad input is told clearly, with its exit status, and changes nothing on any host.

After each, the next deploy with everything right succeeds: `site` sees to that.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import wheelhouse
from hosts.scene import PORT
from hosts.site import HOSTS, Site, problems
from shipit.lab import SUDO_PASSWORD
from wheelhouse import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

WEB = {"command": "tinyapp", "socket": PORT, "handover": "restart"}


@pytest.fixture
def desk(deployed: Site) -> Iterator[Site]:
    """The same, for input that is refused without a look at a host."""
    yield deployed
    deployed.mend()
    done = deployed.scene.shipit("deploy")
    assert done.status == 0, done.said


def place_of(site: Site, text: str, file: str = "playbook.yaml") -> str:
    """Return where in a file of the scene a text stands, as JSON tells it."""
    lines = (site.scene.folder / file).read_text().splitlines()
    (line,) = (number for number, each in enumerate(lines, 1) if text in each)
    return f'"line": {line}'


# --- what is written in the playbook -----------------------------------------------------------


def test_an_unknown_key_is_told_with_its_place_and_the_nearest_key(desk: Site) -> None:
    desk.wants(sevices={})
    place = place_of(desk, "sevices")
    says = ["playbook.yaml", place, "'sevices'", "did you mean 'services'?"]
    desk.refuses(status=2, code="playbook-unknown-key", says=says)


def test_a_wrong_type_is_told_with_what_was_expected(desk: Site) -> None:
    desk.wants(keep_releases="many")
    place = place_of(desk, "keep_releases")
    says = ["playbook.yaml", place, "keep_releases", "expected", "'many'"]
    desk.refuses(status=2, code="playbook-value", says=says)


def test_an_undefined_variable_of_the_playbook_is_told_with_its_place(desk: Site) -> None:
    desk.wants(vars={"greeting": "hello"}, env={"GREETING": "{{ greting }}"})
    place = place_of(desk, "greting")
    says = ["playbook.yaml", place, "'greting'", "greeting"]
    desk.refuses(status=2, code="template-undefined", says=says)


def test_an_undefined_variable_of_a_template_file_is_told_with_its_place(desk: Site) -> None:
    (desk.scene.folder / "app.ini.j2").write_text("[app]\nlevel = {{ levle }}\n")
    desk.wants(vars={"level": 1}, files=[{"src": "app.ini.j2", "dest": "app.ini"}])
    says = ["app.ini.j2", '"line": 2', "'levle'", "did you mean 'level'?"]
    desk.refuses(status=2, code="template-undefined", says=says)


def test_a_missing_app_wheel_is_told(desk: Site) -> None:
    desk.wants(wheel="tinyapp-9.9.9-py3-none-any.whl")
    says = ["playbook.yaml", place_of(desk, "9.9.9"), "expected a file that exists", "9.9.9"]
    desk.refuses(status=2, code="playbook-value", says=says)


def test_a_locked_wheel_that_is_not_there_is_told_with_the_command_that_gets_it(desk: Site) -> None:
    missing = wheelhouse.write_wheel(desk.scene.folder / "elsewhere", Recipe("leftpad", "2.0"))
    desk.wants()
    desk.scene.lock(missing)
    says = ["leftpad==2.0", "requirements.lock", '"line": 1', "pip download", "wheels"]
    desk.refuses(status=2, code="missing-wheel", says=says)


def test_a_wheel_with_another_hash_than_the_lock_says_is_told(desk: Site) -> None:
    wheel = wheelhouse.write_wheel(desk.scene.wheels, Recipe("leftpad", "3.0"))
    desk.wants()
    desk.scene.lock(wheel)
    wheelhouse.write_wheel(desk.scene.wheels, Recipe("leftpad", "3.0", files={"evil.py": "1"}))
    says = [wheel.name, f"sha256:{wheelhouse.sha256(wheel)}", "expected", "requirements.lock:1"]
    desk.refuses(status=2, code="wrong-hash", says=says)


def test_a_source_in_the_place_of_a_wheel_is_told(desk: Site) -> None:
    wheel = wheelhouse.write_wheel(desk.scene.folder / "elsewhere", Recipe("fromsource", "1.0"))
    (desk.scene.wheels / "fromsource-1.0.tar.gz").write_bytes(b"")
    desk.wants()
    desk.scene.lock(wheel)
    says = ["fromsource==1.0", "only the source", "requirements.lock", "--only-binary"]
    desk.refuses(status=2, code="only-sdist", says=says)


def test_a_lock_without_hashes_is_told(desk: Site) -> None:
    desk.wants()
    (desk.scene.folder / "requirements.lock").write_text("leftpad==1.0\n")
    desk.refuses(status=2, code="no-hash", says=["leftpad", "requirements.lock", "hash"])


def test_an_unknown_group_is_told_with_the_nearest(desk: Site) -> None:
    desk.wants(hosts="wbe")
    says = ["'wbe'", "did you mean 'web", place_of(desk, "wbe")]
    desk.refuses(status=2, code="pattern-unknown", says=says)


@pytest.mark.parametrize(
    ("limit", "code", "says"),
    [
        ("web1:!web1", "no-hosts", ["'web' selects no host", "web1:!web1", "groups: all"]),
        ("wbe1", "pattern-unknown", ["'wbe1'", "--limit", "did you mean 'web1'?"]),
        (":", "limit-empty", ["--limit", "all hosts"]),
    ],
)
def test_a_limit_that_leaves_no_host_is_told(
    desk: Site, limit: str, code: str, says: list[str]
) -> None:
    desk.wants()
    desk.refuses("--limit", limit, status=2, code=code, says=says)


@pytest.mark.parametrize("dest", ["../stolen", "a/../../stolen", "/etc/stolen"])
def test_a_dest_outside_of_the_release_is_told(desk: Site, dest: str) -> None:
    (desk.scene.folder / "app.ini.j2").write_text("[app]\n")
    desk.wants(files=[{"src": "app.ini.j2", "dest": dest}])
    says = ["playbook.yaml", place_of(desk, dest), dest, "files/"]
    desk.refuses(status=2, code="playbook-value", says=says)


def test_a_secret_that_is_not_set_is_told(desk: Site) -> None:
    desk.wants(secrets={"PASSWORD": "env:NOT_SET_ANYWHERE"})
    says = ["NOT_SET_ANYWHERE", place_of(desk, "NOT_SET"), "export"]
    desk.refuses(status=2, code="secret-missing", says=says)


def test_several_mistakes_are_told_at_once_and_to_people_as_well(desk: Site) -> None:
    desk.wants(sevices={}, keep_releases="many", env={"bad-name": "x"})
    done = desk.scene.shipit("deploy", "--json")
    codes = sorted(each["code"] for each in problems(done))
    assert codes == ["playbook-key", "playbook-unknown-key", "playbook-value"], done.said
    human = desk.scene.shipit("deploy")
    assert human.status == 2
    for line in ("sevices", "keep_releases", "bad-name", "3 mistakes; nothing was touched"):
        assert line in human.said


def test_mistakes_of_wheels_templates_and_secrets_are_told_at_once(desk: Site) -> None:
    missing = wheelhouse.write_wheel(desk.scene.folder / "elsewhere", Recipe("leftpad", "2.0"))
    (desk.scene.folder / "app.ini.j2").write_text("{{ prot }}\n")
    desk.wants(
        files=[{"src": "app.ini.j2", "dest": "app.ini"}],
        secrets={"PASSWORD": "env:NOT_SET_ANYWHERE"},
    )
    desk.scene.lock(missing)
    told = problems(desk.scene.shipit("deploy", "--json"))
    codes = {"missing-wheel", "template-undefined", "secret-missing"}
    assert {each["code"] for each in told} == codes, told


# --- what does not fit a host ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "code", "says"),
    [
        ("cp311-cp311-win_amd64", "wrong-platform", "win_amd64"),
        ("cp311-cp311-manylinux_2_17_aarch64", "wrong-platform", "aarch64"),
        ("cp311-cp311-manylinux_2_99_x86_64", "libc-too-new", "glibc 2.99"),
        ("cp39-cp39-manylinux_2_17_x86_64", "wrong-python", "cp39"),
    ],
)
def test_a_wheel_for_another_machine_is_told_with_what_the_host_has(
    desk: Site, tag: str, code: str, says: str
) -> None:
    wheel = wheelhouse.write_wheel(desk.scene.wheels, Recipe("native", "1.0", tag=tag))
    desk.undo.callback(wheel.unlink)
    desk.wants()
    desk.scene.lock(wheel)
    known = [wheel.name, says, "the host has", "3.11", "requirements.lock", "pip download"]
    desk.refuses(status=2, code=code, says=known)


def test_a_host_without_a_python_that_fits_is_told_with_those_it_has(site: Site) -> None:
    site.wants(python=">=3.13")
    for host in HOSTS:
        says = [">=3.13", "3.11", "/usr/bin/python3.11", "install"]
        site.refuses(code="no-python-fits", host=host, says=says)


# --- reaching a host ---------------------------------------------------------------------------


def test_an_unknown_host_key_is_told_with_its_fingerprint_and_the_command(site: Site) -> None:
    site.scene.env["HOME"] = str(site.scene.folder)
    site.reach("web2", shipit_host_key=None)
    site.wants()
    fingerprint = site.scene.sh("web2", "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
    says = [fingerprint.split()[1], "ssh-keyscan", site.lab.hosts["web2"].address, "known_hosts"]
    site.refuses(code="host-key-unknown", host="web2", says=says)


def test_a_changed_host_key_is_told_with_both_fingerprints(site: Site) -> None:
    site.scene.env["HOME"] = str(site.scene.folder)
    web1, web2 = (site.lab.hosts[name] for name in HOSTS)
    known = site.scene.folder / ".ssh" / "known_hosts"
    known.parent.mkdir(exist_ok=True)
    known.write_text(f"{web2.address} {web1.host_key}\n")
    site.undo.callback(known.unlink)
    site.reach("web2", shipit_host_key=None)
    site.wants()
    says = [f"{known}:1: SHA256:", "attack", f"ssh-keygen -R {web2.address}"]
    site.refuses(code="host-key-changed", host="web2", says=says)


def test_a_pinned_key_that_does_not_fit_is_told(site: Site) -> None:
    site.reach("web2", shipit_host_key=site.lab.hosts["web1"].host_key)
    site.wants()
    says = ["pinned by shipit_host_key: SHA256:", "change shipit_host_key in the inventory"]
    site.refuses(code="host-key-changed", host="web2", says=says)


def test_a_refused_login_is_told_with_what_was_tried(site: Site) -> None:
    site.scene.env |= {"HOME": str(site.scene.folder), "SSH_AUTH_SOCK": ""}
    site.reach("web2", ansible_user="nobody")
    site.wants()
    says = ["refused to log in nobody", str(site.lab.hosts["web2"].key), "ansible_user"]
    site.refuses(code="login-refused", host="web2", says=says)


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
def test_a_login_that_can_not_become_what_it_must_is_told(
    site: Site, variables: dict[str, object], code: str, says: list[str]
) -> None:
    site.reach("web2", **variables)
    site.wants()
    done = site.refuses(code=code, host="web2", says=says)
    assert "s3ntinel-wrong" not in done.said


def test_the_right_password_of_sudo_lets_in(site: Site) -> None:
    variables = {"ansible_user": "pwsudo", "ansible_become_password": SUDO_PASSWORD}
    site.reach("web2", **variables)
    site.accepts()


def test_a_host_without_sudo_is_told(site: Site) -> None:
    site.spoil("web2", "mv /usr/bin/sudo /usr/bin/away", "mv /usr/bin/away /usr/bin/sudo")
    site.wants()
    says = ["no sudo on the host", "apt-get install sudo"]
    site.refuses(code="sudo-missing", host="web2", says=says)


def test_a_host_without_python_is_told(site: Site) -> None:
    away = "mkdir /root/away; mv /usr/bin/python3* /root/away"
    site.spoil("web2", away, "mv /root/away/* /usr/bin; rmdir /root/away")
    site.wants()
    says = ["no python3 on the host", "3.8", "apt-get install python3"]
    site.refuses(code="python-missing", host="web2", says=says)


def test_a_python_that_is_too_old_is_told(site: Site) -> None:
    script = 'echo "shipit: Python is too old: 3.6.9" >&2; exit 1'
    make = f"printf '#!/bin/sh\\n%s\\n' '{script}' > /usr/local/bin/python36"
    site.spoil("web2", f"{make}; chmod 755 /usr/local/bin/python36", "rm /usr/local/bin/python36")
    site.reach("web2", ansible_python_interpreter="/usr/local/bin/python36")
    site.wants()
    says = ["3.6.9", "3.8", "ansible_python_interpreter"]
    site.refuses(code="python-too-old", host="web2", says=says)


def test_a_host_that_is_down_is_told(site: Site) -> None:
    site.lab.cut_cable("web2")
    site.undo.callback(site.lab.mend_cable, "web2")
    site.reach("web2", ansible_timeout=2)
    site.wants()
    says = [
        "no answer from",
        f"{site.lab.hosts['web2'].address}:22",
        "within 2 s",
        "is the host up",
    ]
    site.refuses(code="connect-timeout", host="web2", says=says)


def test_a_closed_port_is_told(site: Site) -> None:
    site.reach("web2", ansible_port=2)
    site.wants()
    says = [f"nobody listens at {site.lab.hosts['web2'].address}:2", "sshd", "ansible_port"]
    site.refuses(code="connect-refused", host="web2", says=says)


def test_the_troubles_of_all_hosts_are_told_at_once(site: Site) -> None:
    site.reach("web1", ansible_host="nowhere.invalid")
    text = (site.scene.folder / "inventory.yaml").read_text()
    site.scene.inventory(HOSTS, text.replace("ansible_port: 22", "ansible_port: 1"))
    site.wants()
    done = site.scene.shipit("deploy", "--json")
    assert done.status == 3
    told = {each["host"]: each["code"] for each in problems(done)}
    assert told == {"web1": "name-unknown", "web2": "connect-refused"}


# --- the state of a host -----------------------------------------------------------------------


def test_a_port_of_somebody_else_is_told_with_its_owner(site: Site) -> None:
    listen = "import socket,time; s=socket.create_server(('0.0.0.0', 8081)); time.sleep(600)"
    run = f'systemd-run --unit=squatter /usr/bin/python3 -c "{listen}"'
    run = f"{run}; until ss -Hltn sport = :8081 | grep -q .; do sleep 0.05; done"
    site.spoil("web2", run, "systemctl stop squatter")
    site.wants(services={"web": {**WEB, "socket": 8081}})
    says = ["port 8081 is taken by", "python3", "squatter.service", "stop that"]
    site.refuses(code="port-taken", host="web2", says=says, staging=True)


def test_a_current_that_is_a_directory_is_told_with_the_command(site: Site) -> None:
    app = "/opt/tinyapp"
    site.spoil(
        "web2",
        f"mv {app}/current /root/link && mkdir {app}/current",
        f"rmdir {app}/current && mv /root/link {app}/current",
    )
    site.wants()
    says = ["/opt/tinyapp/current is not a symlink", "mv /opt/tinyapp/current"]
    site.refuses(code="current-taken", host="web2", says=says, staging=True)


@pytest.mark.parametrize("folder", ["/opt", "/etc/systemd/system", "/var/lib"])
def test_a_disk_that_is_read_only_is_told(site: Site, folder: str) -> None:
    mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"
    site.spoil("web2", mount, f"umount -l {folder}")
    site.wants()
    says = [folder, "mounted read-only", "dmesg"]
    site.refuses(code="read-only", host="web2", says=says, staging=True)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ("size=40m", "disk-too-small", ["MiB free", "MiB are needed", "keep_releases"]),
        ("size=900m,nr_inodes=40", "inodes-too-few", ["inodes left", "are needed", "df -i"]),
    ],
)
def test_a_disk_that_is_too_small_is_told_with_what_is_needed(
    site: Site, options: str, code: str, says: list[str]
) -> None:
    # The store alone lies on it, as where /var is a file system of its own.
    mount = f"mount -t tmpfs -o {options} small /var/lib/shipit"
    site.spoil("web2", mount, "umount -l /var/lib/shipit")
    site.wants()
    says = [*says, "/var/lib/shipit"]
    site.refuses(code=code, host="web2", says=says, staging=True)


def test_a_unit_that_systemd_does_not_understand_is_told(site: Site) -> None:
    template = "[Service]\nExecStart={{ service.command }}\nRestart=someday\nUser=tinyapp\n"
    (site.scene.folder / "web.service.j2").write_text(template)
    site.wants(services={"web": {**WEB, "unit": "web.service.j2"}})
    says = ["systemd-analyze verify", "tinyapp-web.service", "someday", "template"]
    for host in HOSTS:
        site.refuses(code="unit-verify", host=host, says=says, staging=True)


def test_a_smoke_command_that_fails_is_told_with_its_output(site: Site) -> None:
    site.wants(smoke="/bin/sh -c 'echo no such table; exit 7'")
    says = ["exit status 7", "0 was expected", "no such table", "before anything was switched"]
    for host in HOSTS:
        site.refuses(code="smoke-failed", host=host, says=says, staging=True)


def test_a_time_that_systemd_does_not_know_is_told(site: Site) -> None:
    """Before, the timer was enabled and never fired."""
    job = {"command": "tinyapp-report", "timer": "10:00 Nowhere/Land"}
    site.wants(services={"web": WEB, "nightly": job})
    says = ["tinyapp-nightly.timer", "10:00 Nowhere/Land", "systemd-analyze calendar"]
    for host in HOSTS:
        site.refuses(code="timer-unknown", host=host, says=says, staging=True)


def test_a_unit_of_somebody_else_is_not_overwritten(site: Site) -> None:
    path = "/etc/systemd/system/tinyapp-cron.service"
    site.spoil("web2", f"printf '[Service]\\nExecStart=/bin/true\\n' > {path}", f"rm {path}")
    site.wants(services={"web": WEB, "cron": {"command": "tinyapp-worker"}})
    says = [path, "not installed by shipit", "another name"]
    site.refuses(code="unit-taken", host="web2", says=says, staging=True)


def test_a_symlink_in_the_way_of_a_file_is_not_followed(site: Site) -> None:
    """The release's folder can be foreseen: whoever may write to the root could lay a trap."""
    (site.scene.folder / "app.ini.j2").write_text("[app]\n")
    site.wants(files=[{"src": "app.ini.j2", "dest": "conf/app.ini"}])
    plan = json.loads(site.scene.shipit("plan", "--json").out.splitlines()[-1])
    release = plan["deployments"][0]["hosts"]["web2"]["release"]
    top = f"/opt/tinyapp/releases/{release}"
    site.spoil(
        "web2",
        f"mkdir -p {top}/files /root/prey && ln -s /root/prey {top}/files/conf",
        f"rm -rf {top} /root/prey",
    )
    done = site.scene.shipit("deploy")
    assert site.scene.sh("web2", "ls /root/prey") == "", done.said
