"""Locks of every format: shipit chooses what uv and pip would install from the same wheels.

Poetry, PDM and Pipenv are not asked: what their locks mean is written beside them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import pytest
import uv

from shipit.bundle import lockfile, select
from shipit.errors import InputError
from wheelhouse import BOOKWORM, Recipe, sha256, write_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NATIVE = "cp311-cp311-manylinux_2_17_x86_64"
# What lies in the wheelhouse, by the name that the locks below give its hash.
STOCK = {
    "flask": Recipe("flask", "3.0.3", requires=("click",)),
    "click": Recipe("click", "8.1.7"),
    "click-old": Recipe("click", "8.0.0"),
    "zope": Recipe("zope.interface", "6.4"),
    "rc": Recipe("asyncer", "1.0.0rc1"),
    "local": Recipe("torch", "2.2.0+cpu"),
    "epoch": Recipe("pytz", "1!2.0"),
    "pure": Recipe("orjson", "3.10.0"),
    "native": Recipe("orjson", "3.10.0", tag=NATIVE),
    "abi3": Recipe("orjson", "3.10.0", tag="cp38-abi3-manylinux_2_17_x86_64"),
    "mac": Recipe("orjson", "3.10.0", tag="cp311-cp311-macosx_11_0_arm64"),
    "wmi": Recipe("wmi", "1.5"),
    "build-none": Recipe("simplejson", "3.19", build=""),
    "build-1": Recipe("simplejson", "3.19", build="1"),
    "build-9": Recipe("simplejson", "3.19", build="9"),
    "build-10": Recipe("simplejson", "3.19", build="10"),
    "build-10b": Recipe("simplejson", "3.19", build="10b"),
    "uvloop": Recipe("uvloop", "0.19.0", tag=NATIVE),
    "lib": Recipe("lib", "2.0"),
}


@dataclass(frozen=True)
class House:
    """A wheelhouse with all wheels, an installer, and an app without dependencies."""

    folder: Path
    files: Mapping[str, Path]

    def digest(self, key: str) -> str:
        return sha256(self.files[key])

    def filled(self, text: str) -> str:
        """Return a lock with each `@key@` replaced by a digest, and `@key.whl@` by a file name."""
        for key, file in self.files.items():
            text = text.replace(f"@{key}@", sha256(file)).replace(f"@{key}.whl@", file.name)
        return text


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    folder = tmp_path_factory.mktemp("locks")
    files = {key: write_wheel(folder / "wheels", recipe) for key, recipe in STOCK.items()}
    links = [f'<a href="wheels/{quote(f.name)}#sha256={sha256(f)}">_</a>' for f in files.values()]
    (folder / "index.html").write_text("<!DOCTYPE html>\n" + "\n".join(links))
    write_wheel(folder / "wheels", Recipe("uv", "0.9.0"))
    write_wheel(folder, Recipe("app"))
    return House(folder, files)


def ours(house: House, lock: Path) -> list[str]:
    """Return the chosen files, or the codes of the mistakes, each with a !."""
    try:
        sources = select.load(
            house.folder / "app-1.0.0-py3-none-any.whl", lock, house.folder / "wheels"
        )
        chosen = sources.select(BOOKWORM)
    except InputError as error:
        return sorted({f"!{mistake.code}" for mistake in error.mistakes})
    return sorted(wheel.filename for wheel in chosen.wheels)


def run(argv: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)


def pip_takes(house: House, lock: Path) -> list[str]:
    """Return the files that pip would install; none if it fails."""
    argv = [sys.executable, "-m", "pip", "install", "--isolated", "-q", "--dry-run", "--no-index"]
    argv += ["--ignore-installed", "--no-deps", "--disable-pip-version-check", "--report", "-"]
    argv += ["--only-binary=:all:", "-f", f"{house.folder}/index.html", "-r", lock.name]
    argv += [] if lock.suffix == ".toml" else ["--require-hashes"]
    done = run(argv, lock.parent)
    if done.returncode:
        return []
    items = json.loads(done.stdout)["install"]
    return sorted(unquote(item["download_info"]["url"].rpartition("/")[2]) for item in items)


def uv_takes(house: House, lock: Path) -> list[str]:
    """Return the name==version that uv would install; none if it fails."""
    argv = [
        uv.find_uv_bin(),
        "pip",
        "install",
        "--offline",
        "--no-config",
        "--preview",
        "--no-deps",
    ]
    argv += ["--dry-run", "--python", sys.executable, "--target", str(lock.parent / "none")]
    argv += ["--cache-dir", str(lock.parent / "cache"), "--no-build", "-r", lock.name]
    if lock.suffix != ".toml":
        argv += ["--require-hashes", "--no-index", "-f", f"{house.folder}/index.html"]
    done = run(argv, lock.parent)
    lines = [line.strip() for line in done.stderr.splitlines()]
    return [] if done.returncode else sorted(line[2:] for line in lines if line.startswith("+ "))


def pins(files: Sequence[str]) -> list[str]:
    found = []
    for name in files:
        project, version = name.split("-")[:2]
        found.append(f"{project.replace('_', '-').replace('.', '-')}=={version}")
    return sorted(found)


# --- requirements with hashes ------------------------------------------------------------------

FLASK = "flask==3.0.3 \\\n    --hash=sha256:@flask@\n    # via app\n"
CLICK = "click==8.1.7 \\\n    --hash=sha256:@click@ \\\n    --hash=sha256:" + "0" * 64 + "\n"
REQUIREMENTS = {
    "as uv writes it": "# This file was autogenerated by uv\n" + FLASK + CLICK,
    "as pip-tools writes it": "--index-url https://pypi.org/simple\n\n" + CLICK + FLASK,
    "hash after a space": "click==8.1.7 --hash sha256:@click@\n",
    "digest in upper case": "click==8.1.7 --hash=sha256:@CLICK@\n",
    "two spellings of a hash": "click==8.1.7 --hash sha256:@CLICK@ --hash=sha256:@flask@\n",
    "one line": "click==8.1.7 --hash=sha256:@click@ # the newest\n",
    "spaces around ==": "click == 8.1.7 --hash=sha256:@click@\n",
    "three equal signs": "click===8.1.7 --hash=sha256:@click@\n",
    "a marker for here": 'uvloop==0.19.0 ; sys_platform != "win32" --hash=sha256:@uvloop@\n',
    "a marker for elsewhere": CLICK + 'wmi==1.5 ; sys_platform == "win32" --hash=sha256:@wmi@\n',
    "a marker of Python": 'click==8.1.7 ; python_version >= "3.12" --hash=sha256:@click@\n' + FLASK,
    "a marker of the full version": 'click==8.1.7;python_full_version>"3" --hash=sha256:@click@',
    "an extra": "flask[async]==3.0.3 --hash=sha256:@flask@\n" + CLICK,
    "another spelling of the name": "Zope_Interface==6.4 --hash=sha256:@zope@\n",
    "another spelling of the version": "asyncer==1.0.0-rc.1 --hash=sha256:@rc@\n",
    "a local version": "torch==2.2.0+cpu --hash=sha256:@local@\n",
    "an epoch": "pytz==1!2.0 --hash=sha256:@epoch@\n",
    "a byte order mark": "\ufeffclick==8.1.7 --hash=sha256:@click@\n",
    "ends of lines of DOS": "click==8.1.7 \\\r\n    --hash=sha256:@click@\r\n",
    "the native wheel is better": "orjson==3.10.0 --hash=sha256:@pure@ --hash=sha256:@native@"
    " --hash=sha256:@abi3@ --hash=sha256:@mac@\n",
    "abi3 is better than pure": "orjson==3.10.0 --hash=sha256:@pure@ --hash=sha256:@abi3@\n",
    "only one of four files is locked": "orjson==3.10.0 --hash=sha256:@pure@\n",
    "only the file for elsewhere is locked": "orjson==3.10.0 --hash=sha256:@mac@\n",
    "the highest build": "simplejson==3.19 --hash=sha256:@build-none@ --hash=sha256:@build-1@"
    " --hash=sha256:@build-9@ --hash=sha256:@build-10@\n",
    "a build is better than none": "simplejson==3.19 --hash=sha256:@build-none@"
    " --hash=sha256:@build-1@\n",
    "a build with letters": "simplejson==3.19 --hash=sha256:@build-10@ --hash=sha256:@build-10b@\n",
    "the lower build alone is locked": "simplejson==3.19 --hash=sha256:@build-9@\n",
    "another hash": "click==8.1.7 --hash=sha256:" + "1" * 64 + "\n",
    "no hash": "click==8.1.7\n",
    "no version": "click>=8 --hash=sha256:@click@\n",
    "a version that is not there": "click==9.0 --hash=sha256:@click@\n",
}


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_mean_what_pip_and_uv_make_of_them(
    name: str, house: House, tmp_path: Path
) -> None:
    lock = tmp_path / "requirements.lock"
    text = REQUIREMENTS[name].replace("@CLICK@", house.digest("click").upper())
    lock.write_text(house.filled(text), newline="")
    chosen = ours(house, lock)
    is_refused = chosen[:1] != [] and chosen[0].startswith("!")
    if name in STRICTER:
        assert is_refused
        return
    assert pip_takes(house, lock) == ([] if is_refused else chosen)
    if name not in UV_LOOKS_LATER:
        assert uv_takes(house, lock) == ([] if is_refused else pins(chosen))


STRICTER = ("no version",)  # pip takes any version whose hash is there
# A dry run of uv reads no wheel: that no hash fits shows when it installs.
UV_LOOKS_LATER = ("another hash", "only the file for elsewhere is locked")


# --- pylock.toml -------------------------------------------------------------------------------


def of_pylock(key: str, more: str = "", *others: str) -> str:
    recipe = STOCK[key]
    files = [
        f'{{ name = "@{k}.whl@", path = "wheels/@{k}.whl@", hashes = {{ sha256 = "@{k}@" }} }}'
        for k in (key, *others)
    ]
    name = recipe.name.replace(".", "-")
    return (
        f'[[packages]]\nname = "{name}"\nversion = "{recipe.version}"\n{more}'
        f"wheels = [{', '.join(files)}]\n"
    )


PYLOCKS = {
    "two packages": of_pylock("flask") + of_pylock("click"),
    "a marker for here": of_pylock("click", "marker = \"sys_platform == 'linux'\"\n"),
    "a marker for elsewhere": of_pylock("wmi", "marker = \"sys_platform == 'win32'\"\n")
    + of_pylock("click"),
    "two versions by markers": of_pylock("click", "marker = \"python_version >= '3.9'\"\n")
    + of_pylock("click-old", "marker = \"python_version < '3.9'\"\n"),
    "the best of four files": of_pylock("pure", "", "native", "abi3", "mac"),
    "the highest build": of_pylock("build-none", "", "build-1", "build-9", "build-10"),
    "a group that is not default": of_pylock("click")
    + of_pylock("lib", "marker = \"'dev' in dependency_groups\"\n"),
    "an extra that nobody asked for": of_pylock("click")
    + of_pylock("lib", "marker = \"'async' in extras\"\n"),
    "no file for here": of_pylock("mac"),
    "for other machines": "!environments = [\"sys_platform == 'win32'\"]\n" + of_pylock("click"),
    "for these machines, too": "!environments = [\"sys_platform == 'win32'\","
    " \"sys_platform == 'linux'\"]\n" + of_pylock("click"),
    "for another Python": '!requires-python = ">=3.12"\n' + of_pylock("click"),
}


@pytest.mark.parametrize("name", PYLOCKS)
def test_a_pylock_means_what_pip_and_uv_make_of_it(name: str, house: House, tmp_path: Path) -> None:
    lock = tmp_path / "pylock.toml"
    (tmp_path / "wheels").symlink_to(house.folder / "wheels")
    top, _, rest = (
        PYLOCKS[name].partition("\n") if PYLOCKS[name][0] == "!" else ("", "", PYLOCKS[name])
    )
    text = f'lock-version = "1.0"\ncreated-by = "test"\n{top[1:]}\n{rest}'
    lock.write_text(house.filled(text))
    chosen = ours(house, lock)
    is_refused = chosen[0].startswith("!")
    theirs = pip_takes(house, lock)
    # Of the builds of one wheel pip takes the first in the file.
    assert (pins(theirs) if "build" in name else theirs) == (
        [] if is_refused else pins(chosen) if "build" in name else chosen
    )
    assert uv_takes(house, lock) == ([] if is_refused else pins(chosen))


# --- uv.lock -----------------------------------------------------------------------------------


def of_uv(key: str, *needs: str, more: str = "", source: str = "", sdist: bool = False) -> str:
    recipe = STOCK[key]
    where = source or 'registry = "https://pypi.org/simple"'
    text = f'[[package]]\nname = "{recipe.name.replace(".", "-")}"\nversion = "{recipe.version}"\n'
    text += f"source = {{ {where} }}\n"
    text += f"dependencies = [{', '.join(needs)}]\n" if needs else ""
    url = "https://files.pythonhosted.org"
    kind = "sdist" if sdist else "wheels"
    file = (
        f'{{ url = "{url}/{"x-1.tar.gz" if sdist else f"@{key}.whl@"}", hash = "sha256:@{key}@" }}'
    )
    if "editable" in where or "git" in where:
        return f"{text}\n{more}\n"
    return f"{text}{kind} = {file if sdist else f'[{file}]'}\n{more}\n"


def app(*needs: str, more: str = "") -> str:
    return (
        'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n\n'
        '[[package]]\nname = "app"\nversion = "1.0.0"\nsource = { editable = "." }\n'
        f"dependencies = [{', '.join(needs)}]\n{more}\n"
    )


def need(name: str, more: str = "") -> str:
    return f'{{ name = "{name}"{", " + more if more else ""} }}'


ELSEWHERE = "marker = \"sys_platform == 'win32'\""
EXTRA = f"\n[package.optional-dependencies]\nasync = [{need('lib')}]\n"
PYPI = 'source = { registry = "https://pypi.org/simple" }'
UVLOCKS = {
    "a chain": app(need("flask")) + of_uv("flask", need("click")) + of_uv("click"),
    "what nothing needs": app(need("click")) + of_uv("click") + of_uv("lib"),
    "a need elsewhere": app(need("click"), need("wmi", ELSEWHERE)) + of_uv("click") + of_uv("wmi"),
    "an extra of a need": app(need("flask", 'extra = ["async"]'))
    + of_uv("flask", more=EXTRA)
    + of_uv("lib"),
    "an extra that is not asked for": app(need("flask"))
    + of_uv("flask", more=EXTRA)
    + of_uv("lib"),
    "a group of development": app(
        need("click"), more=f"\n[package.dev-dependencies]\ndev = [{need('lib')}]\n"
    )
    + of_uv("click")
    + of_uv("lib"),
    "a fork by marker": app(
        need("click", f"version = '8.1.7', {PYPI}, marker = \"python_version >= '3.9'\""),
        need("click", f"version = '8.0.0', {PYPI}, marker = \"python_version < '3.9'\""),
    )
    + of_uv("click-old")
    + of_uv("click"),
    "an index of one's own": app(need("torch"))
    + of_uv("local", source='registry = "https://download.pytorch.org/whl/cpu"'),
    "a cycle": app(need("flask")) + of_uv("flask", need("lib")) + of_uv("lib", need("flask")),
}


@pytest.mark.parametrize("name", UVLOCKS)
def test_a_uv_lock_means_what_uv_makes_of_it(name: str, house: House, tmp_path: Path) -> None:
    lock = tmp_path / "uv.lock"
    lock.write_text(house.filled(UVLOCKS[name]))
    needs = "dependencies = []\n[dependency-groups]\ndev = []\n"
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "app"\nversion = "1.0.0"\nrequires-python = ">=3.11"\n{needs}'
    )
    argv = [uv.find_uv_bin(), "export", "--frozen", "--offline", "--no-emit-project", "--no-dev"]
    argv += ["--python", sys.executable, "-o", "exported.lock", "-q"]
    done = run(argv, tmp_path)
    assert done.returncode == 0, done.stderr
    assert pins(ours(house, lock)) == uv_takes(house, tmp_path / "exported.lock")


# --- Poetry, PDM, Pipenv -----------------------------------------------------------------------


def of_tool(key: str, more: str, *others: str) -> str:
    recipe = STOCK[key]
    files = [f'    {{file = "@{k}.whl@", hash = "sha256:@{k}@"}},\n' for k in (key, *others)]
    files.append(f'    {{file = "{recipe.stem}.tar.gz", hash = "sha256:{"2" * 64}"}},\n')
    name, version = recipe.name, recipe.version
    return (
        f'[[package]]\nname = "{name}"\nversion = "{version}"\ndescription = "A package"\n{more}\n'
        f"files = [\n{''.join(files)}]\n\n"
    )


MAIN, DEV = 'groups = ["main"]', 'groups = ["dev"]'
POETRY = (
    '# This file is automatically @generated by Poetry 2.1.1\n{}\n[metadata]\nlock-version = "{}"'
)
POETRY += '\npython-versions = ">=3.11,<4"\ncontent-hash = "c0ffee"\n'
PDM = '# This file is @generated by PDM.\n[metadata]\ngroups = ["default", "dev"]\n'
PDM += 'strategy = ["cross_platform"{}]\nlock_version = "4.5.0"\n\n{}'
INHERITED = ', "inherit_metadata"'
DEFAULT, WIN = 'groups = ["default"]', "sys_platform == 'win32'"
TOOLS = {
    "poetry: the main group": (
        "poetry.lock",
        POETRY.format(of_tool("flask", MAIN) + of_tool("click", MAIN) + of_tool("lib", DEV), "2.1"),
        ["click", "flask"],
    ),
    "poetry: markers": (
        "poetry.lock",
        POETRY.format(
            of_tool("click", MAIN)
            + of_tool("wmi", f'{MAIN}\nmarkers = "{WIN}"')
            + of_tool("lib", f'{MAIN}\noptional = true\nmarkers = "extra == \\"pg\\""'),
            "2.1",
        ),
        ["click"],
    ),
    "poetry: a marker for each group": (
        "poetry.lock",
        POETRY.format(
            of_tool("click", f'groups = ["main"]\nmarkers = {{main = "{WIN}", dev = ""}}'),
            "2.1",
        ),
        [],
    ),
    "poetry: the best file": (
        "poetry.lock",
        POETRY.format(of_tool("pure", MAIN, "native", "mac"), "2.1"),
        ["native"],
    ),
    "poetry 1": ("poetry.lock", POETRY.format(of_tool("click", ""), "2.0"), ["!foreign-lock"]),
    "pdm: the default group": (
        "pdm.lock",
        PDM.format(INHERITED, of_tool("click", DEFAULT) + of_tool("lib", DEV)),
        ["click"],
    ),
    "pdm: markers": (
        "pdm.lock",
        PDM.format(
            INHERITED, of_tool("wmi", f'{DEFAULT}\nmarker = "{WIN}"') + of_tool("click", DEFAULT)
        ),
        ["click"],
    ),
    "pdm: without metadata": ("pdm.lock", PDM.format("", of_tool("click", "")), ["!foreign-lock"]),
    "pipenv: the default section": (
        "Pipfile.lock",
        json.dumps(
            {
                "_meta": {"hash": {"sha256": "c0ffee"}, "pipfile-spec": 6},
                "default": {
                    "click": {"hashes": ["sha256:@click@"], "version": "==8.1.7"},
                    "wmi": {"hashes": ["sha256:@wmi@"], "version": "==1.5", "markers": WIN},
                    "orjson": {
                        "hashes": ["sha256:@native@", "sha256:@pure@"],
                        "index": "pypi",
                        "markers": "python_version >= '3.8'",
                        "version": "==3.10.0",
                    },
                },
                "develop": {"lib": {"hashes": ["sha256:@lib@"], "version": "==2.0"}},
            },
            indent=4,
        ),
        ["click", "native"],
    ),
}


@pytest.mark.parametrize("name", TOOLS)
def test_the_locks_of_other_tools_are_read_where_they_are_exact(
    name: str, house: House, tmp_path: Path
) -> None:
    file, text, expected = TOOLS[name]
    lock = tmp_path / file
    lock.write_text(house.filled(text))
    assert ours(house, lock) == sorted(k if k[0] == "!" else house.files[k].name for k in expected)


@pytest.mark.parametrize(
    ("file", "text", "command"),
    [
        ("poetry.lock", POETRY.format(of_tool("click", "") * 1862, "2.0"), "poetry export"),
        ("requirements.lock", POETRY.format(of_tool("click", "") * 99, "1.1"), "poetry export"),
        ("pdm.lock", PDM.format("", of_tool("click", "")), "pdm export"),
        ("Pipfile.lock", '{"default": 1}', "pipenv requirements --hash"),
        ("pyproject.toml", "[project]\n", "uv lock"),
        ("Pipfile", "[packages]\n", "pipenv lock"),
        ("requirements.txt", "".join(f"click{n}==1\n" for n in range(999)), "--generate-hashes"),
    ],
)
def test_a_file_that_is_no_exact_lock_is_reported_with_the_command(
    file: str, text: str, command: str, tmp_path: Path
) -> None:
    lock = tmp_path / file
    lock.write_text(text)
    with pytest.raises(InputError) as caught:
        lockfile.read(lock)
    assert len(caught.value.mistakes) <= 3
    assert command in caught.value.mistakes[-1].hint


# --- what no index has -------------------------------------------------------------------------

OF_FOLDER = """\
lock-version = "1.0"
created-by = "test"
[[packages]]
name = "lib"
directory = { path = "packages/lib" }
"""
OWN = {
    "a workspace": (
        "uv.lock",
        app(need("lib")) + of_uv("lib", source='editable = "packages/lib"'),
        "uv build --wheel --package lib -o ",
    ),
    "git": (
        "uv.lock",
        app(need("lib")) + of_uv("lib", source='git = "https://example.com/lib?rev=main#0123abc"'),
        "pip wheel --no-deps -w ",
    ),
    "a folder of a pylock": (
        "pylock.toml",
        OF_FOLDER,
        "uv build --wheel -o ",
    ),
    "a path of Poetry": (
        "poetry.lock",
        POETRY.format(
            f'[[package]]\nname = "lib"\nversion = "2.0"\n{MAIN}\nfiles = []\n'
            '[package.source]\ntype = "directory"\nurl = "packages/lib"\n',
            "2.1",
        ),
        "uv build --wheel -o ",
    ),
    "a path of Pipenv": (
        "Pipfile.lock",
        '{"default": {"lib": {"path": "./packages/lib", "editable": true}}}',
        "uv build --wheel -o ",
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_an_origin_outside_an_index_is_built_and_never_fetched_by_name(
    name: str, house: House, tmp_path: Path
) -> None:
    """Otherwise anyone who registers the name on an index could run code here."""
    file, text, command = OWN[name]
    lock, empty = tmp_path / file, tmp_path / "wheels"
    lock.write_text(text)
    empty.mkdir()
    write_wheel(empty, Recipe("uv", "0.9.0"))
    with pytest.raises(InputError) as caught:
        select.load(house.folder / "app-1.0.0-py3-none-any.whl", lock, empty).select(BOOKWORM)
    (mistake,) = caught.value.mistakes
    assert (mistake.code, command in mistake.hint) == ("missing-wheel", True), mistake
    assert "pip download" not in str(caught.value)
    assert ours(house, lock) == ["lib-2.0-py3-none-any.whl"]  # built, it is taken


@pytest.mark.parametrize("line", ["-e ./packages/lib", "./packages/lib", "lib @ file:///src/lib"])
def test_a_path_among_requirements_must_be_built(line: str, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"{line}\n")
    with pytest.raises(InputError) as caught:
        lockfile.read(lock)
    (mistake,) = caught.value.mistakes
    assert (mistake.code, "uv build --wheel" in mistake.hint) == ("not-pinned", True)


def test_the_project_itself_in_an_export_has_its_own_hint(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("-e .\n")
    with pytest.raises(InputError, match="uv export --no-emit-project"):
        lockfile.read(lock)


def test_a_wheel_built_from_a_locked_source_has_its_own_hint(house: House, tmp_path: Path) -> None:
    lock = tmp_path / "uv.lock"
    lock.write_text(house.filled(app(need("lib")) + of_uv("lib", sdist=True)))
    app_wheel = house.folder / "app-1.0.0-py3-none-any.whl"
    with pytest.raises(InputError) as caught:
        select.load(app_wheel, lock, house.folder / "wheels").select(BOOKWORM)
    (mistake,) = caught.value.mistakes
    assert "only that of its source" in mistake.what
    assert "lib==2.0 --hash=sha256:" in mistake.hint
