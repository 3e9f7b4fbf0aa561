"""The wheels of a project for a host: fetched from a folder or an index, or built here."""

from __future__ import annotations

import http.server
import tarfile
import threading
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

import http_server
from repositories import committed
from shipit.errors import InputError
from shipit.events import Fetching, Noted, ignore
from shipit.playbook.project import Project
from shipit.project.building.orders import Built, Order
from shipit.project.fetching import together
from shipit.project.sources import load
from tiny_backend import COMPILED, write_project
from wheelhouse import BOOKWORM, Recipe, installed_wheel, sha256, write_lock, write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from shipit.bundle.select import Bundle
    from shipit.bundle.target import Target
    from shipit.events import Emit, Event
    from shipit.project.sources import ProjectSources

MIB, PATIENCE = 1 << 20, 60.0  # seconds
NATIVE = "cp311-cp311-manylinux_2_17_x86_64"
NO_KEYS = {"package": "", "extras": (), "groups": (), "include": (), "exclude": ()}


class Site:
    """A project with a wheelhouse or an index, and an empty cache."""

    def __init__(self, folder: Path, pip: Path) -> None:
        self.folder = write_project(folder / "project", "billing")
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        (self.wheels / pip.name).hardlink_to(pip)
        self.notes: list[str] = []
        self.emit: Emit = ignore

    def load(self, **keys: object) -> ProjectSources:
        keys = {"path": self.folder, **NO_KEYS, **keys}
        wheelhouse = keys.pop("wheelhouse", self.wheels)
        targets = keys.pop("targets", ())
        project = Project.model_construct(**keys)  # type: ignore[arg-type] # as they are

        def emit(event: Event) -> None:
            if isinstance(event, Noted):
                self.notes.append(event.text)
            else:
                self.emit(event)

        return load(project, "billing", None, wheelhouse, emit, targets)  # type: ignore[arg-type]

    def pins(self, target: Target = BOOKWORM, **keys: object) -> list[str]:
        return pins(self.load(**keys).select(target, "pip"))

    def refused(self, target: Target = BOOKWORM, **keys: object) -> list[tuple[str, str]]:
        with pytest.raises(InputError) as caught:
            self.load(**keys).select(target, "pip")
        return [(mistake.code, mistake.what) for mistake in caught.value.mistakes]


def pins(bundle: Bundle) -> list[str]:
    return [wheel.pin for wheel in bundle.all()]


@pytest.fixture(scope="module")
def pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed_wheel(tmp_path_factory.mktemp("pip"), "pip")


