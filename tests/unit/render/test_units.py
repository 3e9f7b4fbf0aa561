"""A playbook becomes the values, units, files and environment of one host."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from project import TESTS
from shipit.agent.protocol import manifest
from shipit.errors import InputError
from shipit.inventory.model import Host
from shipit.playbook import reader
from shipit.playbook.parsers import HARDENING
from shipit.render import commands
from shipit.render import units as rendering
from shipit.render.release_names import ReleaseNames
from shipit.secrets import Secret

if TYPE_CHECKING:
    from shipit.playbook.models import Deployment
    from shipit.render.units import ReleaseTexts

GOLDEN = TESTS / "golden_units"
RELEASE = ReleaseNames("1.4.0-3f9a2c1b", "1.4.0", "/opt/demoapp/releases/1.4.0-3f9a2c1b")
SENTINEL = "s3ntinel"
HEAD = """\
app: demoapp
hosts: web
wheel: app.whl
lock: app.whl
wheelhouse: .
"""
BASE = HEAD + "services: {web: {command: serve}}\n"
FULL = (
    HEAD
    + """\
vars: {port: 8000}
env: {PORT: "{{ port }}"}
secrets: {TOKEN: env:TOKEN}
services:
  nightly: {command: "demoapp-report --all 'two words'", timer: "*-*-* 03:00:00"}
  web:
    command: uvicorn demoapp.main:app --fd 3
    socket: "127.0.0.1:{{ port }}"
    hardening: {PrivateTmp: false, UMask: "0022"}
  worker: {command: /usr/bin/env worker, restart: always, stop_timeout: 5m, env: {PORT: "0"}}
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.whl").touch()
    return tmp_path


def host(**variables: object) -> Host:
    about = {"inventory_hostname": "web1", "group_names": ["eu", "web"]}
    return Host("web1", ("eu", "web"), {**about, **variables})


def rendered(folder: Path, text: str, where: Host | None = None, **extra: object) -> Deployment:
    (folder / "playbook.yaml").write_text(text)
    draft = reader.read(folder / "playbook.yaml")[0]
    return rendering.deployment(draft, where or host(), extra, RELEASE)


def texts(
    folder: Path, text: str, where: Host | None = None, release: ReleaseNames = RELEASE
) -> ReleaseTexts:
    wanted = rendered(folder, text, where)
    secrets = {key: Secret(SENTINEL) for key in wanted.secrets}
    return rendering.release_texts(wanted, where or host(), secrets, release)


def refused(folder: Path, text: str, where: Host | None = None, **extra: object) -> list[str]:
    try:
        wanted = rendered(folder, text, where, **extra)
        rendering.release_texts(wanted, where or host(), {}, RELEASE)
    except InputError as error:
        return [str(found).replace(f"{folder}/", "") for found in error.mistakes]
    pytest.fail("nothing was refused")


# --- values ------------------------------------------------------------------------------------


def test_variables_of_the_command_line_playbook_and_inventory_have_this_precedence(
    folder: Path,
) -> None:
    text = BASE + 'vars: {b: vars, c: vars}\nenv: {A: "{{ a }}", B: "{{ b }}", C: "{{ c }}"}\n'
    found = rendered(folder, text, host(a="inventory", b="inventory", c="inventory"), c="extra")
    assert found.env == {"A": "inventory", "B": "vars", "C": "extra"}


def test_templates_know_the_host_the_app_and_the_release(folder: Path) -> None:
    known = "{{ inventory_hostname }} {{ group_names | join('+') }} {{ app }} {{ root }} {{ user }}"
    text = BASE + f'env: {{A: "{known}", B: "{{{{ release.id }}}} {{{{ release.path }}}}"}}\n'
    found = rendered(folder, text)
    assert found.env["A"] == "web1 eu+web demoapp /opt/demoapp demoapp"
    assert found.env["B"] == f"{RELEASE.id} {RELEASE.path}"


