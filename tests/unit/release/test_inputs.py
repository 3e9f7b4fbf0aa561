"""All input is checked before any host is queried."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from shipit.commands import doctor
from shipit.errors import InputError
from shipit.playbook.fields import EVERY_FILE
from shipit.release.inputs import RunOptions, resolve, secrets_at_hand, targets
from shipit.secrets import Secret

INVENTORY = {
    "all": {
        "children": {
            "web": {"hosts": {"web1": None, "web2": None}},
            "batch": {"hosts": {"web2": {"place": "/opt/one/b"}, "batch1": None}},
        }
    }
}


def run(folder: Path, *deployments: dict[str, object]) -> RunOptions:
    (folder / "inventory.yaml").write_text(yaml.safe_dump(INVENTORY))
    usual = {"wheel": "a-1-py3-none-any.whl", "lock": "lock.txt", "wheelhouse": "wheels"}
    services = {"web": {"command": "x"}}
    made = [{**usual, "services": services, **each} for each in deployments]
    (folder / "playbook.yaml").write_text(yaml.safe_dump(made, sort_keys=False))
    return RunOptions(folder / "playbook.yaml", (folder / "inventory.yaml",))


@pytest.mark.parametrize(
    "other",
    [
        {"app": "two", "root": "/opt/one"},
        {"app": "two", "root": "/opt/one/inside"},
        {"app": "two", "root": "{{ place }}", "hosts": "web2"},
        {"app": "one"},
    ],
)
def test_two_deployments_in_one_root_of_a_host_are_refused(
    tmp_path: Path, other: dict[str, object]
) -> None:
    wanted = run(tmp_path, {"app": "one", "hosts": "web"}, {"hosts": "batch", **other})
    with pytest.raises(InputError) as caught:
        targets(wanted)
    (mistake,) = caught.value.mistakes
    assert (mistake.code, mistake.hosts) == ("roots-meet", ("web2",))
    assert "/opt/one of one" in mistake.what
    assert mistake.place is not None
    assert mistake.place.line > 10  # of the second deployment


@pytest.mark.parametrize(
    "other",
    [
        {"app": "two", "hosts": "web"},
        {"app": "two", "hosts": "web", "root": "/opt/one-more"},
        {"app": "two", "hosts": "batch1", "root": "/opt/one"},
    ],
)
def test_roots_apart_or_on_hosts_apart_are_accepted(
    tmp_path: Path, other: dict[str, object]
) -> None:
    first, second = targets(run(tmp_path, {"app": "one", "hosts": "web"}, other))
    assert {target.deployment.app for target in (*first, *second)} == {"one", "two"}


@pytest.mark.parametrize(
    ("one", "other", "unit"),
    [
        (("shop-web", "api"), ("shop", "web-api"), "shop-web-api.service"),
        (("shop", "web"), ("shop", "web"), "shop-web.service"),
    ],
)
def test_two_deployments_with_one_unit_on_a_host_are_refused(
    tmp_path: Path, one: tuple[str, str], other: tuple[str, str], unit: str
) -> None:
    made: list[dict[str, object]] = [
        {"app": app, "hosts": hosts, "root": root, "services": {service: {"command": "x"}}}
        for (app, service), hosts, root in ((one, "web", "/opt/1"), (other, "batch", "/opt/2"))
    ]
    with pytest.raises(InputError) as caught:
        targets(run(tmp_path, *made))
    (mistake,) = caught.value.mistakes
    assert (mistake.code, mistake.hosts) == ("units-meet", ("web2",))
    assert unit in mistake.what


# --- env files ---------------------------------------------------------------------------------


def wanting(project: Path, **keys: object) -> RunOptions:
    services = {"web": {"command": "tinyapp"}, "worker": {"command": "tinyapp-worker"}}
    usual = {"app": "one", "hosts": "web", "wheel": "*.whl", "services": services}
    return run(project, {**usual, **keys})


SERVICES = {
    "web": {"command": "tinyapp"},
    "worker": {
        "command": "tinyapp-worker",
        "env_file": {"path": "worker.env", "public": ["THREE"]},
    },
}


def test_a_service_s_env_files_override_the_app_s_and_later_ones_earlier_ones(
    project: Path,
) -> None:
    (project / "common.env").write_text("ONE=common\nTWO=common\nTHREE=common\n")
    (project / "prod.env").write_text("TWO=prod\nTHREE=prod\n")
    (project / "worker.env").write_text("THREE=worker\n")
    wanted = wanting(project, env_file=["common.env", "prod.env"], services=SERVICES)
    (found,) = targets(wanted, must_exist=EVERY_FILE)
    web1, web2 = resolve(found)
    common = {"ONE": Secret("common"), "TWO": Secret("prod")}
    assert web1.from_files["web"] == {**common, "THREE": Secret("prod")}
    assert web1.from_files["worker"] == {**common, "THREE": "worker"}
    assert web2.from_files == web1.from_files
    assert set(web1.hidden()) == {Secret("common"), Secret("prod")}


def test_what_is_wrong_in_env_files_is_reported_once_with_all_else(project: Path) -> None:
    (project / "prod.env").write_text("A\nB=1\nB=2\n")
    (project / "worker.env").write_text("C=1\n")
    wanted = wanting(project, env_file="prod.env", services=SERVICES, secrets={"X": "file:none"})
    (found,) = targets(wanted, must_exist=EVERY_FILE)
    with pytest.raises(InputError) as caught:
        resolve(found)
    reported = [(mistake.code, mistake.place) for mistake in caught.value.mistakes]
    assert [code for code, _ in reported] == ["secret-missing", *["env-file"] * 3]
    places = [str(place).removeprefix(f"{project}/") for _, place in reported[1:]]
    assert places == ["prod.env:1", "prod.env:3", "worker.env"]


def test_a_look_at_logs_hides_what_env_files_hold_now(project: Path) -> None:
    (project / "worker.env").write_text("FOUR=hidden\nTHREE=shown\n")
    wanted = wanting(project, env_file="gone.env", services=SERVICES)
    (found,) = targets(wanted)
    assert secrets_at_hand(found, run_commands=False) == {Secret("hidden")}


@pytest.mark.parametrize(
    ("file", "folder", "public", "is_reported"),
    [
        (0o644, 0o755, [], True),
        (0o640, 0o755, [], False),
        (0o644, 0o700, [], False),
        (0o644, 0o755, ["PORT"], False),
    ],
)
def test_the_doctor_reports_an_env_file_that_every_user_can_read(
    project: Path, file: int, folder: int, public: list[str], is_reported: object
) -> None:
    with tempfile.TemporaryDirectory(prefix="my ") as name:  # pytest's own are closed to others
        path = Path(name).resolve() / "prod.env"
        path.write_text("PORT=8000\n")
        path.chmod(file)
        path.parent.chmod(folder)
        (found,) = targets(wanting(project, env_file={"path": str(path), "public": public}))
        reported = [it.mend for it in doctor.open_to_all(found)]
    assert reported == ([f"chmod 600 '{path}'"] if is_reported else [])


# --- canaries ----------------------------------------------------------------------------------


def test_a_canary_that_the_inventory_does_not_have_is_refused(tmp_path: Path) -> None:
    canary = {"hosts": ["web1", "wbe2", "batch"]}
    with pytest.raises(InputError) as caught:
        targets(run(tmp_path, {"app": "one", "hosts": "web", "canary": canary}))
    (mistake,) = caught.value.mistakes
    assert (mistake.code, mistake.hint) == ("unknown-canary", "did you mean 'web2'?")
    assert "wbe2" in mistake.what


def test_a_canary_may_be_left_out_by_a_limit(tmp_path: Path) -> None:
    wanted = run(tmp_path, {"app": "one", "hosts": "web", "canary": "web2"})
    ((target,),) = targets(replace(wanted, limit="web1"))
    assert target.deployment.canary
    assert target.deployment.canary.hosts == ("web2",)


def test_the_tokens_of_a_canary_are_read_and_hidden(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    query = {"prometheus": "http://prom:9090", "query": "up", "max": 1, "token": "env:TOKEN"}
    wanted = wanting(project, canary={"checks": [{"command": "./x.sh"}, query]})
    (target, _) = resolve(targets(wanted, must_exist=EVERY_FILE)[0])
    assert target.tokens == {1: Secret("hunter2")}
    assert Secret("hunter2") in list(target.hidden())
    monkeypatch.delenv("TOKEN")
    with pytest.raises(InputError, match="TOKEN"):
        resolve(targets(wanted, must_exist=EVERY_FILE)[0])