@pytest.fixture
def site(tmp_path: Path, pip: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("SHIPIT_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    return Site(tmp_path, pip)


def test_the_wheels_of_the_lock_are_fetched_once_for_each_kind_of_host(site: Site) -> None:
    wheels = [write_wheel(site.wheels, Recipe(name)) for name in ("alpha", "beta")]
    write_wheel(site.wheels, Recipe("unlocked"))
    write_lock(site.folder / "requirements.lock", wheels)
    sources = site.load()
    chosen = sources.select(BOOKWORM)
    assert [wheel.pin for wheel in chosen.wheels] == ["alpha==1.0.0", "beta==1.0.0"]
    assert (chosen.app.pin, chosen.installer.name) == ("billing==1.0.0", "pip")
    assert sources.select(BOOKWORM) is chosen
    assert sources.digests()[0] == chosen.app.sha256
    assert {wheel.sha256 for wheel in chosen.all()} == set(sources.digests())
    assert sources.folder == "files"
    built, *fetched = [note.split(" (")[0] for note in site.notes]
    assert built == "built billing-1.0.0-py3-none-any.whl"
    assert sorted(fetched) == ["fetched 1 wheel", "fetched 2 wheels"], "side by side"
    for wheel in wheels:
        wheel.unlink()
    assert site.pins() == [wheel.pin for wheel in chosen.all()], "from the cache"


def test_each_host_gets_the_best_wheel_of_its_kind(site: Site) -> None:
    tags = ("py3-none-any", NATIVE, NATIVE.replace("x86_64", "aarch64"))
    wheels = [write_wheel(site.wheels, Recipe("fast", tag=tag)) for tag in tags]
    write_lock(site.folder / "requirements.lock", wheels)
    sources = site.load()
    arm = replace(BOOKWORM, machine="aarch64")
    other = replace(BOOKWORM, machine="riscv64")
    found = [sources.select(target, "pip").wheels[0].filename for target in (BOOKWORM, arm, other)]
    assert found == [wheels[number].name for number in (1, 2, 0)]


@pytest.mark.parametrize("least", [1, 10])  # of what one pip fetches: by three of them, or one
def test_a_wheel_that_is_not_there_for_a_host_is_named_with_the_others(
    site: Site, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "LEAST", least)
    there = [write_wheel(site.wheels, Recipe(name)) for name in ("alpha", "gone", "lost")]
    there.append(write_wheel(site.wheels, Recipe("arm", tag=NATIVE.replace("x86_64", "aarch64"))))
    write_lock(site.folder / "requirements.lock", there)
    for wheel in there[1:3]:
        wheel.unlink()
    assert site.refused() == [
        ("missing-wheel", f"{site.wheels} has no wheel of {name}==1.0.0 for {BOOKWORM}")
        for name in ("arm", "gone", "lost")
    ]


def test_a_wheel_with_another_hash_is_refused(site: Site) -> None:
    wheel = write_wheel(site.wheels, Recipe("alpha"))
    write_lock(site.folder / "requirements.lock", [wheel])
    write_wheel(site.wheels, Recipe("alpha", files={"alpha.py": "import evil"}))
    ((code, what),) = site.refused()
    assert (code, "cannot fetch wheels" in what) == ("fetch-failed", True)


# --- what is built here


def uv_lock(site: Site, *packages: str) -> None:
    needs = ", ".join(f'{{ name = "{each.split(chr(34))[1]}" }}' for each in packages)
    own = 'name = "billing"\nversion = "1.0.0"\nsource = { editable = "." }\n'
    own += f"dependencies = [{needs}]\n"
    tables = "".join(f"[[package]]\n{each}\n" for each in (own, *packages))
    (site.folder / "uv.lock").write_text(f"version = 1\n{tables}")


def sdist(folder: Path, name: str, *, is_native: bool = False) -> Path:
    project = write_project(folder / name, name)
    if is_native:
        native(project)
    path = folder / f"{name}-1.0.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(project, f"{name}-1.0.0")
    return path


def test_a_dependency_in_a_folder_is_built(site: Site) -> None:
    write_project(site.folder / "lib", "core", "3.0")
    uv_lock(site, 'name = "core"\nversion = "3.0"\nsource = { editable = "lib" }')
    assert site.pins()[:2] == ["billing==1.0.0", "core==3.0"]
    assert "built core-3.0-py3-none-any.whl" in site.notes


def test_a_dependency_of_a_commit_is_built_once(site: Site, tmp_path: Path) -> None:
    repository = write_project(tmp_path / "core", "core")
    commit = committed(repository)
    source = f'source = {{ git = "file://{repository}?rev=main#{commit}" }}'
    uv_lock(site, f'name = "core"\nversion = "1.0.0"\n{source}')
    assert site.pins()[:2] == ["billing==1.0.0", "core==1.0.0"]
    assert site.pins()[:2] == ["billing==1.0.0", "core==1.0.0"]
    assert site.notes.count("built core-1.0.0-py3-none-any.whl") == 1


def test_a_wheel_that_the_lock_has_by_its_path_is_taken(site: Site) -> None:
    wheel = write_wheel(site.folder / "vendor", Recipe("own"))
    files = f'wheels = [{{ filename = "{wheel.name}", hash = "sha256:{sha256(wheel)}" }}]'
    source = f'source = {{ path = "vendor/{wheel.name}" }}'
    uv_lock(site, f'name = "own"\nversion = "1.0.0"\n{source}\n{files}')
    assert site.pins()[:2] == ["billing==1.0.0", "own==1.0.0"]


def test_a_dependency_that_is_only_there_as_source_is_built(site: Site, tmp_path: Path) -> None:
    path = sdist(tmp_path, "old")
    path.rename(site.wheels / path.name)
    digest = sha256(site.wheels / path.name)
    source = 'source = { registry = "https://pypi.org/simple" }'
    files = f'sdist = {{ url = "https://x/{path.name}", hash = "sha256:{digest}" }}'
    uv_lock(site, f'name = "old"\nversion = "1.0.0"\n{source}\n{files}')
    assert site.pins()[:2] == ["billing==1.0.0", "old==1.0.0"]
    assert site.pins()[:2] == ["billing==1.0.0", "old==1.0.0"]
    assert site.notes.count("built old-1.0.0-py3-none-any.whl") == 1


# --- another machine


@dataclass
class Elsewhere:
    """Another machine, which makes wheels with compiled parts of what it gets."""

    tag: str = "cp311-cp311-linux_x86_64"
    libc: tuple[str, int, int] = ("glibc", 2, 36)
    orders: list[str] = field(default_factory=list)
    name: str = "web1"

    def build(self, order: Order, folder: Path) -> Built:
        assert order.pip.name.startswith("pip-")
        assert order.source.stat().st_size > 0
        self.orders.append(f"{order.what} of {order.source.name} for {order.python}")
        name, version = order.source.name.removesuffix(".zip").removesuffix(".tar.gz").split("-")
        wheel = write_wheel(folder, Recipe(name, version, tag=self.tag))
        return Built(wheel, self.libc)


def elsewhere(site: Site, builder: Elsewhere, target: Target = BOOKWORM) -> Bundle:
    return site.load().with_builder(builder).select(target, "pip")


def native(folder: Path) -> None:
    """Make a project one that this machine cannot build for Linux, as if it was another system."""
    (folder / COMPILED).write_text("")


def a_folder(site: Site) -> str:
    native(write_project(site.folder / "lib", "fast"))
    uv_lock(site, 'name = "fast"\nversion = "1.0.0"\nsource = { editable = "lib" }')
    return "fast==1.0.0 of fast-1.0.0.tar.gz"


def a_repository(site: Site) -> str:
    repository = write_project(site.folder.parent / "fast", "fast")
    native(repository)
    commit = committed(repository)
    source = f'source = {{ git = "file://{repository}?rev=main#{commit}" }}'
    uv_lock(site, f'name = "fast"\nversion = "1.0.0"\n{source}')
    return "fast==1.0.0 of fast-1.0.0.zip"


def a_source(site: Site) -> str:
    folder = site.folder.parent / "sources"
    folder.mkdir()
    path = sdist(folder, "fast", is_native=True)
    path.rename(site.wheels / path.name)
    digest = sha256(site.wheels / path.name)
    source = 'source = { registry = "https://pypi.org/simple" }'
    files = f'sdist = {{ url = "https://x/{path.name}", hash = "sha256:{digest}" }}'
    uv_lock(site, f'name = "fast"\nversion = "1.0.0"\n{source}\n{files}')
    return "fast==1.0.0 of fast-1.0.0.tar.gz"


@pytest.mark.parametrize("make", [a_folder, a_repository, a_source])
def test_what_cannot_be_built_here_is_built_on_another_machine_once(
    site: Site, make: Callable[[Site], str]
) -> None:
    wanted, builder = make(site), Elsewhere()
    with pytest.raises(InputError) as caught:
        site.load().select(BOOKWORM, "pip")
    (mistake,) = caught.value.mistakes
    assert (mistake.code, "--builder HOST" in mistake.hint) == ("wrong-platform", True)
    bundle = elsewhere(site, builder)
    assert [wheel.path.name for wheel in bundle.wheels] == [f"fast-1.0.0-{builder.tag}.whl"]
    assert site.notes[-1] == f"built fast-1.0.0-{builder.tag}.whl on web1"
    said = len(site.notes)
    assert elsewhere(site, builder).wheels == bundle.wheels
    assert site.load().select(BOOKWORM, "pip").wheels == bundle.wheels, "without a builder"
    assert site.notes[said:] == [], "nothing is built again"
    assert builder.orders == [f"{wanted} for (3, 11)"]
    with pytest.raises(InputError):  # what was built for one kind of host is not for another
        elsewhere(site, builder, replace(BOOKWORM, libc=("glibc", 2, 31)))
    assert len(builder.orders) == 2


def test_the_projects_own_wheel_is_built_there_as_well(site: Site) -> None:
    native(site.folder)
    uv_lock(site, 'name = "core"\nversion = "1.0.0"\nsource = { editable = "lib" }')
    write_project(site.folder / "lib", "core")
    assert site.refused()[0][0] == "wrong-platform"
    bundle = elsewhere(site, builder := Elsewhere())
    assert bundle.app.path.name == f"billing-1.0.0-{builder.tag}.whl"
    assert bundle.wheels[0].path.name == "core-1.0.0-py3-none-any.whl"
    assert builder.orders == ["billing of billing-1.0.0.tar.gz for (3, 11)"]
    assert site.load().select(BOOKWORM, "pip").app == bundle.app, "without a builder, too"


@pytest.mark.parametrize(
    ("builder", "code"),
    [
        (Elsewhere(libc=("glibc", 2, 40)), "libc-too-new"),
        (Elsewhere(libc=("", 0, 0)), "libc-too-new"),
        (Elsewhere(tag="cp312-cp312-linux_x86_64"), "wrong-python"),
        (Elsewhere(tag="cp311-cp311-linux_aarch64"), "wrong-platform"),
    ],
)
def test_what_comes_back_has_to_run_on_the_host(site: Site, builder: Elsewhere, code: str) -> None:
    a_folder(site)
    with pytest.raises(InputError, match="built on web1 it") as caught:
        elsewhere(site, builder)
    assert caught.value.mistakes[0].code == code


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("uv-99.0-py3-none-any.whl", "a wheel of uv"),
        ("fast.whl", r"fast\.whl, which is no wheel"),
    ],
)
def test_a_wheel_of_something_else_is_refused(site: Site, sent: str, said: str) -> None:
    class Liar(Elsewhere):
        def build(self, order: Order, folder: Path) -> Built:
            honest = super().build(order, folder)
            return replace(honest, wheel=honest.wheel.rename(folder / sent))

    a_folder(site)
    asked = r"web1 was asked for a wheel of fast==1\.0\.0, and sent "
    with pytest.raises(InputError, match=asked + said):
        elsewhere(site, Liar())


