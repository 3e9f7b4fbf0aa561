"""Choose exactly the wheels that one release needs on one kind of host."""

import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import uv

from shipit.bundle import select as selection
from shipit.bundle.select import Bundle, Sources
from shipit.bundle.target import Target
from shipit.bundle.wheel import Wheel
from shipit.errors import InputError
from wheelhouse import BOOKWORM, MIB, Recipe, lock_text, tinyapp_wheel, write_lock, write_wheel

NATIVE = "cp311-cp311-manylinux_2_17_x86_64"
UV = Recipe("uv", "0.9.0", tag="py3-none-manylinux_2_17_x86_64")
PIP = Recipe("pip", "25.0")


@dataclass(frozen=True)
class Project:
    """A folder with an app wheel, a lock and a wheelhouse."""

    folder: Path

    @property
    def wheelhouse(self) -> Path:
        return self.folder / "wheels"

    @property
    def lock(self) -> Path:
        return self.folder / "requirements.lock"

    def make(self, *stock: Recipe, app: Recipe | None = None) -> "Project":
        """Fill the wheelhouse with these wheels and an installer; lock all but the installer."""
        write_wheel(self.folder, app or Recipe("app"))
        wheels = [write_wheel(self.wheelhouse, recipe) for recipe in stock]
        write_wheel(self.wheelhouse, UV)
        write_lock(self.lock, wheels)
        return self

    def load(self) -> Sources:
        app = next(self.folder.glob("app-*.whl"))
        return selection.load(app, self.lock, self.wheelhouse)

    def codes(self, target: Target = BOOKWORM) -> list[str]:
        return [mistake.code for mistake in self.refused(target).mistakes]

    def refused(self, target: Target = BOOKWORM) -> InputError:
        with pytest.raises(InputError) as caught:
            self.load().select(target)
        return caught.value


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def names(wheels: Iterable[Wheel]) -> list[str]:
    return [wheel.filename for wheel in wheels]


def select(project: Project, target: Target = BOOKWORM) -> Bundle:
    return project.load().select(target)


# --- what is chosen


def test_a_bundle_holds_the_app_its_locked_wheels_by_name_and_the_installer(
    project: Project,
) -> None:
    project.make(Recipe("zeta"), Recipe("alpha"))
    chosen = select(project)
    assert chosen.version == "1.0.0"
    assert names(chosen.wheels) == ["alpha-1.0.0-py3-none-any.whl", "zeta-1.0.0-py3-none-any.whl"]
    assert chosen.installer.name == "uv"
    assert names(chosen.all()) == [
        "app-1.0.0-py3-none-any.whl",
        *names(chosen.wheels),
        "uv-0.9.0-py3-none-manylinux_2_17_x86_64.whl",
    ]


def test_the_best_wheel_for_the_host_is_chosen(project: Project) -> None:
    tags = ["py3-none-any", "cp38-abi3-manylinux_2_17_x86_64", NATIVE]
    tags += ["cp312-cp312-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_38_x86_64"]
    project.make(*(Recipe("fast", tag=tag) for tag in tags))
    assert names(select(project).wheels) == [f"fast-1.0.0-{NATIVE}.whl"]


def test_each_kind_of_host_gets_its_own_wheels_from_the_same_sources(project: Project) -> None:
    arm = replace(BOOKWORM, machine="aarch64")
    arm_tag = "cp311-cp311-manylinux_2_17_aarch64"
    project.make(Recipe("fast", tag=NATIVE), Recipe("fast", tag=arm_tag), PIP)
    sources = project.load()
    assert names(sources.select(BOOKWORM).wheels)[0] == f"fast-1.0.0-{NATIVE}.whl"
    assert names(sources.select(arm, "pip").wheels)[0] == f"fast-1.0.0-{arm_tag}.whl"


def test_markers_are_evaluated_for_the_host_and_not_for_the_controller(project: Project) -> None:
    other = "3.99"  # no controller runs this Python
    project.make()
    wheels = [write_wheel(project.wheelhouse, Recipe(name)) for name in ("here", "there")]
    markers = {"here": f"python_version == '{other}'", "there": f"python_version != '{other}'"}
    project.lock.write_text(lock_text(wheels, markers))
    future = replace(BOOKWORM, python=(3, 99), full_version="3.99.0")
    assert [wheel.name for wheel in select(project, future).wheels] == ["here"]
    assert [wheel.name for wheel in select(project).wheels] == ["there"]


