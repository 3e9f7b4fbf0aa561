"""Playbooks are read strictly, and every mistake is reported at its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from project import TESTS
from shipit.agent.protocol import codec, messages
from shipit.errors import InputError
from shipit.playbook import reader
from shipit.playbook.fields import TEMPLATES
from shipit.playbook.project import Python

if TYPE_CHECKING:
    from shipit.playbook.models import Deployment

MISTAKES = TESTS / "mistakes"
BASE = """\
app: demoapp
hosts: web
wheel: app.whl
lock: lock.txt
wheelhouse: wheels
services: {web: {command: serve}}
"""
FULL = """\
name: Ship the demo service
hosts: web:&eu
app: demoapp
wheel: app.whl
lock: lock.txt
wheelhouse: wheels/
python: ">=3.11, <3.14"
installer: pip
root: /srv/demo/
user: demo
keep_releases: 3
vars: {port: 8000}
env: {PORT: "8000", WORKERS: 4}
secrets: {DATABASE_URL: "env:  PROD", KEY: file:key.pem, TOKEN: command:pass show token}
files:
  - {src: lock.txt, dest: conf/app.ini, mode: "0640"}
services:
  web:
    command: >
      uvicorn demoapp.main:app
      --fd 3
    socket: 8000
    handover: restart
    stop_timeout: 1.5
    env: {A: b}
    hardening: {PrivateTmp: false, UMask: "0022"}
    unit: lock.txt
  worker: {command: /usr/bin/env worker, restart: no, stop_timeout: 5m}
  nightly: {command: report, timer: "*-*-* 03:00:00"}
smoke: demoapp --version
health:
  checks:
    - {http: "http://127.0.0.1:8000/healthz", status: 204, json: {v: {a: 1}}, body: ok, timeout: 2s}
    - {tcp: 8000}
    - {tcp: "[::1]:8000"}
    - {unix: /run/x.sock}
    - {unix: "/run/x.sock:/healthz", status: 204, json: {v: 1}}
    - {command: "demoapp check 'a b'"}
    - {unit: worker}
  interval: 100ms
  deadline: 2m
  min_healthy: 5
