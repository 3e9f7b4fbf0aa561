"""What docs/recipes.md says works as it stands there: no request is lost on any of its app servers.

Two recipes are played here; `make recipes` (RECIPES=all) plays all of them, with longer requests.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import wheelhouse
from hosts.hesitant import Hesitant
from hosts.load import Demand, Load
from hosts.packages import stored, unpacked
from hosts.workspace import PORT, Done, Workspace
from marks import left_out_unless

if TYPE_CHECKING:
    from hosts.book import Result
    from shipit.lab.lab import Lab

TOP = Path(__file__).parents[2]
BOOK, APPS = TOP / "docs/recipes.md", TOP / "tests/recipes"
FLAGS = re.MULTILINE | re.DOTALL
HOST = "web1"
IS_WHOLE = os.environ.get("RECIPES") == "all"
FAULTS = ("healthz", "start") if IS_WHOLE else ("healthz",)
SECONDS = 10 if IS_WHOLE else 3
CLIENTS = Demand(rate=100, kept=5, fresh=5, long=2, long_page=f"/slow?seconds={SECONDS}")
HESITANT = 4
NGINX = "user www-data;\ndaemon off;\nevents {}\nhttp {\n  access_log off;\n%s}\n"
KILLED = "journalctl --no-pager | grep -e 'stop-sigterm.*timed out' -e SIGKILL || true"


@dataclass(frozen=True)
class Recipe:
    """A section of the book, as text, and the app that it is about."""

    app: str
    text: str

    @classmethod
    def of(cls, heading: str) -> Recipe:
        sections = re.split(r"^## ", BOOK.read_text(), flags=re.MULTILINE)
        (text,) = (section for section in sections if section.startswith(f"{heading}\n"))
        return cls(re.findall("myapp|mysite|mytasks", text)[0], text)

    def block(self, language: str) -> str:
        """Return the section's code in a language; "" if it has none."""
        found = re.findall(rf"^```{language}\n(.*?)^```", self.text, FLAGS)
        return "".join(found)


@dataclass
class Kitchen:
    """A folder from which a recipe's releases are deployed."""

    workspace: Workspace
    recipe: Recipe

    @classmethod
    def set(cls, folder: Path, lab: Lab, recipe: Recipe) -> Kitchen:
        workspace = Workspace.set(folder, lab, [HOST])
        workspace.env["MYSITE_SECRET_KEY"] = "only for a lab"
        lock = APPS / recipe.app / "requirements.lock"
        shutil.copytree(filled(lock), workspace.wheels, dirs_exist_ok=True)
        shutil.copy(lock, folder / "requirements.lock")
        if server := recipe.block("nginx"):
            serve_nginx(workspace, server)
        return cls(workspace, recipe)

    def deploy(self, version: str, fault: str = "") -> Done:
        app = self.recipe.app
        wheel = wheelhouse.write_wheel(
            self.workspace.folder, wheelhouse.Recipe(app, version, files=modules(app))
        )
        part: dict[str, Any] = yaml.safe_load(self.recipe.block("yaml"))
        brisk = {"min_healthy": "300ms", "interval": "50ms", "deadline": "60s"}
        health = {
            "checks": part.pop("health", []),
            **brisk,
            **({"deadline": "5s"} if fault else {}),
        }
        usual = {"secrets": None, "smoke": None, "env": {"MYAPP_FAULT": fault}}
        self.workspace.playbook(
            version, **{"app": app, "wheel": wheel.name, **usual, **part, "health": health}
        )
        return self.workspace.shipit("deploy")


def modules(app: str) -> dict[str, str]:
    """Return an app's modules, as they lie in its wheel."""
    source = APPS / app
    return {str(path.relative_to(source)): path.read_text() for path in source.rglob("*.py")}


def filled(lock: Path) -> Path:
    """Return a folder with the wheels of a lock, fetched from the index once for all."""
    prepare = runpy.run_path(str(TOP / "playbooks/demo/prepare.py"))

    def fetch(folder: Path) -> None:
        order = prepare["parse"](["--wheels", str(folder)])
        prepare["download"](order, "--require-hashes", "-r", str(lock))

    return stored(wheelhouse.sha256(lock)[:16], fetch)


def serve_nginx(workspace: Workspace, server: str) -> None:
    """Start nginx on the host; skip where it can't be had."""
    root = workspace.lab.hosts[HOST].root
    shutil.copy(nginx(), root / "usr/local/sbin/nginx")
    (root / "etc/nginx.conf").write_text(NGINX % server)
    for folder in ("var/log/nginx", "var/lib/nginx"):
        (root / folder).mkdir()
    tried = workspace.lab.run(HOST, "nginx", "-t", "-c", "/etc/nginx.conf")
    if tried.returncode:
        pytest.skip(f"this machine's nginx does not run on a lab's host: {tried.stderr}")
    workspace.sh(HOST, "systemd-run --unit nginx nginx -c /etc/nginx.conf")


