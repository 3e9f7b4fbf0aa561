"""The next release runs as another user: whose the directories are, at each moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hosts.scene import PORT, Scene, stopped
from patience import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosts.scene import Done
    from shipit.lab.lab import Lab

HOST = "web1"
OLD, NEW = "tinyapp", "other"
HTTP = f"http://127.0.0.1:{PORT}/healthz"
HEALTH: dict[str, Any] = {"checks": [{"http": HTTP}], "min_healthy": "300ms", "deadline": "60s"}
TAKEN_BACK = {**HEALTH, "checks": [{"http": HTTP}, {"command": "/bin/false"}], "deadline": "3s"}
OWN = "/var/lib/tinyapp /var/cache/tinyapp /var/log/tinyapp /run/tinyapp-web /opt/tinyapp/shared"
LOOK = f"find {OWN} -printf '%p %u:%g %m %n\\n' | sort"
WEB: dict[str, Any] = {"command": "tinyapp", "socket": PORT, "stop_timeout": "5s"}
WORKER: dict[str, Any] = {"command": "tinyapp-worker", "stop_timeout": "5s"}
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
def scene(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Give a host that serves 1.0.0 as a user of the app's name."""
    lab.reset(HOST)
    scene = Scene.set(tmp_path_factory.mktemp("user"), lab, [HOST])
    done = deploy(scene, "1.0.0")
    assert done.status == 0, done.said
    yield scene
    assert scene.sh(HOST, "ls /run/systemd/system") == ""  # nothing is left of any trial


def deploy(scene: Scene, version: str, fault: str = "", **changes: Any) -> Done:  # noqa: ANN401 - as in a playbook
    return scene.deploy(
        version,
        "--json",
        fault=fault,
        **{"services": {"web": WEB, "worker": WORKER}, "health": HEALTH, **changes},
    )


def look(scene: Scene) -> str:
    return scene.sh(HOST, LOOK)


def strangers(scene: Scene, user: str) -> str:
    """Return what in the app's directories is not this user's."""
    return scene.sh(HOST, f"find {OWN} ! -user {user} -o ! -group {user}")


def runs_as(scene: Scene, version: str, user: str) -> None:
    """Prove that a release serves and works as this user, whose all directories are."""
    assert scene.serves(HOST)["version"] == version
    assert strangers(scene, user) == ""
    beat = "cat /var/lib/tinyapp/heartbeat"
    until(lambda: scene.sh(HOST, beat).startswith(version), lambda: scene.sh(HOST, beat), PATIENCE)
    users = "systemctl list-units --plain --no-legend --state=running 'tinyapp-*.service'"
    pids = f"{users} | awk '{{print $1}}' | xargs systemctl show -p MainPID --value"
    assert set(scene.sh(HOST, f"{pids} | grep . | xargs ps -o user= -p").split()) == {user}


def test_a_trial_as_another_user_that_fails_leaves_all_directories_as_they_were(
    scene: Scene,
) -> None:
    scene.sh(HOST, FILL)
    before = look(scene)
    done = deploy(scene, "2.0.0", "start", user=NEW)
    assert done.status == 3, done.said
    assert look(scene) == before
    runs_as(scene, "1.0.0", OLD)


def test_a_trial_as_another_user_has_empty_directories_at_the_same_paths(scene: Scene) -> None:
    scene.sh(HOST, FILL)
    tries = (
        'test -z "$(ls -A /var/lib/tinyapp)" && touch /var/lib/tinyapp/here'
        " && touch $STATE_DIRECTORY/there $LOGS_DIRECTORY/log $RUNTIME_DIRECTORY/run"
        " && ls -ld /var/lib/tinyapp >&2 && exit 3"
    )
    before = look(scene)
    web = {**WEB, "command": f"/bin/sh -c '{tries}'"}
    done = deploy(scene, "2.0.0", user=NEW, services={"web": web, "worker": WORKER})
    assert done.status == 3, done.said
    assert f"{NEW} {NEW}" in done.said
    assert look(scene) == before


def test_a_deploy_hands_all_directories_over_and_a_rollback_gives_them_back(scene: Scene) -> None:
    scene.sh(HOST, FILL)
    for version, user in (("2.0.0", NEW), ("3.0.0", "third")):
        done = deploy(scene, version, user=user)
        assert done.status == 0, done.said
        runs_as(scene, version, user)
    assert scene.shipit("rollback", "--to", "1.0.0").status == 0
    runs_as(scene, "1.0.0", OLD)


def test_a_gate_that_fails_gives_all_directories_back(scene: Scene) -> None:
    scene.sh(HOST, FILL)
    done = deploy(scene, "2.0.0", user=NEW, health=TAKEN_BACK)
    assert done.status == 4, done.said
    runs_as(scene, "1.0.0", OLD)


def test_another_group_is_handed_over_like_another_user(scene: Scene) -> None:
    scene.sh(HOST, f"{FILL} groupadd --system staffers")
    template = scene.folder / "worker.j2"
    template.write_text(
        "[Service]\nUser=tinyapp\nGroup=staffers\nStateDirectory=tinyapp\nRestart=on-failure\n"
        "EnvironmentFile={{ release.path }}/env/worker.env\nExecStart={{ service.exec_start }}\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
    services = {"worker": {**WORKER, "unit": "worker.j2"}}
    done = deploy(scene, "2.0.0", services=services, health={"min_healthy": "1s"})
    assert done.status == 0, done.said
    assert scene.sh(HOST, "find /var/lib/tinyapp ! -group staffers") == ""
    assert scene.shipit("rollback").status == 0
    runs_as(scene, "1.0.0", OLD)


def test_a_killed_handover_of_directories_is_undone(scene: Scene) -> None:
    scene.sh(HOST, FILL)
    scene.wheel("2.0.0")
    scene.playbook("2.0.0", services={"web": WEB, "worker": WORKER}, health=HEALTH, user=NEW)
    deploying = scene.start("deploy", "--json")
    try:
        top = "stat -c %U /var/lib/tinyapp"
        until(lambda: scene.sh(HOST, top) == NEW, lambda: scene.sh(HOST, top), PATIENCE)
        scene.sh(HOST, "systemctl kill --signal=KILL --kill-who=main shipit-tinyapp.service")
        assert OLD in scene.sh(HOST, "find /var/lib/tinyapp -printf '%u\\n' | sort -u")
        out, err = deploying.communicate(timeout=PATIENCE)
    finally:
        stopped(deploying)
    assert deploying.returncode == 4, out + err
    runs_as(scene, "1.0.0", OLD)


def test_the_former_user_gains_nothing_by_what_it_has_left_in_its_directories(
    scene: Scene,
) -> None:
    scene.sh(HOST, PLANT)
    before = scene.sh(HOST, TREASURE)
    try:
        for act in ("deploy", "rollback"):
            done = deploy(scene, "2.0.0", user=NEW) if act == "deploy" else scene.shipit(act)
            assert done.status == 0, done.said
            assert scene.sh(HOST, TREASURE) == before, act
            user = NEW if act == "deploy" else OLD
            for top in ("/var/lib/tinyapp", "/opt/tinyapp/shared"):
                assert (
                    scene.sh(HOST, f"stat -c '%U %a' {top}/id {top}") == f"{user} 755\n{user} 755"
                )
    finally:
        scene.sh(HOST, PULL)