def test_what_runs_as_root_is_never_built_elsewhere(site: Site) -> None:
    native(write_project(site.folder / "lib", "uv"))
    uv_lock(site, 'name = "uv"\nversion = "1.0.0"\nsource = { editable = "lib" }')
    with pytest.raises(InputError, match="built on this machine it is for another platform"):
        elsewhere(site, builder := Elsewhere())
    assert builder.orders == []


def test_another_source_than_the_locked_one_is_not_sent(site: Site) -> None:
    a_source(site)
    (path,) = site.wheels.glob("fast*")
    path.write_bytes(path.read_bytes() + b"x")
    builder = Elsewhere()
    with pytest.raises(InputError) as caught:
        elsewhere(site, builder)
    assert (caught.value.mistakes[0].code, builder.orders) == ("fetch-failed", [])


# --- an index


class _Index(http.server.SimpleHTTPRequestHandler):
    """PEP 503 over a folder of wheels; only who logs in is served."""

    login = b64encode(b"me:p/w").decode()

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != f"Basic {self.login}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="wheels"')
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *_: Any) -> None: ...  # noqa: ANN401 - the base's


@contextmanager
def index(folder: Path, kind: type[_Index] = _Index) -> Iterator[str]:
    (folder / "simple").mkdir(exist_ok=True)
    for wheel in folder.glob("*.whl"):
        name = wheel.name.split("-")[0].replace("_", "-")
        (folder / "simple" / name).mkdir(exist_ok=True)
        page = f'<a href="../../{wheel.name}#sha256={sha256(wheel)}">{wheel.name}</a>'
        (folder / "simple" / name / "index.html").write_text(page)
    handler = partial(kind, directory=str(folder))
    with http_server.serving(handler) as origin:
        yield f"{origin}/simple"