def test_a_wheel_that_this_host_does_not_need_may_be_missing(project: Project) -> None:
    project.make(Recipe("dep"))
    with project.lock.open("a") as lock:
        lock.write(f"pywin32==1 ; sys_platform == 'win32' --hash=sha256:{'a' * 64}\n")
    assert [wheel.name for wheel in select(project).wheels] == ["dep"]


def test_only_the_extras_that_the_app_asks_for_count(project: Project) -> None:
    requires = ("web[fast]>=1", "pytest; extra == 'dev'")
    app = Recipe("app", requires=requires, extras=("dev",))
    project.make(Recipe("web"), Recipe("loop"), app=app)
    project.lock.write_text(project.lock.read_text().replace("web==", "web[fast]=="))
    assert [wheel.name for wheel in select(project).wheels] == ["loop", "web"]


def test_the_app_may_be_in_the_lock_with_any_hash(project: Project) -> None:
    project.make(Recipe("dep"))
    with project.lock.open("a") as lock:
        lock.write(f"app==0.9 --hash=sha256:{'a' * 64}\n")
    write_wheel(project.wheelhouse, Recipe("app", "0.9"))
    assert [wheel.name for wheel in select(project).wheels] == ["dep"]


def test_wheels_that_are_not_locked_are_left_out(project: Project) -> None:
    project.make(Recipe("dep"))
    write_wheel(project.wheelhouse, Recipe("dep", "2.0.0"))
    write_wheel(project.wheelhouse, Recipe("stray"))
    (project.wheelhouse / "README").write_text("wheels\n")
    assert names(select(project).wheels) == ["dep-1.0.0-py3-none-any.whl"]


# --- the installer


def test_uv_is_preferred_pip_is_the_fallback_and_the_newest_that_fits_is_taken(
    project: Project,
) -> None:
    project.make()
    for recipe in (PIP, replace(UV, version="0.10.0"), replace(UV, version="0.9.9")):
        write_wheel(project.wheelhouse, recipe)
    write_wheel(project.wheelhouse, Recipe("uv", "0.11.0", tag="py3-none-macosx_11_0_arm64"))
    sources = project.load()
    assert sources.select(BOOKWORM).installer.pin == "uv==0.10.0"
    assert sources.select(BOOKWORM, "pip").installer.pin == "pip==25.0"
    arm = replace(BOOKWORM, machine="aarch64")
    assert sources.select(arm).installer.pin == "pip==25.0"


def test_a_missing_installer_is_reported_with_the_command_that_fetches_it(project: Project) -> None:
    project.make()
    (project.wheelhouse / UV.filename).unlink()
    error = project.refused()
    assert [mistake.code for mistake in error.mistakes] == ["missing-installer"]
    assert f"-d {project.wheelhouse} uv" in str(error)


def test_an_installer_that_needs_a_newer_python_is_left_out(project: Project) -> None:
    """On a Debian 11 pip 26.1 ended with a traceback: it needs Python 3.10."""
    project.make()
    write_wheel(project.wheelhouse, replace(PIP, version="26.0", requires_python=">=3.9"))
    write_wheel(project.wheelhouse, replace(PIP, version="26.1", requires_python=">=3.12"))
    sources = project.load()
    assert sources.select(BOOKWORM, "pip").installer.pin == "pip==26.0"


def test_an_installer_that_is_also_a_dependency_is_sent_once(project: Project) -> None:
    project.make(UV)
    assert len(select(project).all()) == 2


def test_a_locked_installer_is_taken_from_the_lock_only(project: Project) -> None:
    project.make(UV)
    write_wheel(project.wheelhouse, replace(UV, version="99.0"))
    assert select(project).installer.pin == f"uv=={UV.version}"
    write_wheel(project.wheelhouse, replace(UV, files={"uv/evil.py": b"other bytes"}))
    assert project.codes() == ["wrong-hash"]