def test_a_single_expression_keeps_its_type(folder: Path) -> None:
    text = (
        BASE
        + 'vars: {keep: 7, sizes: [1, "50%"], v: "1.10"}\nkeep_releases: "{{ keep }}"\n'
        + 'serial: "{{ sizes }}"\n'
        + 'health: [{http: "http://h/", json: {n: "{{ keep }}", v: "{{ v }}"}}]\n'
    )
    found = rendered(folder, text)
    assert (found.keep_releases, found.serial) == (7, (1, "50%"))
    assert found.health.checks[0].json_fields == {"n": 7, "v": "1.10"}


def test_variables_of_the_inventory_may_be_templates(folder: Path) -> None:
    text = BASE + 'env: {URL: "{{ url }}"}\nvars: {port: 1}\n'
    assert rendered(folder, text, host(url="h:{{ port }}")).env == {"URL": "h:1"}


def test_paths_may_hold_variables(folder: Path) -> None:
    (folder / "app-2.whl").touch()
    text = BASE.replace("wheel: app.whl", 'wheel: "app-{{ version }}.whl"')
    assert rendered(folder, text, version=2).wheel == folder / "app-2.whl"
    (said,) = refused(folder, text, version=3)
    expected = "wheel: expected a file that exists (looked for app-3.whl), got 'app-3.whl'"
    assert said.startswith(f"playbook.yaml:3:8: {expected} [playbook-value]\n")


def test_an_undefined_variable_is_reported_with_place_host_and_nearest_name(folder: Path) -> None:
    (said,) = refused(folder, BASE + 'vars: {port: 1}\nenv: {A: "{{ portt }}"}\n')
    assert said == (
        "playbook.yaml:8:10: the variable 'portt' is undefined, on web1 [template-undefined]\n"
        "  did you mean 'port'?"
    )


def test_a_fault_in_a_variable_is_reported_where_the_variable_is(folder: Path) -> None:
    text = BASE + 'vars: {a: "{{ b }}", b: "{{ nope }}"}\nroot: "{{ a }}"\n'
    (said,) = refused(folder, text)
    assert said == (
        "playbook.yaml:7:25: the variable 'nope' is undefined (in the variable 'b'), on web1"
        " [template-undefined]\n  set it in `vars:`, in the inventory or with -e"
    )


def test_a_fault_in_the_inventory_is_reported_where_it_is_used(folder: Path) -> None:
    (said,) = refused(folder, BASE + 'root: "{{ a }}"\n', host(a="{{ query('env', 'X') }}"))
    assert said.startswith("playbook.yaml:7:7: the variable 'query' is undefined (in the variable")


def test_all_faults_of_templates_are_reported_together(folder: Path) -> None:
    text = BASE + 'env: {A: "{{ x }}", B: "{{ y ", C: "{{ 1/0 }}"}\nsmoke: "{{ z }}"\n'
    codes = [re.findall(r"\[([a-z-]+)\]", said)[0] for said in refused(folder, text)]
    assert codes == [
        *("template-undefined", "template-syntax", "template-failed", "template-undefined")
    ]


def test_a_rendered_value_of_the_wrong_type_is_reported_where_its_template_is(folder: Path) -> None:
    text = BASE + 'vars: {n: many}\nkeep_releases: "{{ n }}"\n'
    (said,) = refused(folder, text)
    assert said.startswith("playbook.yaml:8:16: keep_releases: expected a whole number")


def test_a_circle_of_variables_is_reported(folder: Path) -> None:
    (said,) = refused(folder, BASE + 'vars: {a: "{{ b }}", b: "{{ a }}"}\nroot: "{{ a }}"\n')
    assert "a -> b -> a" in said


def test_reserved_names_cannot_be_set_by_the_command_line(folder: Path) -> None:
    (said,) = refused(folder, BASE, release="x")
    assert "-e can't set release" in said


# --- units -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.iterdir()))
def test_units_equal_their_golden_texts(folder: Path, name: str) -> None:
    path = f"trial/{name}" if "@trial" in name else f"units/{name}"
    assert texts(folder, FULL).texts[path] == (GOLDEN / name).read_text()


def test_every_unit_has_a_golden_text(folder: Path) -> None:
    names = {Path(path).name for path in texts(folder, FULL).texts}
    assert names == {path.name for path in GOLDEN.iterdir()}


