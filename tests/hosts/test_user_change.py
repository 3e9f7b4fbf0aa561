"""The next release runs as another user: whose the directories are, at each moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hosts.overlap import HEALTH, HOST, HTTP, WEB, WORKER, deploy, serving
from hosts.workspace import Workspace, ended, stopped
from patience import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.lab.lab import Lab

OLD, NEW = "tinyapp", "other"
TAKEN_BACK = {**HEALTH, "checks": [{"http": HTTP}, {"command": "/bin/false"}], "deadline": "3s"}
OWN = "/var/lib/tinyapp /var/cache/tinyapp /var/log/tinyapp /run/tinyapp-web /opt/tinyapp/shared"
LOOK = f"find {OWN} -printf '%p %u:%g %m %n\\n' | sort"
MANY = 20000  # files, so that handing them over can be interrupted
PATIENCE = 120.0  # seconds
FILL = f"""
cd /var/lib/tinyapp && mkdir -p deep/er && seq {MANY} | xargs touch && touch deep/er/file
mkdir -p /opt/tinyapp/shared/uploads && touch /opt/tinyapp/shared/uploads/one
chown -R {OLD}: /var/lib/tinyapp /opt/tinyapp/shared
"""
# As root, where fs.protected_hardlinks keeps the user from it: on some hosts it is off.
PLANT = f"""
mkdir /etc/mine && touch /etc/mine/file && chown -R {OLD}: /etc/mine
for top in /var/lib/tinyapp /opt/tinyapp/shared; do
  ln /etc/shadow $top/shadow && ln -s /etc/gshadow $top/link && ln -s /etc/ssh $top/folder
  cp /bin/id $top/id && chown {OLD}: $top/id && chmod 6755 $top/id
  chown -h {OLD}: $top/link $top/folder && mkdir $top/mounted
  mount --bind /etc/mine $top/mounted
done
"""
PULL = """
for top in /var/lib/tinyapp /opt/tinyapp/shared; do umount $top/mounted; rm -r $top/mounted; done
"""
TREASURE = "find /etc/shadow /etc/gshadow /etc/ssh /etc/mine -printf '%p %u:%g %m\\n'"


@pytest.fixture
def workspace(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Give a host that serves 1.0.0 as a user of the app's name."""
    with serving(lab, tmp_path_factory.mktemp("user")) as workspace:
        yield workspace


def look(workspace: Workspace) -> str:
    return workspace.sh(HOST, LOOK)


def strangers(workspace: Workspace, user: str) -> str:
    """Return what in the app's directories is not this user's."""
    return workspace.sh(HOST, f"find {OWN} ! -user {user} -o ! -group {user}")


def runs_as(workspace: Workspace, version: str, user: str) -> None:
    """Prove that a release serves and works as this user, whose all directories are."""
    assert workspace.serves(HOST)["version"] == version
    assert strangers(workspace, user) == ""
    beat = "cat /var/lib/tinyapp/heartbeat"
    until(
        lambda: workspace.sh(HOST, beat).startswith(version),
        lambda: workspace.sh(HOST, beat),
        PATIENCE,
    )
    users = "systemctl list-units --plain --no-legend --state=running 'tinyapp-*.service'"
    pids = f"{users} | awk '{{print $1}}' | xargs systemctl show -p MainPID --value"
    assert set(workspace.sh(HOST, f"{pids} | grep . | xargs ps -o user= -p").split()) == {user}


def test_a_trial_as_another_user_that_fails_leaves_all_directories_as_they_were(
    workspace: Workspace,
) -> None:
    workspace.sh(HOST, FILL)
    before = look(workspace)
    done = deploy(workspace, "2.0.0", "start", user=NEW)
    assert done.status == 3, done.output
    assert look(workspace) == before
    runs_as(workspace, "1.0.0", OLD)