serial: [1, "25%", "100%"]
max_fail_percentage: 10%
confirm_timeout: 1h
"""


@pytest.fixture
def playbook(tmp_path: Path) -> Path:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "app.whl").touch()
    (tmp_path / "lock.txt").touch()
    return tmp_path / "playbook.yaml"


def typed(playbook: Path, text: str, **changed: object) -> Deployment:
    playbook.write_text(text)
    draft = reader.read(playbook)[0]
    return reader.typed(draft, {**draft.values, **changed})


def refused(playbook: Path, text: str) -> str:
    playbook.write_text(text)
    with pytest.raises(InputError) as caught:
        reader.read(playbook)
    return str(caught.value).replace(str(playbook), "playbook.yaml")


@pytest.mark.parametrize("name", sorted(path.stem for path in MISTAKES.glob("*.yaml")))
def test_a_mistake_is_reported_with_place_expectation_and_advice(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(MISTAKES)
    with pytest.raises(InputError) as caught:
        reader.read(Path(f"{name}.yaml"))
    assert str(caught.value) == Path(f"{name}.txt").read_text().rstrip("\n")


def test_no_mistake_repeats_what_stands_below_secrets() -> None:
    assert "hunter2" in (MISTAKES / "environment.yaml").read_text()
    assert "hunter2" not in (MISTAKES / "environment.txt").read_text()


def test_no_mistake_repeats_the_credentials_in_a_header() -> None:
    assert "hunter2" in (MISTAKES / "check-headers.yaml").read_text()
    assert "hunter2" not in (MISTAKES / "check-headers.txt").read_text()


def test_a_whole_playbook_becomes_typed_values(playbook: Path) -> None:
    found = typed(playbook, FULL)
    folder = playbook.parent
    assert (found.name, found.hosts, found.app) == ("Ship the demo service", "web:&eu", "demoapp")
    assert (found.wheel, found.wheelhouse) == (folder / "app.whl", folder / "wheels")
    assert found.python == Python(version=">=3.11,<3.14")
    assert (found.installer, found.root) == ("pip", "/srv/demo")
    assert found.env == {"PORT": "8000", "WORKERS": "4"}
    assert found.secrets["DATABASE_URL"] == "env:PROD"
    assert [(file.dest, file.mode) for file in found.files] == [("conf/app.ini", 0o640)]
    web, worker, nightly = found.services.values()
    assert web.command == "uvicorn demoapp.main:app --fd 3"
    assert (web.socket, web.stop_timeout, web.unit) == ("8000", 1.5, folder / "lock.txt")
    assert web.hardening == {"PrivateTmp": False, "UMask": "0022"}
    assert (worker.restart, worker.stop_timeout, worker.is_job) == ("no", 300.0, False)
    assert nightly.is_job
    health = found.health
    assert (health.interval, health.deadline, health.min_healthy) == (0.1, 120.0, 5.0)
    kinds = ["http", "tcp", "tcp", "unix", "unix", "command", "unit"]
    assert [check.kind for check in health.checks] == kinds
    assert health.checks[0].json_fields == {"v": {"a": 1}}
    assert [check.tcp for check in health.checks[1:3]] == ["127.0.0.1:8000", "[::1]:8000"]
    assert found.serial == (1, "25%", "100%")
    assert (found.max_fail_percentage, found.confirm_timeout) == (10.0, 3600.0)


def test_a_check_may_ask_for_another_host_and_send_headers(playbook: Path) -> None:
    check = (
        "{http: 'http://127.0.0.1/', host: a.example, headers: {X-Forwarded-Proto: https, N: 1}}"
    )
    found = typed(playbook, BASE + f"health: [{check}]\n").health.checks[0]
    assert found.sent == {"X-Forwarded-Proto": "https", "N": "1", "Host": "a.example"}


def test_only_hosts_app_an_artifact_and_a_service_are_required(playbook: Path) -> None:
    found = typed(playbook, BASE)
    assert (found.name, found.root, found.user) == ("demoapp", "/opt/demoapp", "demoapp")
    assert found.python == Python()
    assert (found.installer, found.smoke, found.keep_releases) == (None, "", 5)
    assert found.health.checks == ()
    assert (found.health.deadline, found.health.min_healthy) == (60.0, 1.0)
    assert (found.serial, found.max_fail_percentage) == (("100%",), 0.0)


def test_a_list_of_checks_is_short_for_health(playbook: Path) -> None:
    found = typed(playbook, BASE + "health: [{tcp: 80}]\n")
    assert [check.tcp for check in found.health.checks] == ["127.0.0.1:80"]


@pytest.mark.parametrize(
    ("written", "serial"),
    [("3", (3,)), ("'3'", (3,)), ("'25%'", ("25%",)), ("[1, '12.5%']", (1, "12.5%"))],
)
def test_serial_is_a_number_a_percentage_or_a_list(
    playbook: Path, written: str, serial: tuple[object, ...]
) -> None:
    assert typed(playbook, BASE + f"serial: {written}\n").serial == serial


@pytest.mark.parametrize(
    "address", ["80", "127.0.0.1:80", "[::1]:80", "0.0.0.0:65535", "/run/a/b.sock"]
)
def test_a_socket_is_what_systemd_listens_to(playbook: Path, address: str) -> None:
    services = {"web": {"command": "serve", "socket": address}}
    assert typed(playbook, BASE, services=services).services["web"].socket == address


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"socket_mode": 0o660},
            'expected a mode in quotes, such as "0640" (without them YAML',
        ),
        ({"socket_mode": "0888"}, "expected an octal mode in quotes"),
        ({"socket_mode": "1660"}, "expected an octal mode in quotes"),
        ({"socket_user": "a b"}, "expected the name of a system user"),
        ({"socket_group": "a\nSocketMode=0666"}, "expected the name of a system group"),
        ({"socket": 80, "socket_mode": "0660"}, "`socket_mode` belongs to a unix socket"),
        ({"socket": "", "socket_group": "www-data"}, "`socket_group` belongs to a unix socket"),
    ],
)
def test_what_is_wrong_with_the_owner_of_a_socket_is_reported(
    playbook: Path, keys: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError) as caught:
        typed(playbook, BASE, services={"web": {"command": "serve", "socket": "/run/a", **keys}})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "service",
    [
        {"command": "serve \\"},
        {"command": "serve \x1b"},
        {"command": "job", "timer": "daily\nUser=root"},
        {"command": "job", "timer": "daily \\"},
        {"command": "serve", "hardening": {"UMask": "0022\\"}},
        {"command": "serve", "hardening": {"UMask": "0022\nUser=root"}},
    ],
)
def test_nothing_can_break_out_of_its_line_of_a_unit(
    playbook: Path, service: dict[str, object]
) -> None:
    with pytest.raises(InputError, match=r"services\.web\."):
        typed(playbook, BASE, services={"web": service})


@pytest.mark.parametrize("root", ["/opt/a", "/srv/x/y/", "/home/me/app", "/usr/local/a", "/data"])
def test_a_root_may_lie_below_shared_directories(playbook: Path, root: str) -> None:
    assert typed(playbook, BASE, root=root).root == root.rstrip("/")


@pytest.mark.parametrize(
    "root",
    [
        *("/", "//", "/opt", "/opt/", "/opt/./", "/opt/../etc", "/etc", "/usr/lib/x", "/tmp/x"),
        *("/var/lib/shipit", "/var/lib/shipit/x", "/root/app", "relative", "", "/opt/a b", "/a%i"),
    ],
)
def test_a_root_of_the_system_is_refused(playbook: Path, root: str) -> None:
    with pytest.raises(InputError, match="root: expected"):
        typed(playbook, BASE, root=root)


def test_values_with_templates_wait_until_they_are_rendered(playbook: Path) -> None:
    playbook.write_text(
        BASE.replace("app.whl", "app-{{ version }}.whl")
        + 'keep_releases: "{{ keep }}"\nserial: [1, "{{ n }}"]\nhealth: "{{ health }}"\n'
        + 'confirm_timeout: "{% if a %}1s{% endif %}"\nfiles: [{src: "{{ a }}", dest: "{{ b }}"}]\n'
    )
    draft = reader.read(playbook)[0]
    with pytest.raises(InputError) as caught:
        reader.typed(draft, {**draft.values, "keep_releases": "many"})
    # A value that is still a template now is wrong, and reported at its place in the draft.
    places = [(m.place.line, m.place.column) for m in caught.value.mistakes if m.place]
    assert places == [(3, 8), (7, 16), (8, 9), (9, 9), (10, 18), (11, 15)]


def test_what_is_wrong_beside_templates_is_reported_at_once(playbook: Path) -> None:
    said = refused(
        playbook, BASE + 'keep_releases: "{{ keep }}"\nhealth: [{tcp: "{{ a }}", x: 1}]\n'
    )
    assert said.startswith("playbook.yaml:8:27: unknown key 'x' in health[0]")
    assert said.count("[playbook-") == 1


def test_a_rendered_value_that_looks_like_a_template_is_still_refused(playbook: Path) -> None:
    with pytest.raises(InputError, match="keep_releases: expected"):
        typed(playbook, BASE, keep_releases="{{ literal }}")


def test_a_list_holds_several_deployments(playbook: Path) -> None:
    item = "- " + BASE.replace("\n", "\n  ").rstrip() + "\n"
    playbook.write_text(item + item.replace("demoapp", "other").replace("web\n", "db\n", 1))
    drafts = reader.read(playbook)
    assert [draft.name for draft in drafts] == ["demoapp", "other"]
    assert [draft.hosts for draft in drafts] == ["web", "db"]
    place = drafts[1].place(("services", "web", "command"))
    assert (place.line, place.column) == (12, 29)
    assert drafts[0].folder == playbook.parent


@pytest.mark.parametrize(
    ("written", "files"),
    [
        ("lock.txt", [("lock.txt", ())]),
        ("{path: lock.txt, public: [PORT]}", [("lock.txt", ("PORT",))]),
        ("[app.whl, {path: ./lock.txt}]", [("app.whl", ()), ("lock.txt", ())]),
        ("[]", []),
    ],
)
def test_an_env_file_is_a_path_a_mapping_or_a_list_of_these(
    playbook: Path, written: str, files: list[tuple[str, tuple[str, ...]]]
) -> None:
    found = typed(playbook, BASE + f"env_file: {written}\n")
    wanted = [(playbook.parent / name, public) for name, public in files]
    assert [(file.path, file.public) for file in found.env_file] == wanted


def test_a_mistake_in_what_a_template_became_is_named_as_that_reads(playbook: Path) -> None:
    playbook.write_text(BASE + 'env_file: "{{ files }}"\n')
    (draft,) = reader.read(playbook)
    for files, name in (("x", "env_file"), (["lock.txt", {"path": "x"}], "env_file[1].path")):
        with pytest.raises(InputError) as caught:
            reader.typed(draft, {**draft.values, "env_file": files})
        assert f":7:11: {name}: expected a file that exists" in str(caught.value)


def test_files_need_not_be_there_for_what_needs_none(tmp_path: Path) -> None:
    playbook = tmp_path / "playbook.yaml"
    playbook.write_text(BASE)
    with pytest.raises(InputError, match="a file that exists"):
        reader.read(playbook)
    draft = reader.read(playbook, must_exist=())[0]
    assert reader.typed(draft, draft.values).wheel == tmp_path / "app.whl"


def test_only_the_files_of_some_keys_may_be_needed(tmp_path: Path) -> None:
    playbook = tmp_path / "playbook.yaml"
    playbook.write_text(BASE + "files: [{src: none.j2, dest: a.ini}]\n")
    with pytest.raises(InputError) as caught:
        reader.read(playbook, must_exist=TEMPLATES)
    (mistake,) = caught.value.mistakes
    assert mistake.what.startswith("files[0].src: expected a file that exists")


def test_a_missing_playbook_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        reader.read(tmp_path / "none.yaml")


def test_a_deployment_cannot_be_changed(playbook: Path) -> None:
    found = typed(playbook, BASE)
    with pytest.raises(ValueError, match="frozen"):
        found.app = "other"


# --- the JSON Schema ---------------------------------------------------------------------------


def definitions() -> dict[str, Any]:
    found: dict[str, Any] = reader.schema()["$defs"]
    return found


def test_the_schema_is_json_and_takes_a_mapping_or_a_list() -> None:
    schema = json.loads(json.dumps(reader.schema()))
    one, many = schema["anyOf"]
    assert one["$ref"] == many["items"]["$ref"] == "#/$defs/Deployment"


def test_every_key_has_a_description_and_an_example() -> None:
    keys = [
        (name, key, found)
        for name, d in definitions().items()
        for key, found in d["properties"].items()
    ]
    assert len(keys) > 40
    assert [key for *key, found in keys if not found.get("description")] == []
    assert [key for *key, found in keys if not found.get("examples")] == []


def test_the_schema_refuses_unknown_keys_and_names_the_required_ones() -> None:
    assert all(found["additionalProperties"] is False for found in definitions().values())
    required = ["app", "hosts", "services"]
    assert definitions()["Deployment"]["required"] == required


@pytest.mark.parametrize("key", ["project", "bundle", "python"])
def test_the_schema_takes_a_short_form_or_a_mapping(key: str) -> None:
    found = definitions()["Deployment"]["properties"][key]
    (short, mapping), template = found["anyOf"][0]["anyOf"], found["anyOf"][1]
    assert (short, list(mapping)) == ({"type": "string"}, ["$ref"])
    assert template["type"] == "string"


@pytest.mark.parametrize(
    ("written", "version"),
    [
        ('"3.13"', "==3.13.*"),
        ('"3.13.1"', "==3.13.1"),
        ('">=3.11, <3.14"', ">=3.11,<3.14"),
        ('{version: "3.13", source: bundle}', "==3.13.*"),
    ],
)
def test_a_version_without_a_patch_means_all_of_its_patches(
    playbook: Path, written: str, version: str
) -> None:
    python = typed(playbook, BASE + f"python: {written}\n").python
    assert (python.version, python.is_brought) == (version, "bundle" in written)


def test_every_example_is_good(playbook: Path) -> None:
    # Examples of files name files that aren't there: what is looked at is the rest.
    playbook.write_text(BASE)
    draft = reader.read(playbook, must_exist=())[0]
    for key, found in definitions()["Deployment"]["properties"].items():
        for example in found["examples"]:
            others = {name: value for name, value in draft.values.items() if name != "wheel"}
            values = others if key in ("project", "bundle") else draft.values
            reader.typed(draft, {**values, key: example})
    for key, found in definitions()["Service"]["properties"].items():
        for example in found["examples"]:
            service = {"command": "x", key: example} if key != "serve" else {key: example}
            if key.startswith("socket_"):
                service["socket"] = "/run/a.sock"
            reader.typed(draft, {**draft.values, "services": {"a": service}})


PROJECT = "app: a\nhosts: web\nservices: {web: {command: x}}\nproject: "


def test_a_project_is_a_path_or_a_mapping(playbook: Path) -> None:
    for written, groups in ((".", ()), ('{path: ".", groups: [prod]}', ("prod",))):
        playbook.write_text(PROJECT + written)
        draft = reader.read(playbook)[0]
        project = reader.typed(draft, draft.values).project
        assert project
        assert (project.path, project.groups) == (playbook.parent, groups)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"project", "wheel"}, "from a `project` or from a `wheel`, not from both"),
        ({"project", "bundle"}, "from a `project` or from a `bundle`, not from both"),
        (set[str](), "the key 'project' is missing"),
        ({"wheel", "lock"}, "the key 'wheelhouse' is missing"),
        ({"wheel", "wheelhouse"}, "the key 'lock' is missing"),
        ({"lock"}, "the key 'wheel' is missing"),
    ],
)
def test_a_release_has_one_source(playbook: Path, keys: set[str], said: str) -> None:
    values = {"project": ".", "bundle": "a", "wheel": "a", "lock": "a", "wheelhouse": "."}
    text = PROJECT.rpartition("project")[0]
    text += "".join(f"{key}: {value}\n" for key, value in values.items() if key in keys)
    (playbook.parent / "a").write_text("")
    assert said in refused(playbook, text)


@pytest.mark.parametrize("name", ["shipit", "shipit-foo", "shipit-recover"])
def test_an_app_has_no_name_that_drives_another_app(playbook: Path, name: str) -> None:
    """App `shipit-foo` with service `bar` has the unit that drives the deploys of `foo-bar`."""
    said = refused(playbook, FULL.replace("app: demoapp", f"app: {name}"))
    assert "expected another name" in said
    with pytest.raises(ValueError, match="app can't be"):
        codec.from_json(messages.Hello, {"app": name, "root": "/opt/x"})
    assert codec.from_json(messages.Hello, {"app": "shipitfoo", "root": "/x"}).app == "shipitfoo"
