"""Names that the system or somebody else has on a host are refused, and what has them is untouched.

Played as an app whose name was chosen without a thought of what else lies on the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hosts.site import problems
from hosts.workspace import PORT, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shipit.lab.lab import Lab

HOST = "web1"
WEB = {"command": "tinyapp", "socket": PORT, "handover": "restart", "stop_timeout": "5s"}
WORKER = {"command": "tinyapp-worker", "stop_timeout": "5s"}
PACKAGED = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
# What systemd chowns, and what it knows of units: both as they were before. A login that has not
# quite ended has a scope.
LOOK = (
    "stat -c '%n %U:%G %a' /var/l*/* /var/cache/*; cat /etc/passwd /etc/group;"
    " systemctl list-unit-files --no-legend --no-pager | grep -v '^session-[0-9]*[.]scope '"
    " | tr -s ' '; ls -lR /etc/systemd/system"
)
UNITS = "systemctl show -p Id,LoadState,ActiveState,UnitFileState,FragmentPath,MainPID"


@pytest.fixture(scope="module")
def workspace(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    lab.reset(HOST)
    workspace = Workspace.set(tmp_path_factory.mktemp("names"), lab, [HOST])
    workspace.wheel("1.0.0")
    return workspace


@pytest.fixture
def names(workspace: Workspace) -> Iterator[Workspace]:
    yield workspace
    workspace.lab.reset(HOST)


def refuses(
    workspace: Workspace,
    code: str,
    says: Sequence[str],
    units: str = "",
    **changes: Any,  # noqa: ANN401 - keys of a playbook
) -> None:
    """Have plan and deploy refuse a playbook; nothing that was there before has changed."""
    # The plan makes what is made once: the agent, its caches.
    workspace.playbook(health=[], **changes)
    plan = workspace.shipit("plan", "--json")
    look = f"{LOOK}; {UNITS} {units}" if units else LOOK
    before = workspace.sh(HOST, look)
    done = workspace.shipit("deploy", "--json")
    assert workspace.sh(HOST, look) == before
    assert done.status == 3, done.output
    (reported,) = problems(done)
    assert reported["code"] == code, done.output
    for word in says:
        assert word in reported["what"] + reported["hint"], reported
        assert word in plan.output
    assert workspace.sh(HOST, "ls -A /opt/* 2>/dev/null || true").split() in ([], ["ledger.jsonl"])


@pytest.mark.parametrize(
    ("app", "path"),
    [("journal", "/var/log/journal"), ("apt", "/var/lib/apt"), ("dpkg", "/var/lib/dpkg")],
)
def test_a_directory_of_the_system_does_not_become_an_apps(
    names: Workspace, app: str, path: str
) -> None:
    names.sh(HOST, f"mkdir -p {path} && touch {path}/something")
    says = [path, "belongs to root", "another name", "chown -R"]
    refuses(names, "directory-taken", says, app=app, services={"web": WEB})


def test_a_directory_that_holds_another_accounts_data_does_not_become_an_apps(
    names: Workspace,
) -> None:
    names.sh(HOST, "useradd --system vendor && install -d -o vendor /var/cache/tiny")
    names.sh(HOST, "install -o vendor /dev/null /var/cache/tiny/theirs")
    says = ["/var/cache/tiny belongs to vendor", "CacheDirectory=tiny", "tiny-web.service"]
    refuses(names, "directory-taken", says, app="tiny", services={"web": WEB})


def test_a_directory_that_the_hardening_names_is_looked_at_too(names: Workspace) -> None:
    web = {**WEB, "hardening": {"LogsDirectory": "journal"}}
    names.sh(HOST, "mkdir -p /var/log/journal && touch /var/log/journal/something")
    refuses(names, "directory-taken", ["LogsDirectory=journal"], services={"web": web})


def test_an_empty_directory_and_one_that_was_given_to_the_apps_user_are_taken(
    names: Workspace,
) -> None:
    names.sh(HOST, "useradd --system --comment ours tinyapp && mkdir -p /var/cache/tinyapp")
    names.sh(HOST, "mkdir -p /var/lib/tinyapp && touch /var/lib/tinyapp/data")
    names.sh(HOST, "chown -R tinyapp: /var/lib/tinyapp")
    names.playbook(user="tinyapp")
    done = names.shipit("deploy")
    assert done.status == 0, done.output
    assert names.sh(HOST, "stat -c %U /var/cache/tinyapp /var/lib/tinyapp/data").split() == [
        "tinyapp",
        "tinyapp",
    ]
    names.wheel("1.0.1")
    names.playbook("1.0.1", user="tinyapp")
    done = names.shipit("deploy")
    assert done.status == 0, done.output


@pytest.mark.parametrize(
    ("folder", "files"),
    [
        ("/lib/systemd/system", ["redis-server.service"]),
        ("/etc/systemd/system", ["redis-server.service"]),
        ("/run/systemd/system", ["redis-server.service"]),
        ("/lib/systemd/system", ["redis-server.timer", "redis-server.service"]),
    ],
)
def test_a_unit_of_the_distribution_stays_as_it_is(
    names: Workspace, folder: str, files: list[str]
) -> None:
    """The packaged redis-server was replaced, and left stopped and disabled by a failed gate."""
    for file in files:
        text = PACKAGED if file.endswith(".service") else "[Timer]\nOnCalendar=daily\n"
        names.sh(HOST, f"mkdir -p {folder} && printf '{text}' > {folder}/{file}")
    names.sh(HOST, "systemctl daemon-reload && systemctl start redis-server.service")
    if folder != "/run/systemd/system":
        names.sh(HOST, "systemctl enable -q redis-server.service")
    services = {"server": {"command": "/bin/false", "stop_timeout": "5s"}}
    says = [f"{folder}/redis-server.service", "not installed by shipit", "another name"]
    units = "redis-server.service"
    refuses(names, "unit-taken", says, units, app="redis", services=services)


def test_an_instance_of_a_packaged_template_is_refused(names: Workspace) -> None:
    path = "/lib/systemd/system/tiny-web@.service"
    names.sh(HOST, f"printf '{PACKAGED}' > {path}; systemctl daemon-reload")
    web = {**WEB, "handover": "overlap"}
    refuses(names, "unit-taken", [path], app="tiny", services={"web": web})


def test_a_packaged_socket_does_not_start_an_apps_service(names: Workspace) -> None:
    path = "/lib/systemd/system/tiny-job.path"
    names.sh(HOST, f"printf '[Path]\\nPathExists=/etc/passwd\\n' > {path}; systemctl daemon-reload")
    refuses(names, "unit-taken", [path], app="tiny", services={"job": WORKER})


def test_an_alias_is_a_unit_of_that_name(names: Workspace) -> None:
    at = "/lib/systemd/system"
    names.sh(HOST, f"printf '{PACKAGED}' > {at}/real.service")
    names.sh(HOST, f"ln -s real.service {at}/tiny-job.service; systemctl daemon-reload")
    refuses(names, "unit-taken", [f"{at}/"], app="tiny", services={"job": WORKER})


def test_a_unit_of_another_app_names_that_app(names: Workspace) -> None:
    names.playbook(app="tiny", services={"web-job": WORKER}, health=[])
    done = names.shipit("deploy")
    assert done.status == 0, done.output
    names.playbook(app="tiny-web", services={"job": WORKER}, health=[])
    (reported,) = problems(names.shipit("deploy", "--json"))
    assert (reported["code"], "belongs to the app tiny" in reported["what"]) == (
        "unit-taken",
        True,
    ), reported


def test_the_account_of_something_else_is_an_apps_only_where_the_playbook_says_so(
    names: Workspace,
) -> None:
    says = ["the account games", "was there before the app", "`user: games`"]
    refuses(names, "user-taken", says, app="games", services={"job": WORKER})
    names.playbook(app="games", user="games", services={"job": WORKER}, health=[])
    done = names.shipit("deploy")
    assert done.status == 0, done.output
    assert names.sh(HOST, "ps -o user= -C tinyapp-worker || ps axo user,args | grep [w]orker")


def test_a_group_with_rights_does_not_become_an_apps(names: Workspace) -> None:
    """Before, useradd made the services' user a member of sudo."""
    says = ["a group sudo", "useradd --system --gid sudo sudo"]
    refuses(names, "group-taken", says, app="sudo", services={"job": WORKER})