# --- what is refused on a host


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("cp311-cp311-win_amd64", "wrong-platform"),
        ("cp311-cp311-manylinux_2_17_aarch64", "wrong-platform"),
        ("cp312-cp312-manylinux_2_17_x86_64", "wrong-python"),
        ("cp311-cp311-manylinux_2_38_x86_64", "libc-too-new"),
    ],
)
def test_a_wheel_for_another_host_is_refused_by_name_with_what_to_do(
    project: Project, tag: str, code: str
) -> None:
    error = project.make(Recipe("fast", tag=tag), Recipe("good")).refused()
    (mistake,) = error.mistakes
    assert mistake.code == code
    assert f"fast-1.0.0-{tag}.whl" in mistake.what
    assert "CPython 3.11.2 on x86_64 with glibc 2.36" in mistake.what
    assert mistake.hint.startswith("fetch the right ones: pip download --only-binary=:all:")
    assert mistake.hint.endswith(f"-d {project.wheelhouse} fast==1.0.0")
    assert mistake.place is not None
    assert mistake.place.line == 1


def test_an_app_wheel_for_another_host_is_refused(project: Project) -> None:
    app = Recipe("app", tag="cp312-cp312-manylinux_2_17_x86_64")
    assert project.make(app=app).codes() == ["wrong-python"]


@pytest.mark.parametrize("of_the_app", [True, False])
def test_a_wheel_that_needs_a_newer_python_is_refused(
    project: Project, *, of_the_app: bool
) -> None:
    picky = Recipe("app" if of_the_app else "dep", requires_python=">=3.12")
    project.make(app=picky) if of_the_app else project.make(picky)
    assert "needs Python >=3.12" in str(project.refused())
    assert project.codes() == ["wrong-python"]


def test_a_lock_for_another_python_is_refused(project: Project) -> None:
    project.make()
    lock = project.folder / "pylock.toml"
    lock.write_text('lock-version="1.0"\ncreated-by="t"\nrequires-python=">=3.13"\npackages=[]\n')
    sources = selection.load(next(project.folder.glob("app-*")), lock, project.wheelhouse)
    with pytest.raises(InputError, match=r"the lock is for Python >=3\.13"):
        sources.select(BOOKWORM)


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        ("absent>=1", "needs absent>=1; the lock has none for this host"),
        ("dep>=2", "needs dep>=2; the lock has 1.0.0"),
        ("absent; python_version < '3.12'", "the lock has none"),
    ],
)
def test_a_lock_that_does_not_satisfy_the_app_is_refused(
    project: Project, requirement: str, words: str
) -> None:
    project.make(Recipe("dep"), app=Recipe("app", requires=(requirement, "dep")))
    assert project.codes() == ["not-in-lock"]
    assert words in str(project.refused())


def test_all_mistakes_of_a_host_are_reported_with_one_command(project: Project) -> None:
    app = Recipe("app", requires=("absent",), requires_python=">=3.12")
    wheels = [Recipe("a", tag="py3-none-win32"), Recipe("b", tag="cp39-cp39-linux_x86_64")]
    error = project.make(*wheels, app=app).refused()
    codes = [mistake.code for mistake in error.mistakes]
    assert codes == ["wrong-python", "wrong-platform", "wrong-python", "not-in-lock"]
    assert str(error).count("pip download") == 1
    assert "a==1.0.0 b==1.0.0" in str(error)


# --- what is refused before any host is asked


def load_error(project: Project) -> InputError:
    with pytest.raises(InputError) as caught:
        project.load()
    return caught.value


def test_a_wheel_with_another_hash_than_the_lock_is_refused_with_both(project: Project) -> None:
    project.make(Recipe("dep"))
    expected = project.lock.read_text().split("sha256:")[1].strip()
    write_wheel(project.wheelhouse, Recipe("dep", files={"changed.py": ""}))
    (mistake,) = load_error(project).mistakes
    assert mistake.code == "wrong-hash"
    assert f"expected sha256:{expected} ({project.lock}:1:1)" in mistake.what


def test_a_locked_wheel_that_is_missing_is_reported_with_its_line_in_the_lock(
    project: Project,
) -> None:
    project.make(Recipe("a"), Recipe("b"))
    (project.wheelhouse / "b-1.0.0-py3-none-any.whl").unlink()
    (mistake,) = load_error(project).mistakes
    assert (mistake.code, mistake.place and mistake.place.line) == ("missing-wheel", 3)
    assert mistake.hint.endswith(f"-d {project.wheelhouse} b==1.0.0")