@pytest.mark.parametrize(
    ("keys", "lines"),
    [
        ("", ["SocketMode=0660", "SocketUser=demoapp"]),
        (', socket_mode: "0666"', ["SocketMode=0666", "SocketUser=demoapp"]),
        (
            ", socket_user: root, socket_group: www-data",
            ["SocketMode=0660", "SocketUser=root", "SocketGroup=www-data"],
        ),
    ],
)
def test_a_unix_socket_is_open_to_its_owner_and_group_alone(
    folder: Path, keys: str, lines: list[str]
) -> None:
    text = HEAD + f"services: {{web: {{command: serve, socket: /run/a.sock{keys}}}}}\n"
    found = texts(folder, text).texts["units/demoapp-web.socket"].splitlines()
    assert [line for line in found if re.match(r"Socket\w+=", line)] == lines


def test_a_socket_of_the_network_has_no_owner(folder: Path) -> None:
    assert "SocketMode" not in texts(folder, FULL).texts["units/demoapp-web.socket"]


def test_units_are_in_the_order_of_their_start(folder: Path) -> None:
    found = texts(folder, FULL).units
    assert tuple(replace(unit, command=()) for unit in found) == (
        manifest.Unit("demoapp-web.socket", "web", True, False, 10.0, listen=("127.0.0.1:8000",)),
        manifest.Unit("demoapp-nightly.service", "nightly", False, False, 30.0),
        manifest.Unit(
            "demoapp-web@1.4.0-3f9a2c1b.service",
            "web",
            True,
            True,
            30.0,
            "overlap",
            "demoapp-web@trial.service",
        ),
        manifest.Unit("demoapp-worker.service", "worker", True, True, 300.0),
        manifest.Unit("demoapp-nightly.timer", "nightly", True, False, 10.0),
    )


def test_a_service_has_the_words_of_its_command_as_rendered(folder: Path) -> None:
    found = {unit.service: unit.command for unit in texts(folder, FULL).units if unit.command}
    bin_ = f"{RELEASE.path}/venv/bin"
    assert found == {
        "nightly": (f"{bin_}/demoapp-report", "--all", "two words"),
        "web": (f"{bin_}/uvicorn", "demoapp.main:app", "--fd", "3"),
        "worker": ("/usr/bin/env", "worker"),
    }


def test_the_command_of_a_custom_unit_is_the_one_in_its_text(folder: Path) -> None:
    (folder / "own.j2").write_text(
        "[Service]\nExecStartPre=/bin/true\nExecStart=\n"
        "ExecStart=-{{ release.path }}/venv/bin/serve \\\n  --name 'a b'\n"
    )
    (unit,) = texts(folder, HEAD + "services: {web: {unit: own.j2}}\n").units
    assert unit.command == (f"{RELEASE.path}/venv/bin/serve", "--name", "a b")


def test_only_the_services_change_from_release_to_release(folder: Path) -> None:
    newer = ReleaseNames("2.0-x", "2.0", "/opt/demoapp/releases/2.0-x")
    before, after = texts(folder, FULL).texts, texts(folder, FULL, release=newer).texts
    lasting = {path for path in before if not path.endswith(".service")}
    assert lasting == {path for path in after if not path.endswith(".service")}
    for path in lasting:
        assert manifest.lasting(path, before[path]) == manifest.lasting(path, after[path])
    processes = {path for path in before if path.endswith(".service")}
    assert all(before[path] != after.get(path) for path in processes)


def test_a_notify_command_gets_the_deadline_as_start_timeout(folder: Path) -> None:
    service = "services: {web: {command: x, notify: true}}\n"
    reported = texts(folder, HEAD + service + "health: {deadline: 5m}\n")
    silent = texts(folder, HEAD + service.replace("true", "false"))
    assert "\nTimeoutStartSec=300s\n" in reported.texts["units/demoapp-web.service"]
    assert "TimeoutStartSec" not in silent.texts["units/demoapp-web.service"]


