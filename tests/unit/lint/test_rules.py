"""What lint warns about, and what looks like it and is fine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from shipit.lint import rules
from shipit.release.inputs import RunOptions, targets

if TYPE_CHECKING:
    from pathlib import Path

CHECKED = [{"tcp": 8000}]
SERVER = {"command": "uvicorn a:app --fd 3", "socket": 8000}

BALANCED: dict[str, Any] = {
    "health": CHECKED,
    "load_balancer": {"haproxy": {"sockets": ["lb:9999"], "backend": "web", "server": "web1"}},
}

# What a playbook says, and the code and the place (the text that it is at) of each warning.
WARNED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a socket that no check asks": ({"services": {"web": SERVER}}, "no-health-check", "web:"),
    "a server without a socket": (
        {"services": {"web": {"command": "python -m gunicorn a:app"}}},
        "no-health-check",
        "web:",
    ),
    "a check of the unit alone": (
        {"services": {"web": SERVER}, "health": [{"unit": "web"}]},
        "no-health-check",
        "web:",
    ),
    "a served app that no check asks": (
        {"services": {"web": {"serve": "uvicorn a:app", "socket": 8000}}},
        "no-health-check",
        "web:",
    ),
    "a budget of all hosts": ({"max_fail_percentage": "100%"}, "failures-ignored", "100%"),
    "all hosts drained": (BALANCED | {"serial": "100%"}, "drained-together", "100%"),
    "a watch that drains": (
        BALANCED | {"watch": {"for": "10m", "on_failure": "rollback"}},
        "drained-together",
        "for",
    ),
    "a password": ({"env": {"SMTP_PASSWORD": "hunter2"}}, "plain-secret", "hunter2"),
    "a key": ({"env": {"Django_Secret_Key": "x1"}}, "plain-secret", "x1"),
    "a token of a service": (
        {"services": {"job": {"command": "x", "env": {"API_TOKEN": "t0"}}}},
        "plain-secret",
        "t0",
    ),
    "a password in a URL": ({"env": {"BROKER": "amqp://u:pw@mq/"}}, "plain-secret", "amqp"),
    "a reference in the wrong place": ({"env": {"TOKEN": "env:X"}}, "plain-secret", "env:X"),
    "a secret as an argument": (
        {"secrets": {"PW": "env:X"}, "services": {"job": {"command": "job --pw $PW"}}},
        "secret-in-command",
        "job --pw",
    ),
    "a secret in an argument": (
        {"secrets": {"PW": "env:X"}, "services": {"job": {"command": "job --pw=$$${PW}"}}},
        "secret-in-command",
        "job --pw",
    ),
    "uvicorn without its socket": (
        {"health": CHECKED, "services": {"web": {"command": "uvicorn a:app", "socket": 8000}}},
        "socket-ignored",
        "uvicorn",
    ),
    "a second listener": (
        {
            "health": CHECKED,
            "services": {"web": {"command": "gunicorn a --bind :9", "socket": 8000}},
        },
        "handover-option",
        "gunicorn",
    ),
}

FINE: dict[str, dict[str, Any]] = {
    "a load balancer": BALANCED | {"watch": "10m", "serial": ["25%", "100%"]},
    "a watch that rolls back": {"watch": {"for": "10m", "on_failure": "rollback"}},
    "a worker without a check": {"services": {"worker": {"command": "worker"}}},
    "a socket that a check asks": {"services": {"web": SERVER}, "health": CHECKED},
    "a command that asks": {"services": {"web": SERVER}, "health": [{"command": "a check"}]},
    "a served app": {
        "services": {"web": {"serve": "uvicorn a:app", "socket": 8000}},
        "health": CHECKED,
    },
    "a task worker": {"services": {"worker": {"serve": "celery -A a"}}},
    "a budget": {"max_fail_percentage": 99},
    "no secret": {
        "env": {
            "TOKEN_URL": "https://x",
            "PUBLIC_KEY_PATH": "k",
            "PASSWORD_MIN_LENGTH": 12,
            "USE_TOKEN": "false",
            "TOKEN": "",
            "SECRET_KEY": "/etc/key",
            "PASSWORD": "~/x",
            "DATABASE_URL": "postgresql://u@db/x:y@z",
            "API_TOKEN": "{{ inventory_hostname }}",
            "BROKER": "amqp://u:{{ inventory_hostname }}@mq/",
            "MAIL": "smtp://a:${PW}@b",
        }
    },
    "a secret in the environment": {
        "secrets": {"PW": "env:X"},
        "services": {"job": {"command": "job $PWD $PW_FILE x$PW $${PW}"}},
    },
    "uvicorn's settings in its environment": {
        "health": CHECKED,
        "services": {
            "web": {"command": "uvicorn a:app", "socket": 8000, "env": {"UVICORN_FD": "3"}}
        },
    },
}


def warned(folder: Path, says: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the code, the text from its place, and the whole of each warning."""
    usual = {
        "hosts": "web",
        "app": "a",
        "wheel": "a.whl",
        "lock": "uv.lock",
        "wheelhouse": "w",
        "services": {"job": {"command": "job"}},
    }
    playbook = folder / "playbook.yaml"
    playbook.write_text(yaml.safe_dump({**usual, **says}, width=200))
    (folder / "hosts.yaml").write_text("web: {hosts: {web1: , web2: }}")
    (found,) = targets(RunOptions(playbook, (folder / "hosts.yaml",)))
    lines = playbook.read_text().splitlines()
    return [
        (it.code, lines[it.place.line - 1][it.place.column - 1 :], str(it))
        for it in rules.warnings(found)
        if it.place
    ]


@pytest.mark.parametrize("case", WARNED)
def test_it_warns_once_for_all_hosts_at_the_place(case: str, tmp_path: Path) -> None:
    says, code, at = WARNED[case]
    ((found, text, whole),) = warned(tmp_path, says)
    assert found == code
    assert text.lstrip("'\"").startswith(at)
    assert whole.count("\n") == 1, "one line says what is wrong, one what to do"


@pytest.mark.parametrize("case", FINE)
def test_it_does_not_warn(case: str, tmp_path: Path) -> None:
    assert warned(tmp_path, FINE[case]) == []


def test_a_value_that_may_be_secret_is_not_shown(tmp_path: Path) -> None:
    values = ("hunter2", "x1", "t0", "pw@")
    for says, _, _ in WARNED.values():
        for _, _, whole in warned(tmp_path, says):
            assert not [value for value in values if value in whole]


def test_the_check_that_it_proposes_fits_the_socket(tmp_path: Path) -> None:
    for socket, check in (
        ("127.0.0.1:9001", '{http: "http://127.0.0.1:9001/healthz"}'),
        ("/run/a.sock", '{unix: "/run/a.sock:/healthz"}'),
    ):
        ((_, _, whole),) = warned(tmp_path, {"services": {"web": {**SERVER, "socket": socket}}})
        assert check in whole
