"""Static files on real hosts: which ones are found when, by whom, and what is refused."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import wheelhouse
from hosts.site import HOSTS, at_rest, problems
from hosts.test_hooks import hook
from hosts.test_recipes import APPS, filled, modules, serve_nginx
from hosts.workspace import Workspace, ended, heard

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

ASSETS = "/opt/tinyapp/assets"
AS_NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups"
BOOK = Path(__file__).parents[2] / "docs/assets.md"
PAGE = """
from django.http import HttpResponse
from django.templatetags.static import static
urlpatterns.append(path("page", lambda _request: HttpResponse(static("mysite/site.css"))))
"""
GATE = "while test ! -e $STATE_DIRECTORY/open; do sleep 0.1; done"


def made_by(script: str, **rest: object) -> dict[str, Any]:
    whole = f'cd "$SHIPIT_ASSETS" && {script}'
    return {"command": f"/bin/sh -c {shlex.quote(whole)}", **rest}


def of(version: str) -> dict[str, Any]:
    """Return assets with a file whose name is new in each version, and one whose name stays."""
    files = f"mkdir js && echo {version} | tee js/app.{version}.js > site.css"
    return made_by(files, keep=2)


def found(site: Workspace, host: str) -> dict[str, str]:
    """Return what another user finds on a host, by name."""
    listed = site.sh(host, f"cd {ASSETS}/ && {AS_NOBODY} grep -r '' . || true")
    return dict(line.removeprefix("./").split(":") for line in listed.splitlines())


def files(newest: str, *others: str) -> dict[str, str]:
    """Return what is found of some versions, the one whose files win first."""
    return {"site.css": newest, **{f"js/app.{it}.js": it for it in (newest, *others)}}


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Give two hosts that serve 1.0.0 with its static files."""
    lab.reset(*HOSTS)
    workspace = Workspace.set(tmp_path_factory.mktemp("assets"), lab)
    done = workspace.deploy("1.0.0", assets=of("1.0.0"))
    assert done.status == 0, done.output
    assert found(workspace, "web1") == files("1.0.0")
    return workspace


def test_new_and_old_files_are_found_on_all_hosts_while_a_fleet_is_switched(
    site: Workspace,
) -> None:
    site.wheel("1.1.0")
    waiting = hook("after_activate", GATE, run="once")
    site.playbook("1.1.0", assets=of("1.1.0"), hooks=[waiting], serial=[1, 1])
    assert "in /opt/tinyapp/assets" in site.asked("plan")["web1"]["assets"][0]
    process = site.start("deploy", "--json")
    lines = heard(process, lambda event: "(after_activate)" in event.get("detail", ""))
    assert found(site, "web1") == files("1.1.0", "1.0.0")  # it is switched,
    assert found(site, "web2") == {**files("1.1.0", "1.0.0"), "site.css": "1.0.0"}  # and this not
    site.sh("web1", "touch /var/lib/tinyapp/open")
    done = ended(process, lines)
    assert done.status == 0, done.output
    for host in HOSTS:
        assert found(site, host) == files("1.1.0", "1.0.0")


def test_the_oldest_files_leave_and_a_failed_release_leaves_none(site: Workspace) -> None:
    done = site.deploy("1.2.0", assets=of("1.2.0"))
    assert done.status == 0, done.output
    assert found(site, "web2") == files("1.2.0", "1.1.0")
    failed = site.deploy("1.3.0", fault="healthz", assets=of("1.3.0"), health=sick())
    assert failed.status == 4, failed.output
    assert found(site, "web2") == files("1.2.0", "1.1.0")
    back = site.shipit("rollback")
    assert back.status == 0, back.output
    at_rest(site.lab)
    for host in HOSTS:
        assert found(site, host) == files("1.1.0", "1.2.0")
        assert site.sh(host, "ls -A /opt/tinyapp/.assets | wc -l") == "1"
        kept = site.sh(host, f"find {ASSETS}/ /opt/tinyapp/releases/*/assets -printf '%u %m\n'")
        assert set(kept.splitlines()) == {"root 755", "root 644"}


def sick() -> dict[str, Any]:
    """Return a gate that a broken release fails soon, though not in a trial."""
    return {"checks": [{"http": "http://127.0.0.1:8000/healthz"}], "deadline": "3s"}