def test_each_directive_of_hardening_can_be_left_out_or_changed(folder: Path) -> None:
    default = texts(folder, BASE).texts["units/demoapp-web.service"]
    part = default.split("# What the service can't do")[1].split("[Install]")[0]
    directives = re.findall(r"^([A-Za-z]+)=", part, re.MULTILINE)
    assert len(directives) > 20
    assert set(directives) <= set(HARDENING)
    for directive in directives:
        for written, expected in (("false", None), ("other", f"{directive}=other")):
            services = f"services: {{web: {{command: x, hardening: {{{directive}: {written}}}}}}}\n"
            text = texts(folder, HEAD + services).texts["units/demoapp-web.service"]
            lines = [line for line in text.splitlines() if line.startswith(f"{directive}=")]
            assert lines == ([expected] if expected else [])


def test_a_root_below_home_can_be_read_by_its_service(folder: Path) -> None:
    unit = texts(folder, BASE + "root: /home/me/app\n").texts["units/demoapp-web.service"]
    assert "ProtectHome=read-only\n" in unit


@pytest.mark.parametrize(
    ("address", "line"),
    [("8000", ""), ("10.0.0.1:80", "FreeBind=yes\n"), ("/run/x.sock", "RemoveOnStop=yes\n")],
)
def test_a_socket_unit_fits_its_kind_of_address(folder: Path, address: str, line: str) -> None:
    services = f"services: {{web: {{command: x, socket: '{address}'}}}}\n"
    unit = texts(folder, HEAD + services).texts["units/demoapp-web.socket"]
    assert f"ListenStream={address}\n" in unit
    assert line in unit
    assert unit.count("FreeBind") + unit.count("RemoveOnStop") == bool(line)


def test_a_custom_unit_replaces_the_default(folder: Path) -> None:
    (folder / "own.j2").write_text("[Service]\nExecStart={{ service.exec_start }}\nX={{ port }}\n")
    text = HEAD + "vars: {port: 1}\nservices: {web: {command: serve --now, unit: own.j2}}\n"
    assert texts(folder, text).texts["units/demoapp-web.service"] == (
        f"[Service]\nExecStart={RELEASE.path}/venv/bin/serve --now\nX=1\n"
    )


def test_a_custom_unit_may_override_a_part_of_the_default(folder: Path) -> None:
    (folder / "own.j2").write_text(
        '{% extends "shipit/service.j2" %}\n'
        "{% block service %}\n{{ super() -}}\nLimitNOFILE=9\n{% endblock %}\n"
    )
    own = texts(folder, HEAD + "services: {web: {command: serve, unit: own.j2}}\n")
    default = texts(folder, BASE).texts["units/demoapp-web.service"]
    line = "SyslogIdentifier=demoapp-web\n"
    expected = default.replace(line, f"{line}LimitNOFILE=9\n")
    assert own.texts["units/demoapp-web.service"] == expected


def test_a_fault_in_a_template_file_is_reported_with_its_line(folder: Path) -> None:
    (folder / "own.j2").write_text("[Service]\nX={{ portt }}\n")
    (folder / "file.j2").write_text("{% if %}")
    text = (
        HEAD
        + "vars: {port: 1}\nservices: {web: {command: serve, unit: own.j2}}\n"
        + "files: [{src: file.j2, dest: a}]\n"
    )
    undefined, syntax = refused(folder, text)
    assert undefined.startswith("own.j2:2: the variable 'portt' is undefined, on web1 [")
    assert syntax.startswith("file.j2:1: the template is wrong: Expected an expression, got 'end")


# --- files and environment ---------------------------------------------------------------------


def test_only_files_that_end_in_j2_are_templates(folder: Path) -> None:
    (folder / "a.ini.j2").write_text("host={{ inventory_hostname }}\n")
    (folder / "b.ini").write_text("format={{ not ours }}\n")
    files = "files: [{src: a.ini.j2, dest: x/a.ini, mode: '0600'}, {src: b.ini, dest: b.ini}]\n"
    found = texts(folder, BASE + files)
    assert found.texts["files/x/a.ini"] == "host=web1\n"
    assert found.texts["files/b.ini"] == "format={{ not ours }}\n"
    assert {path: found.modes[path] for path in found.texts} == {
        "units/demoapp-web.service": 0o644,
        "files/x/a.ini": 0o600,
        "files/b.ini": 0o644,
    }


