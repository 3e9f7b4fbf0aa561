"""pylock.toml (PEP 751)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet

from locks import A, B, locked, mistakes, only, wanted
from shipit.bundle.lock import Locked, Origin
from shipit.errors import Mistake, Place

if TYPE_CHECKING:
    from pathlib import Path

PYLOCK = 'lock-version = "1.0"\ncreated-by = "test"\n'
WIN = "sys_platform == 'win32'"


def package(name: str, more: str = "") -> str:
    filename = f"{name.replace('-', '_')}-1-py3-none-any.whl"
    wheels = f'[{{ url = "https://x/{filename}", hashes = {{ sha256 = "{A}" }} }}]'
    return f'[[packages]]\nname = "{name}"\nversion = "1"\n{more}\nwheels = {wheels}\n'


def test_a_pylock_is_read_with_markers_and_required_python(tmp_path: Path) -> None:
    text = PYLOCK + 'requires-python = ">=3.11"\n' + package("a")
    text += package("b", "marker = \"sys_platform == 'win32'\"")
    text += package("c", "marker = \"'dev' in dependency_groups\"")
    lock = locked(tmp_path, text, "pylock.toml")
    assert [entry.pin for entry in lock.entries] == ["a==1", "b==1", "c==1"]
    assert str(lock.requires_python) == ">=3.11"
    assert wanted(lock) == ["a==1"]
    assert [entry.pin for entry in lock.unconditional()] == ["a==1"]


def test_the_default_groups_of_a_pylock_are_wanted(tmp_path: Path) -> None:
    text = PYLOCK + 'dependency-groups = ["main"]\ndefault-groups = ["main"]\n'
    text += package("a", "marker = \"'main' in dependency_groups\"")
    assert wanted(locked(tmp_path, text, "pylock.prod.toml")) == ["a==1"]


def test_an_entry_of_a_pylock_has_all_its_digests_and_its_place(tmp_path: Path) -> None:
    text = (
        PYLOCK
        + f"""