def test_a_trial_as_another_user_has_empty_directories_at_the_same_paths(
    workspace: Workspace,
) -> None:
    workspace.sh(HOST, FILL)
    tries = (
        'test -z "$(ls -A /var/lib/tinyapp)" && touch /var/lib/tinyapp/here'
        " && touch $STATE_DIRECTORY/there $LOGS_DIRECTORY/log $RUNTIME_DIRECTORY/run"
        " && ls -ld /var/lib/tinyapp >&2 && exit 3"
    )
    before = look(workspace)
    web = {**WEB, "command": f"/bin/sh -c '{tries}'"}
    done = deploy(workspace, "2.0.0", user=NEW, services={"web": web, "worker": WORKER})
    assert done.status == 3, done.output
    assert f"{NEW} {NEW}" in done.output
    assert look(workspace) == before


def test_a_deploy_hands_all_directories_over_and_a_rollback_gives_them_back(
    workspace: Workspace,
) -> None:
    workspace.sh(HOST, FILL)
    for version, user in (("2.0.0", NEW), ("3.0.0", "third")):
        done = deploy(workspace, version, user=user)
        assert done.status == 0, done.output
        runs_as(workspace, version, user)
    assert workspace.shipit("rollback", "--to", "1.0.0").status == 0
    runs_as(workspace, "1.0.0", OLD)


def test_a_gate_that_fails_gives_all_directories_back(workspace: Workspace) -> None:
    workspace.sh(HOST, FILL)
    done = deploy(workspace, "2.0.0", user=NEW, health=TAKEN_BACK)
    assert done.status == 4, done.output
    runs_as(workspace, "1.0.0", OLD)


def test_another_group_is_handed_over_like_another_user(workspace: Workspace) -> None:
    workspace.sh(HOST, f"{FILL} groupadd --system staffers")
    template = workspace.folder / "worker.j2"
    template.write_text(
        "[Service]\nUser=tinyapp\nGroup=staffers\nStateDirectory=tinyapp\nRestart=on-failure\n"
        "EnvironmentFile={{ release.path }}/env/worker.env\nExecStart={{ service.exec_start }}\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
    services = {"worker": {**WORKER, "unit": "worker.j2"}}
    done = deploy(workspace, "2.0.0", services=services, health={"min_healthy": "1s"})
    assert done.status == 0, done.output
    assert workspace.sh(HOST, "find /var/lib/tinyapp ! -group staffers") == ""
    assert workspace.shipit("rollback").status == 0
    runs_as(workspace, "1.0.0", OLD)


def test_a_killed_handover_of_directories_is_undone(workspace: Workspace) -> None:
    workspace.sh(HOST, FILL)
    workspace.wheel("2.0.0")
    workspace.playbook("2.0.0", services={"web": WEB, "worker": WORKER}, health=HEALTH, user=NEW)
    deploying = workspace.start("deploy", "--json")
    try:
        top = "stat -c %U /var/lib/tinyapp"
        until(lambda: workspace.sh(HOST, top) == NEW, lambda: workspace.sh(HOST, top), PATIENCE)
        workspace.sh(HOST, "systemctl kill --signal=KILL --kill-who=main shipit-tinyapp.service")
        assert OLD in workspace.sh(HOST, "find /var/lib/tinyapp -printf '%u\\n' | sort -u")
        done = ended(deploying)
    finally:
        stopped(deploying)
    assert done.status == 4, done.output
    runs_as(workspace, "1.0.0", OLD)


def test_the_former_user_gains_nothing_by_what_it_has_left_in_its_directories(
    workspace: Workspace,
) -> None:
    workspace.sh(HOST, PLANT)
    before = workspace.sh(HOST, TREASURE)
    try:
        for act in ("deploy", "rollback"):
            done = (
                deploy(workspace, "2.0.0", user=NEW) if act == "deploy" else workspace.shipit(act)
            )
            assert done.status == 0, done.output
            assert workspace.sh(HOST, TREASURE) == before, act
            user = NEW if act == "deploy" else OLD
            for top in ("/var/lib/tinyapp", "/opt/tinyapp/shared"):
                assert (
                    workspace.sh(HOST, f"stat -c '%U %a' {top}/id {top}")
                    == f"{user} 755\n{user} 755"
                )
    finally:
        workspace.sh(HOST, PULL)