def nginx() -> Path:
    """Return this machine's nginx, or that of its package, which is not installed for it."""
    if installed := shutil.which("nginx"):
        return Path(installed)
    return unpacked("nginx", "nginx") / "usr/sbin/nginx"


def serve_redis(workspace: Workspace) -> None:
    """Start Redis on the host, from its packages, which are not installed here.

    It keeps nothing, and is gone with the host's disk.
    """
    folder = workspace.lab.hosts[HOST].root / "srv/redis"
    libraries = "libjemalloc2 liblzf1 liblua5.1-0 lua-bitop lua-cjson libatomic1"
    found = unpacked("redis", f"redis-server redis-tools {libraries}")
    shutil.copytree(found, folder, symlinks=True)
    paths = [f"/srv/redis/usr/lib/{at.name}" for at in (folder / "usr/lib").iterdir()]
    service = ("systemd-run", "--unit", "redis", f"-ELD_LIBRARY_PATH={':'.join(paths)}")
    command = ("/srv/redis/usr/bin/redis-server", "--save", "")
    started = workspace.lab.run(HOST, *service, *command)
    assert started.returncode == 0, started.stderr


def reported(result: Result) -> str:
    p99, pause = (1000 * seconds for seconds in (result.latency["p99"], result.longest_pause))
    asked = f"{result.requests} requests, none lost, {result.retried} asked again"
    return f"{asked}, p99 {p99:.0f} ms, longest pause {pause:.0f} ms, {result.seconds:.0f} s"


def dear(heading: str) -> Any:  # noqa: ANN401 - pytest's own kind of value is private
    return pytest.param(heading, marks=left_out_unless(IS_WHOLE, "recipes"))


@pytest.mark.index
@pytest.mark.parametrize(
    "heading",
    [
        "uvicorn",
        "nginx in front",
        dear("uvicorn, several processes"),
        dear("gunicorn, sync workers"),
        dear("gunicorn, threads"),
        dear("gunicorn with uvicorn's workers"),
        dear("Django"),
        dear("granian behind nginx"),
    ],
)
def test_a_recipe_loses_no_request_by_deploys_broken_releases_and_a_rollback(
    lab: Lab, tmp_path: Path, heading: str
) -> None:
    lab.reset(HOST)
    kitchen = Kitchen.set(tmp_path, lab, Recipe.of(heading))
    first = kitchen.deploy("1.0.0")
    assert first.status == 0, first.output
    address = lab.hosts[HOST].address
    load = Load(f"http://{address}:{PORT}/", CLIENTS)
    with load, Hesitant(address, PORT, HESITANT) as hesitant:
        second = kitchen.deploy("1.1.0")
        broken = [kitchen.deploy(f"1.2.{n}", fault) for n, fault in enumerate(FAULTS)]
        back = kitchen.workspace.shipit("rollback")
    assert second.status == 0, second.output
    assert {each.status for each in broken} == {3}, [each.output for each in broken]
    assert back.status == 0, back.output
    assert load.result.failures == []
    assert set(load.result.versions) == {"1.0.0", "1.1.0"}
    assert sum(load.result.versions.values()) == load.result.requests
    assert hesitant.answers
    assert all(line.startswith("HTTP/1.1 200 ") for line in hesitant.answers), hesitant.answers
    assert kitchen.workspace.sh(HOST, KILLED) == ""
    print(f"{heading}: {reported(load.result)}; {hesitant.answers.total()} hesitated")  # noqa: T201


@pytest.mark.index
@pytest.mark.parametrize("heading", [dear("hypercorn"), dear("waitress")])
def test_a_server_that_loses_requests_serves_each_release_and_plan_says_so(
    lab: Lab, tmp_path: Path, heading: str
) -> None:
    lab.reset(HOST)
    kitchen = Kitchen.set(tmp_path, lab, Recipe.of(heading))
    address = lab.hosts[HOST].address
    load = Load(f"http://{address}:{PORT}/", CLIENTS)
    first = kitchen.deploy("1.0.0")
    assert first.status == 0, first.output
    with load, Hesitant(address, PORT, HESITANT) as hesitant:
        second = kitchen.deploy("1.1.0")
        broken = kitchen.deploy("1.2.0", "healthz")
        back = kitchen.workspace.shipit("rollback")
    assert (second.status, broken.status, back.status) == (0, 3, 0), second.output + back.output
    assert set(load.result.versions) == {"1.0.0", "1.1.0"}
    planned = kitchen.workspace.shipit("plan").output
    assert re.search(rf"note: web: {heading} .* some requests are lost at each deploy", planned)
    lost = f"{len(load.result.failures)} of {load.result.requests} requests lost"
    dropped = sum(n for line, n in hesitant.answers.items() if not line.startswith("HTTP/1.1 200"))
    hesitated = f"and {dropped} of {hesitant.answers.total()} that hesitated"
    print(f"{heading}: {lost}, {hesitated}")  # noqa: T201