def test_a_file_that_is_not_text_is_refused(folder: Path) -> None:
    (folder / "logo.png").write_bytes(b"\x89PNG\xff")
    (said,) = refused(folder, BASE + "files: [{src: logo.png, dest: logo.png}]\n")
    assert said == "logo.png: the file cannot be used: it is not UTF-8 text [file-unreadable]"


def test_each_service_gets_common_variables_secrets_and_its_own(folder: Path) -> None:
    found = texts(folder, FULL)
    env = found.env
    assert env["web"] == {"PORT": "8000", "TOKEN": Secret(SENTINEL)}
    assert env["worker"] == {"PORT": "0", "TOKEN": Secret(SENTINEL)}
    assert found.env_files["worker"] == f'PORT="0"\nTOKEN="{SENTINEL}"\n'


def test_the_playbook_overrides_env_files(folder: Path) -> None:
    wanted = rendered(folder, FULL)
    secrets = {"TOKEN": Secret(SENTINEL)}
    of_files: rendering.Values = {"PORT": Secret("1"), "TOKEN": "file's", "MORE": Secret("more")}
    made = rendering.release_texts(wanted, host(), secrets, RELEASE, {"worker": of_files})
    assert made.env["web"] == {"PORT": "8000", "TOKEN": Secret(SENTINEL)}
    assert made.env["worker"] == {"PORT": "0", "TOKEN": Secret(SENTINEL), "MORE": Secret("more")}


def test_secrets_are_in_no_text_and_no_repr(folder: Path) -> None:
    (folder / "a.j2").write_text("{{ env | default('none') }} {{ secrets | default('none') }}\n")
    found = texts(folder, FULL + "files: [{src: a.j2, dest: a}]\n")
    assert SENTINEL not in "".join(found.texts.values()) + repr(found)
    assert found.texts["files/a"] == "none none\n"


def test_a_template_cannot_name_a_secret(folder: Path) -> None:
    (folder / "a.j2").write_text("{{ TOKEN }}\n")
    with pytest.raises(InputError, match="'TOKEN' is one of `secrets:`"):
        texts(folder, FULL + "files: [{src: a.j2, dest: a}]\n")


def test_a_value_that_systemd_cannot_hold_is_reported_once_by_name(folder: Path) -> None:
    text = HEAD + 'env: {A: "\\e[0m"}\nservices: {a: {command: x}, b: {command: x}}\n'
    (said,) = refused(folder, text)
    assert said.startswith("the environment variable A holds a control character")


# --- the gate ----------------------------------------------------------------------------------


def test_the_gate_is_what_the_agent_takes(folder: Path) -> None:
    text = (
        HEAD
        + """\
services: {web: {command: serve}}
smoke: "demoapp check 'a b'"
health:
  checks:
    - {http: "http://h/", status: 204, json: {v: "{{ release.version }}"}, body: ok, timeout: 2s}
    - {tcp: 80}
    - {unix: /run/x.sock}
    - {command: "demoapp check 'a b'"}
    - {unit: web}
  deadline: 30s
"""
    )
    wanted = rendered(folder, text)
    assert rendering.gate(wanted) == manifest.Gate(
        checks=(
            manifest.Check.of(
                "http", "http://h/", status=204, json={"v": "1.4.0"}, body="ok", timeout=2.0
            ),
            manifest.Check.of("tcp", "127.0.0.1:80"),
            manifest.Check.of("unix", "/run/x.sock"),
            manifest.Check.of("command", "demoapp check 'a b'"),
        ),
        interval=0.25,
        deadline=30.0,
        min_healthy=1.0,
    )
    assert commands.smoke(wanted) == ("demoapp", "check", "a b")
    assert commands.smoke(rendered(folder, BASE)) == ()


