"""What a unit on trial has in place of directories that are another user's."""

from __future__ import annotations

import grp
import pwd

import pytest

from shipit.agent.activation import trial_directories
from shipit.agent.protocol.rules import unit_text

UNIT = "app-web@trial.service"
NOBODY = pwd.getpwnam("nobody")
OWNER = NOBODY.pw_uid, NOBODY.pw_gid
ROOT = 0, 0
TEXT = "[Service]\nUser=nobody\nStateDirectory=app\nLogsDirectory=app\n[Install]\nWantedBy=x\n"


def on_trial(text: str, **present: tuple[int, int]) -> dict[str, list[str]]:
    """Return the settings of a unit where these directories exist."""
    folders = {"state": "/var/lib/app", "logs": "/var/log/app", "more": "/var/lib/more"}
    there = {folders[name]: owner for name, owner in present.items()}
    return unit_text.settings(trial_directories.text(UNIT, text, there.get), "Service")


@pytest.mark.parametrize("present", [{}, {"state": OWNER, "logs": OWNER}])
def test_a_unit_that_systemd_gives_nothing_of_another_s_stays_as_it_is(
    present: dict[str, tuple[int, int]],
) -> None:
    assert on_trial(TEXT, **present) == unit_text.settings(TEXT, "Service")


def test_what_is_another_user_s_is_hidden_behind_an_empty_directory_of_its_own() -> None:
    found = on_trial(TEXT, state=ROOT, logs=ROOT)
    assert found["StateDirectory"] == found["LogsDirectory"] == []
    options = f"mode=0755,uid={OWNER[0]},gid={OWNER[1]}"
    folders = ["/var/lib/app", "/var/log/app"]
    assert found["TemporaryFileSystem"] == [f"{folder}:{options}" for folder in folders]
    variables = ["STATE_DIRECTORY=/var/lib/app", "LOGS_DIRECTORY=/var/log/app"]
    assert found["Environment"] == variables


def test_what_is_nobody_else_s_is_left_to_systemd() -> None:
    text = TEXT.replace("StateDirectory=app", "StateDirectory=app more\nStateDirectoryMode=0700")
    found = on_trial(text, state=ROOT, more=OWNER)
    assert found["StateDirectory"] == ["more"]
    assert found["LogsDirectory"] == ["app"]
    assert found["Environment"] == ["STATE_DIRECTORY=/var/lib/app:/var/lib/more"]
    assert found["TemporaryFileSystem"][0].startswith("/var/lib/app:mode=0700,")


def test_another_group_alone_is_another_owner_too() -> None:
    group = next(each for each in grp.getgrall() if each.gr_gid != OWNER[1])
    text = TEXT.replace("User=nobody", f"User=nobody\nGroup={group.gr_name}")
    assert f"gid={group.gr_gid}" in on_trial(text, state=OWNER)["TemporaryFileSystem"][0]


def test_a_user_that_systemd_makes_up_takes_no_directory_that_is_there() -> None:
    text = TEXT.replace("User=nobody", "DynamicUser=yes")
    found = on_trial(text, state=(61234, 61234))
    assert found["TemporaryFileSystem"] == ["/var/lib/app:mode=0777"]
    assert found["StateDirectory"] == []
