"""Whose the root of an app is, on real hosts: others' users, other tools, other apps, no mount."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hosts.test_transaction import PATIENCE, Site
from hosts.workspace import PORT, Workspace
from patience import until
from shipit.agent.protocol import messages

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab


@pytest.fixture
def site(fresh_web1: Lab) -> Site:
    return Site(fresh_web1)


def output(site: Site, *asked_for: object) -> list[messages.Failure]:
    """Let the agent answer as it would over ssh, and return what it refuses."""
    asked = b"".join(messages.pack(message) for message in asked_for)
    site.put("/root/asked", asked)
    out = site.sh("python3 -I -S /var/lib/shipit/agent/test.pyz serve </root/asked")
    answers = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return [
        messages.unpack(json.dumps(answer).encode())[0]
        for answer in answers
        if answer["kind"] == "Failure"
    ]


def hello(root: str = "/opt/app", app: str = "app") -> messages.Hello:
    return messages.Hello(app, root)


def test_a_root_of_the_services_user_is_touched_by_nothing_until_it_is_given_back(
    site: Site,
) -> None:
    """The attack: whoever owns the root brings units of its own, and waits for a rollback."""
    site.deploy("r1")
    site.deploy("r2")
    site.sh("useradd --system mallory; chown mallory: /opt/app")
    hostile = "[Service]\nExecStart=/bin/touch /root-was-here"
    site.sh(
        "cd /opt/app && mv releases theirs && cp -r theirs releases && chown -R mallory: releases"
        " && runuser -u mallory -- sh -c"
        f" 'printf \"{hostile}\" >/opt/app/releases/r1/units/app-web.service'"
    )
    (failure,) = output(site, hello())
    assert failure.code == "root-untrusted"
    assert "/opt/app belongs to mallory" in failure.what
    assert "/opt/app/releases belongs to mallory" in failure.what
    rolled = site.session(what="rollback", release="r1")[-1]
    assert rolled["failure"]["code"] == "root-untrusted"
    assert site.sh("ls /root-was-here") == ""
    assert site.serving() == "r2"
    site.sh("cd /opt/app && rm -r releases && mv theirs releases")
    site.sh(failure.hint)  # as an operator is asked to
    assert output(site, hello()) == []
    assert site.session(what="rollback", release="r1")[-1]["outcome"] == "committed"
    site.assert_runs("r1")


def test_a_unit_that_was_changed_before_a_rollback_is_not_installed(site: Site) -> None:
    site.deploy("r1")
    site.deploy("r2")
    unit = "/opt/app/releases/r1/units/app-web.service"
    site.sh(f"sed -i 's,^ExecStart=.*,ExecStart=/bin/touch /root-was-here,' {unit}")
    settled = site.session(what="rollback", release="r1")[-1]
    assert (settled["outcome"], settled["running"]) == ("discarded", "r2")
    assert settled["failure"]["code"] == "release-damaged"
    assert f"{unit} was changed" in settled["failure"]["what"]
    assert site.sh("ls /root-was-here") == ""
    site.assert_runs("r2")


def test_root_follows_nothing_that_the_services_user_has_planted_in_shared(site: Site) -> None:
    site.sh(
        "useradd --system svc; mkdir -p /opt/app; echo secret >/etc/precious; chmod 600 /etc/p*s"
    )
    site.deploy("r1")
    site.sh("mkdir -p /opt/app/shared; chown svc: /opt/app/shared")
    plant = "ln -s /etc/precious p; ln -s /etc d; mkfifo releases current; ln -s ../releases r"
    site.sh(f"runuser -u svc -- sh -c 'cd /opt/app/shared && {plant}'")
    planted = "find /opt/app/shared -printf '%p %u %m %l %T@ %C@\\n'"
    before = site.sh(f"stat -c '%n %U %a %Y %Z' /etc/precious /etc; {planted}")
    for release in ("r2", "r3", "r4"):  # the first ones are pruned
        assert site.deploy(release)["outcome"] == "committed"
    assert site.deploy("r5", mode="crash")["outcome"] == "rolled_back"
    after = site.sh(f"stat -c '%n %U %a %Y %Z' /etc/precious /etc; {planted}")
    assert after == before


def drop_ins(site: Site) -> list[str]:
    drift = site.session(what="status")[-1]["drift"]
    return [each["what"] for each in drift if each["code"] == "drop-in"]


def test_a_drop_in_of_a_prefix_shows_in_status(site: Site) -> None:
    site.deploy("r1")
    assert drop_ins(site) == []
    folder = "/etc/systemd/system/app-.service.d"
    site.sh(f"mkdir {folder}; printf '[Service]\\nNice=5\\n' >{folder}/nice.conf")
    site.sh("mkdir /run/systemd/system/service.d; cp /etc/systemd/system/app-.service.d/*"
            " /run/systemd/system/service.d/; systemctl daemon-reload")  # fmt: skip
    assert drop_ins(site) == [
        f"{folder}/nice.conf changes app-web.service: it is not part of the release"
    ]
    site.sh(f"rm -r {folder} /run/systemd/system/service.d; systemctl daemon-reload")


def test_a_root_whose_file_system_is_not_mounted_is_no_first_release(site: Site) -> None:
    site.sh("mkdir /opt/app; mount -t tmpfs -o mode=755 none /opt/app")
    site.deploy("r1")
    site.sh("mount --move /opt/app /mnt || mount --bind /opt/app /mnt && umount -l /opt/app")
    (failure,) = output(site, hello())
    assert (failure.code, "r1 was committed in /opt/app" in failure.what) == ("root-missing", True)
    site.sh("mount --bind /mnt /opt/app")
    assert output(site, hello()) == []
    site.assert_runs("r1")


def test_two_apps_never_share_a_root(site: Site) -> None:
    site.deploy("r1")
    other = (
        "from shipit.agent.records import app_root\nfrom shipit.agent.system.paths import Paths\n"
    )
    for root in ("/opt/app", "/opt/app/inside", "/opt"):
        ask = f"print([p.code for p in app_root.problems(Paths('other', '{root}'))])"
        site.put("/root/ask.py", f"import sys; sys.path[0] = '/root/lib'\n{other}{ask}".encode())
        assert "root-of-another-app" in site.sh("python3 /root/ask.py")
    until(lambda: site.serving() == "r1", lambda: "r1 is gone", PATIENCE)


FOREIGN = """\
cd /opt && mkdir -p tinyapp/releases/20240101120000 tinyapp/releases/20240202120000/log
mkdir tinyapp/shared && echo theirs >tinyapp/releases/20240202120000/app.rb
echo deployed >tinyapp/revisions.log && chown -R nobody: tinyapp/shared
ln -s /opt/tinyapp/releases/20240202120000 tinyapp/current
"""


def test_another_tools_root_is_refused_then_adopted_and_comes_back(
    fresh_web1: Lab, tmp_path: Path
) -> None:
    workspace = Workspace.set(tmp_path, fresh_web1, ("web1",))
    workspace.sh("web1", FOREIGN)

    def theirs() -> list[str]:
        ours = ("ledger.jsonl", ".doomed", "adopted-", "-", ". ")
        lines = workspace.sh(
            "web1", "cd /opt/tinyapp && find . -printf '%p %U %m %l\\n'"
        ).splitlines()
        return sorted(line for line in lines if not any(word in line for word in ours))

    before = theirs()
    refused = workspace.deploy("1.0.0", "--json")
    assert refused.status == 3, refused.output
    (problem,) = (each["problem"] for each in refused.reported("host-failed"))
    assert problem["code"] == "root-foreign"
    for word in ("current -> /opt/tinyapp/releases/20240202120000", "2 folders", "revisions.log"):
        assert word in problem["what"]
    assert workspace.asked("plan")["web1"]["problems"][0]["code"] == "root-foreign"
    assert theirs() == before
    assert workspace.shipit("adopt").status == 0
    assert theirs() == before
    health = {"checks": [{"http": f"http://127.0.0.1:{PORT}/healthz"}], "deadline": "6s"}
    sick = workspace.deploy("1.1.0", fault="healthz", health=health)
    assert sick.status == 4, sick.output
    assert theirs() == before
    assert workspace.deploy("1.2.0").status == 0
    assert workspace.serves("web1")["version"] == "1.2.0"
    back = workspace.shipit("rollback")
    assert back.status == 0, back.output
    assert theirs() == before
    assert "error" in workspace.serves("web1")
    assert workspace.deploy("1.3.0").status == 0