@pytest.mark.parametrize(
    ("written", "directory"),
    [
        ("", "/opt/demoapp/releases/1.4.0-3f9a2c1b/files"),
        (", workdir: shared", "/opt/demoapp/shared"),
        (", workdir: shared/web", "/opt/demoapp/shared/web"),
        (", workdir: '{{ root }}/shared/'", "/opt/demoapp/shared"),
        (", workdir: /var/lib/demoapp", "/var/lib/demoapp"),
    ],
)
def test_a_service_starts_in_its_workdir(folder: Path, written: str, directory: str) -> None:
    made = texts(folder, HEAD + f"services: {{web: {{command: serve, socket: 80{written}}}}}\n")
    units = {name: text for name, text in made.texts.items() if name.endswith(".service")}
    assert len(units) == 2  # its trial's, too
    assert all(f"\nWorkingDirectory={directory}\n" in text for text in units.values())


# --- serve -------------------------------------------------------------------------------------


def unit_lines(folder: Path, service: str, name: str) -> list[str]:
    found = texts(folder, HEAD + f"services: {{web: {{{service}}}}}\n").texts
    return found[f"units/{name}"].splitlines()


def test_a_server_is_run_by_the_program_that_its_release_brings_along(folder: Path) -> None:
    found = texts(folder, HEAD + 'services: {web: {serve: "uvicorn demoapp:app", socket: 80}}\n')
    begins = (
        f"ExecStart={RELEASE.path}/venv/bin/python"
        f" {RELEASE.path}/files/.shipit/patient_uvicorn.py demoapp:app "
    )
    for unit in (f"units/demoapp-web@{RELEASE.id}.service", "trial/demoapp-web@trial.service"):
        assert begins in found.texts[unit]
    assert "files/.shipit/patient_uvicorn.py" in found.texts
    assert found.modes["files/.shipit/patient_uvicorn.py"] == 0o644


def test_a_worker_of_uvicorn_brings_the_protocol_along_as_well(folder: Path) -> None:
    service = '{serve: "gunicorn demoapp:app -k uvicorn_worker.UvicornWorker", socket: 80}'
    found = texts(folder, HEAD + f"services: {{web: {service}}}\n").texts
    names = {path for path in found if path.startswith("files/")}
    assert names == {f"files/.shipit/patient_{name}.py" for name in ("gunicorn", "uvicorn")}


def test_a_task_worker_is_stopped_by_its_signal_and_has_time(folder: Path) -> None:
    lines = unit_lines(folder, "serve: huey demoapp.huey", "demoapp-web.service")
    assert f"ExecStart={RELEASE.path}/venv/bin/huey_consumer demoapp.huey" in lines
    assert {"KillSignal=SIGINT", "TimeoutStopSec=300s", "KillMode=mixed"} <= set(lines)


def test_beat_keeps_its_schedule_where_it_survives_releases(folder: Path) -> None:
    lines = unit_lines(folder, "serve: celery-beat -A demoapp", "demoapp-web.service")
    assert "WorkingDirectory=/opt/demoapp/shared" in lines
    assert (
        f"ExecStart={RELEASE.path}/venv/bin/celery -A demoapp beat --schedule %p.schedule" in lines
    )


def test_what_the_service_says_wins(folder: Path) -> None:
    own = "serve: huey demoapp.huey, stop_timeout: 7s, stop_signal: SIGTERM, workdir: /srv"
    lines = unit_lines(folder, own, "demoapp-web.service")
    assert {"KillSignal=SIGTERM", "TimeoutStopSec=7s", "WorkingDirectory=/srv"} <= set(lines)


def test_a_server_may_come_from_a_variable(folder: Path) -> None:
    text = (
        HEAD + 'vars: {server: gunicorn}\nservices: {web: {serve: "{{ server }} m", socket: 80}}\n'
    )
    assert rendered(folder, text).services["web"].command.startswith("gunicorn m --graceful-")
    wrong = text.replace("gunicorn", "puma")
    (said,) = refused(folder, wrong)
    assert "expected a server that is known" in said


def test_celery_workers_of_several_instances_have_their_own_names(folder: Path) -> None:
    service = "serve: celery -A demoapp, instances: 2"
    lines = unit_lines(folder, service, "demoapp-web@2.service")
    assert any(line.endswith(" worker --hostname %p-%i@%%h") for line in lines)