def test_the_bytes_of_a_download_are_reported_while_they_arrive(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = write_wheel(site.wheels, Recipe("alpha", bulk=2 * MIB))
    reported, is_seen = list[Fetching](), threading.Event()

    def emit(event: Event) -> None:
        assert isinstance(event, Fetching)
        reported.append(event)
        if event.done >= MIB:
            is_seen.set()

    class Hesitant(_Index):
        """Sends the second half of a wheel once the first was reported."""

        def do_GET(self) -> None:
            if not self.path.endswith(".whl"):
                super().do_GET()
                return
            content = (site.wheels / self.path.rpartition("/")[2]).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: 3 * MIB // 2])
            assert is_seen.wait(PATIENCE)
            self.wfile.write(content[3 * MIB // 2 :])

    site.emit = emit
    with index(site.wheels, Hesitant) as url:
        monkeypatch.setenv("PIP_INDEX_URL", url.replace("://", "://me:p%2Fw@"))
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        write_lock(site.folder / "requirements.lock", [wheel])
        site.pins(wheelhouse=None)
    assert is_seen.is_set()
    assert reported[0] == Fetching("fetching 1 wheel")
    assert [each.is_over for each in reported].count(True) == 2, "of the lock, and of pip"
    assert reported[-1].is_over


class _Recorded(_Index):
    """Lets everybody in, and knows what was asked."""

    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        http.server.SimpleHTTPRequestHandler.do_GET(self)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_wheel_is_fetched_by_the_url_of_the_lock_or_else_from_the_index(
    site: Site, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    wheel = write_wheel(site.wheels, Recipe("alpha"))
    monkeypatch.setattr(_Recorded, "asked", [], raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with index(site.wheels, _Recorded) as url:
        at = f"{url.removesuffix('/simple')}/{'' if is_there else 'moved/'}{wheel.name}"
        files = f'wheels = [{{ url = "{at}", hash = "sha256:{sha256(wheel)}" }}]'
        source = f'source = {{ registry = "{url}" }}'
        uv_lock(site, f'name = "alpha"\nversion = "1.0.0"\n{source}\n{files}')
        fetcher = site.load(wheelhouse=None).fetcher
        fetched = fetcher._of_files(fetcher.lock.wanted("billing", BOOKWORM.markers()), BOOKWORM)
    assert [path.name for path in fetched] == [wheel.name]
    assert ("/simple/alpha/" in _Recorded.asked) is not is_there


def test_what_a_known_kind_of_host_needs_is_fetched_while_the_app_is_built(site: Site) -> None:
    wheel = write_wheel(site.wheels, Recipe("alpha"))
    write_lock(site.folder / "requirements.lock", [wheel])
    sources = site.load(targets=[BOOKWORM])
    wheel.unlink()
    assert pins(sources.select(BOOKWORM))[:2] == ["billing==1.0.0", "alpha==1.0.0"]


def test_mistakes_of_both_are_reported_together(site: Site) -> None:
    write_lock(site.folder / "requirements.lock", [write_wheel(site.folder, Recipe("alpha"))])
    (site.folder / "billing.py").unlink()
    with pytest.raises(InputError) as caught:
        site.load(targets=[BOOKWORM])
    assert [each.code for each in caught.value.mistakes] == ["missing-wheel", "build-failed"]


@pytest.mark.parametrize(
    ("login", "is_let_in"),
    [
        ({"UV_INDEX_CORP_USERNAME": "me", "UV_INDEX_CORP_PASSWORD": "p/w"}, True),
        ({"UV_INDEX_CORP_USERNAME": "me", "UV_INDEX_CORP_PASSWORD": "wrong-word"}, False),
        ({}, False),
    ],
)
def test_a_private_index_gets_the_users_credentials_and_nobody_else_sees_them(
    site: Site,
    pip: Path,
    monkeypatch: pytest.MonkeyPatch,
    login: Mapping[str, str],
    *,
    is_let_in: bool,
) -> None:
    wheel = write_wheel(site.wheels, Recipe("alpha"))
    for name, value in login.items():
        monkeypatch.setenv(name, value)
    with index(site.wheels) as url:
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing else is asked
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        with (site.folder / "pyproject.toml").open("a") as pyproject:
            pyproject.write(f'[[tool.uv.index]]\nname = "corp"\nurl = "{url}"\n')
        files = f'wheels = [{{ url = "{url}/{wheel.name}", hash = "sha256:{sha256(wheel)}" }}]'
        locked = f'name = "alpha"\nversion = "1.0.0"\nsource = {{ registry = "{url}" }}\n{files}'
        uv_lock(site, locked)
        if is_let_in:
            found = site.pins(wheelhouse=None)
            assert found[:2] == ["billing==1.0.0", "alpha==1.0.0"]
            assert found[2] == f"pip=={pip.name.split('-')[1]}"
        else:
            with pytest.raises(InputError) as caught:
                site.load(wheelhouse=None).select(BOOKWORM, "pip")
            said = str(caught.value)
            assert "missing-wheel" in said or "netrc, keyring" in said
            assert "wrong-word" not in said
    assert not any("p/w" in note for note in site.notes)