environments = ["{WIN}"]
[[packages]]
name = "a"
version = "1.0"
marker = "{WIN}"
sdist = {{ url = "https://x/a-1.0.tar.gz", hashes = {{ sha256 = "{B.upper()}" }} }}
wheels = [
  {{ url = "https://x/a-1.0-py3-none-any.whl", hashes = {{ sha256 = "{A.upper()}" }} }},
  {{ url = "https://x/a-1.0-py2-none-any.whl", hashes = {{ md5 = "{A}" }} }},
]
"""
    )
    lock = locked(tmp_path, text, "pylock.toml")
    place = Place(f"{tmp_path}/pylock.toml", 5, 1)
    urls = {A: "https://x/a-1.0-py3-none-any.whl"}
    assert lock.entries == (
        Locked("a", "1.0", frozenset({A}), place, Marker(WIN), sources=frozenset({B}), urls=urls),
    )
    assert lock.environments == (Marker(WIN),)
    assert (lock.path, lock.requires_python, lock.is_graph) == (
        tmp_path / "pylock.toml",
        SpecifierSet(),
        False,
    )


def test_a_pylock_without_a_sha256_hash_is_refused_package_by_package(tmp_path: Path) -> None:
    text = PYLOCK + package("a").replace("sha256", "md5") + package("b").replace("sha256", "md5")
    lines = [n for n, line in enumerate(text.splitlines(), 1) if line == "[[packages]]"]
    hint = "write the lock with: uv pip compile --generate-hashes requirements.in -o pylock.toml"
    assert mistakes(tmp_path, text, "pylock.toml") == [
        Mistake(
            "no-hash", f"{name} has no sha256 hash", Place(f"{tmp_path}/pylock.toml", n, 1), hint
        )
        for name, n in zip("ab", lines, strict=True)
    ]


HASHES = f'hashes = {{ sha256 = "{B.upper()}" }}'


@pytest.mark.parametrize(
    ("source", "origin", "digests", "sources"),
    [
        (
            'directory = { path = "lib/a" }',
            Origin("the folder lib/a", "uv build --wheel -o {} lib/a", "lib/a", is_tree=True),
            (),
            (),
        ),
        (
            'vcs = { type = "git", url = "https://x/a", commit-id = "c0ffee" }',
            Origin(
                "a commit of https://x/a",
                "pip wheel --no-deps -w {} 'a @ git+https://x/a@c0ffee'",
                "git+https://x/a@c0ffee",
                is_tree=True,
            ),
            (),
            (),
        ),
        (
            'vcs = { type = "git", path = "../a", commit-id = "c0ffee" }',
            Origin(
                "a commit of ../a",
                "pip wheel --no-deps -w {} 'a @ git+../a@c0ffee'",
                "git+../a@c0ffee",
                is_tree=True,
            ),
            (),
            (),
        ),
        (
            f'archive = {{ url = "https://x/a-1.tar.gz", {HASHES} }}',
            Origin(
                "https://x/a-1.tar.gz",
                "pip wheel -w {} https://x/a-1.tar.gz",
                "https://x/a-1.tar.gz",
            ),
            (),
            (B,),
        ),
        (
            f'archive = {{ path = "a-1.tar.gz", {HASHES} }}',
            Origin("a-1.tar.gz", "pip wheel -w {} a-1.tar.gz", "a-1.tar.gz"),
            (),
            (B,),
        ),
        (
            f'archive = {{ path = "a-1-py3-none-any.whl", {HASHES} }}',
            Origin(
                "a-1-py3-none-any.whl",
                "pip download --no-deps -d {} a-1-py3-none-any.whl",
                "a-1-py3-none-any.whl",
                is_wheel=True,
            ),
            (B,),
            (),
        ),
        (
            f'archive = {{ path = "a-1.tar.gz", hashes = {{ md5 = "{B}" }} }}',
            Origin("a-1.tar.gz", "pip wheel -w {} a-1.tar.gz", "a-1.tar.gz"),
            (),
            (),
        ),
    ],
)
def test_a_source_outside_an_index_is_the_origin_of_an_entry_of_a_pylock(
    source: str,
    origin: Origin,
    digests: tuple[str, ...],
    sources: tuple[str, ...],
    tmp_path: Path,
) -> None:
    text = PYLOCK + f'[[packages]]\nname = "a"\n{source}\n'
    (entry,) = locked(tmp_path, text, "pylock.toml").entries
    place = Place(f"{tmp_path}/pylock.toml", 3, 1)
    assert entry == Locked(
        "a", "", frozenset(digests), place, sources=frozenset(sources), origin=origin
    )


def test_an_invalid_package_of_a_pylock_is_reported_with_its_line(tmp_path: Path) -> None:
    text = PYLOCK + package("a") + '[[packages]]\nname = "Not_Normal"\nversion = "1"\n'
    mistake = only(tmp_path, text, "pylock.toml")
    assert mistake.what.startswith("not a valid pylock.toml: ")
    assert "Not_Normal" in mistake.what
    line = text.splitlines().index('name = "Not_Normal"')
    place = Place(f"{tmp_path}/pylock.toml", line, 1)
    assert mistake == Mistake("lock-syntax", mistake.what, place)


def test_a_package_of_an_inline_table_has_the_place_of_the_file(tmp_path: Path) -> None:
    text = PYLOCK + 'packages = [{ name = "Not_Normal", version = "1" }]\n'
    assert only(tmp_path, text, "pylock.toml").place == Place(f"{tmp_path}/pylock.toml")
    text = PYLOCK + 'packages = [{ name = "a", directory = { path = "lib" } }]\n'
    (entry,) = locked(tmp_path, text, "pylock.toml").entries
    assert entry.place == Place(f"{tmp_path}/pylock.toml")


def test_a_pylock_without_a_version_is_reported_with_its_file(tmp_path: Path) -> None:
    mistake = only(tmp_path, 'created-by = "test"\n', "pylock.toml")
    place = Place(f"{tmp_path}/pylock.toml")
    assert mistake == Mistake("lock-syntax", mistake.what, place)