def test_what_is_no_plain_file_is_refused_and_said(site: Workspace) -> None:
    before = {host: found(site, host) for host in HOSTS}
    hostile = (
        "echo fine > fine.js && ln -s /etc/shadow link && mkfifo pipe && echo two > two"
        " && ln two hard && echo bad > 'line\nbreak.js' && ln -s / folder"
    )
    site.wheel("2.0.0")
    site.playbook("2.0.0", assets=made_by(hostile))
    refused = site.shipit("deploy", "--json")
    assert refused.status == 3, refused.output
    for problem in problems(refused):
        assert problem["code"] == "assets-refused"
        said = problem["evidence"]
        for word in ("'link' is a symlink", "'pipe' is neither", "'hard' is a hard link"):
            assert word in said
        assert r"'line\nbreak.js' has a name that cannot be printed" in said
        assert "fine.js" not in said
    site.playbook("2.0.0", assets=made_by("true"))
    empty = site.shipit("deploy", "--json")
    assert sorted((each["host"], each["code"]) for each in problems(empty)) == [
        (host, "assets-missing") for host in HOSTS
    ]
    assert {host: found(site, host) for host in HOSTS} == before
    assert "2.0.0" not in site.sh("web1", "ls /opt/tinyapp/releases")


# --- Django, behind nginx ------------------------------------------------------------------------


def block(language: str) -> str:
    """Return what docs/assets.md has in a language, below Django's heading if there are several."""
    found = re.findall(rf"^```{language}\n(.*?)^```", BOOK.read_text(), re.MULTILINE | re.DOTALL)
    return str(found[-1])


def release_of_django(workspace: Workspace, version: str, **changes: object) -> None:
    """Write the wheel of a release whose style sheet says its version, and the book's playbook."""
    content = modules("mysite")
    apps = '\nINSTALLED_APPS = ["django.contrib.staticfiles", "mysite"]\n'
    content["mysite/settings.py"] += apps + block("python")
    content["mysite/urls.py"] += PAGE
    content["mysite/static/mysite/site.css"] = f"/* {version} */"
    recipe = wheelhouse.Recipe("mysite", version, files={**content})
    wheel = wheelhouse.write_wheel(workspace.folder, recipe)
    part: dict[str, Any] = yaml.safe_load(block("yaml"))
    brisk = {"min_healthy": "300ms", "interval": "50ms", "deadline": "60s"}
    health = {"checks": part.pop("health"), **brisk}
    usual = {"app": "mysite", "wheel": wheel.name, "smoke": None}
    workspace.playbook(version, **{**part, **usual, "health": health, **changes})


def asked(workspace: Workspace, page: str) -> tuple[int, str, str]:
    """Return the status of a page behind nginx, its Cache-Control and its text."""
    url = f"http://{workspace.lab.hosts['web1'].address}:8000{page}"
    wanted = "\n%{http_code} %header{cache-control}"
    argv = ["curl", "-sS", "--max-time", "30", "-w", wanted, url]
    answer = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    text, _, last = answer.rpartition("\n")
    status, _, cached = last.partition(" ")
    return int(status), cached, text


@pytest.mark.index
def test_django_s_pages_find_their_files_behind_nginx_also_after_a_deploy(
    lab: Lab, tmp_path: Path
) -> None:
    lab.reset("web1")
    workspace = Workspace.set(tmp_path, lab, ["web1"])
    workspace.env["MYSITE_SECRET_KEY"] = "only for a lab"
    lock = APPS / "mysite/requirements.lock"
    shutil.copytree(filled(lock), workspace.wheels, dirs_exist_ok=True)
    shutil.copy(lock, workspace.folder / "requirements.lock")
    serve_nginx(workspace, block("nginx"))
    styles = []
    for version in ("1.0.0", "2.0.0"):
        release_of_django(workspace, version)
        done = workspace.shipit("deploy")
        assert done.status == 0, done.output
        _, _, style = asked(workspace, "/page")
        styles.append(style)
    assert styles[0] != styles[1]
    for style, version in zip(styles, ("1.0.0", "2.0.0"), strict=True):
        status, cached, text = asked(workspace, style)
        assert (status, text) == (200, f"/* {version} */")
        assert "immutable" in cached
    assert asked(workspace, "/static/mysite/site.css") == (200, "no-cache", "/* 2.0.0 */")
    assert asked(workspace, "/static/mysite/site.0123456789ab.css")[:2] == (404, "")
    # The same files from the folder of the package, beside those that the command has made.
    release_of_django(workspace, "3.0.0", assets={"from": "mysite:static", "keep": 2})
    done = workspace.shipit("deploy")
    assert done.status == 0, done.output
    assert asked(workspace, "/static/mysite/site.css") == (200, "no-cache", "/* 3.0.0 */")
    assert [asked(workspace, style)[0] for style in styles] == [404, 200]
