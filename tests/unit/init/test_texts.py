"""The texts that are written: what they say beyond the golden files of test_projects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shipit import yaml_source
from shipit.init import texts
from shipit.init.decisions import Answers, decide
from shipit.init.detect import detect
from shipit.init.findings import Guess, Service
from shipit.init.project_files import ProjectFiles
from shipit.inventory.model import load

SETUP = decide(
    detect(ProjectFiles("shop", {"main.py": "from flask import Flask\napp = Flask('x')\n"})),
    Answers(),
)
HOSTILE = ("yes", "1.5", "a: b", "x #y", "- x", "{{ x }}", 'q"uote', "new\nline", "é", "~", " x ")


def value_of(text: str) -> object:
    return yaml_source.parse(Path("prod.yaml"), text).value


@pytest.mark.parametrize("text", [*HOSTILE, "gunicorn a:b()", "huey a.b -w 4", "./run", "x-y_z"])
def test_every_text_is_the_same_text_in_the_playbook(text: str) -> None:
    service = Service("web", "command", Guess("web", text), 0)
    found = value_of(
        texts.playbook(
            replace(
                SETUP,
                services=(service,),
                lock=Guess("lock", text),
                groups=(Guess("group", text),),
                include=Guess("include", text),
                package=Guess("package", text),
                env_file=Guess("env_file", text),
                health=Guess("health", "/healthz"),
                health_host=Guess("host", text),
            ),
            group=text,
        )
    )
    assert isinstance(found, dict)
    assert found["hosts"] == text
    assert found["services"] == {"web": {"command": text}}
    assert (found["lock"], found["env_file"]) == (text, text)
    assert found["project"]["groups"] == [text]
    assert (found["project"]["include"], found["project"]["package"]) == ([text], text)
    assert found["health"][0]["host"] == text


def test_a_service_without_a_page_for_its_health_is_checked_by_its_port() -> None:
    found = value_of(texts.playbook(SETUP, "web"))
    assert isinstance(found, dict)
    assert found["health"] == [{"tcp": 8000}]


def test_an_inventory_has_the_hosts_that_were_given(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(texts.inventory(("web[1:2].example.com", "192.0.2.7", "::1"), "web"))
    found = load([path])
    names = ["web1.example.com", "web2.example.com", "192.0.2.7", "::1"]
    assert [host.name for host in found.hosts] == names


def test_an_inventory_to_be_filled_in_has_the_group_and_no_host(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(texts.inventory((), "web"))
    found = load([path])
    assert ("web" in found.groups, list(found.hosts)) == (True, [])


def test_an_inventory_to_be_filled_in_takes_the_hosts_of_its_comments(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(texts.inventory((), "web").replace("# web", "web"))
    assert [host.name for host in load([path]).hosts] == ["web1.example.com", "web2.example.com"]


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", ["/prod.env", "/dist/"]),
        ("dist\n", ["/prod.env"]),
        ("  prod.env/  \n/dist\n", []),
        ("#/dist/\n!prod.env\n", ["/prod.env", "/dist/"]),
    ],
)
def test_lines_that_git_knows_in_another_form_are_not_missing(
    text: str, missing: list[str]
) -> None:
    assert texts.missing_lines(text, ("/prod.env", "/dist/")) == missing