def test_a_source_distribution_alone_is_refused(project: Project) -> None:
    project.make(Recipe("dep"))
    (project.wheelhouse / "dep-1.0.0-py3-none-any.whl").rename(
        project.wheelhouse / "dep-1.0.0.tar.gz"
    )
    (mistake,) = load_error(project).mistakes
    assert mistake.code == "only-sdist"
    assert "hosts build nothing" in mistake.what


def test_a_source_distribution_alone_for_one_kind_of_host_is_refused_there(
    project: Project,
) -> None:
    project.make()
    marker = "sys_platform == 'linux'"
    project.lock.write_text(f"dep==1.0 ; {marker} --hash=sha256:{'a' * 64}\n")
    (project.wheelhouse / "dep-1.0.tar.gz").write_bytes(b"")
    assert project.codes() == ["only-sdist"]


def test_a_missing_wheelhouse_wheel_and_lock_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        selection.load(tmp_path / "a-1-py3-none-any.whl", tmp_path / "lock", tmp_path / "wheels")
    codes = [mistake.code for mistake in caught.value.mistakes]
    assert codes == ["missing-wheel", "missing-lock", "missing-wheelhouse"]
    assert caught.value.exit_status == 2


def test_a_broken_wheel_in_the_wheelhouse_is_refused_by_name(project: Project) -> None:
    project.make(Recipe("dep"))
    (project.wheelhouse / "dep.whl").write_text("")
    assert "dep.whl" in str(load_error(project))


# --- its digest, its size, its use


def test_equal_contents_have_equal_digests_wherever_they_lie(tmp_path: Path) -> None:
    first = Project(tmp_path / "one").make(Recipe("a"), Recipe("b"))
    second = Project(tmp_path / "two").make(Recipe("b"), Recipe("a"))
    assert select(first).digest == select(second).digest


@pytest.mark.parametrize("changed", ["app", "dep"])
def test_any_changed_wheel_changes_the_digest(tmp_path: Path, changed: str) -> None:
    dep, app = Recipe("dep"), Recipe("app")
    first = Project(tmp_path / "one").make(dep, app=app)
    if changed == "app":
        app = replace(app, files={"app.py": "new = 1\n"})
    else:
        dep = replace(dep, files={"dep.py": "new = 1\n"})
    second = Project(tmp_path / "two").make(dep, app=app)
    assert select(first).digest != select(second).digest


def test_another_installer_does_not_change_the_digest(project: Project) -> None:
    project.make(Recipe("dep"))
    before = select(project)
    write_wheel(project.wheelhouse, replace(UV, version="0.10.0"))
    after = select(project)
    assert after.installer != before.installer
    assert after.digest == before.digest


def test_a_bundle_of_60_mib_is_never_held_in_memory(project: Project) -> None:
    project.make(*(Recipe(f"big{number}", bulk=20 * MIB) for number in range(3)))
    tracemalloc.start()
    try:
        chosen = select(project)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(wheel.size for wheel in chosen.all()) > 60 * MIB
    assert peak < 10 * MIB


def test_uv_installs_a_bundle_offline_from_its_requirements(tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    dep = write_wheel(folder, Recipe("tiny-dep", files={"tiny_dep.py": ""}))
    write_wheel(folder, UV)
    app = tinyapp_wheel(folder, "1.2.0", requires=("tiny-dep",))
    sources = selection.load(app, write_lock(tmp_path / "lock", [dep]), folder)
    chosen = sources.select(BOOKWORM)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(selection.requirements_txt(chosen))
    find_uv: str = uv.find_uv_bin()
    venv = tmp_path / "venv"
    base = [find_uv, "--quiet", "--offline", "--no-config", "--cache-dir", str(tmp_path / "cache")]
    subprocess.run([*base, "venv", "--python", sys.executable, str(venv)], check=True)
    install = ["pip", "sync", "--no-index", "--require-hashes", "--find-links", str(folder)]
    subprocess.run([*base, *install, "--python", str(venv), str(requirements)], check=True)
    said = subprocess.run(
        [venv / "bin/tinyapp", "--version"], check=True, capture_output=True, text=True
    )
    assert said.stdout == "tinyapp 1.2.0\n"
