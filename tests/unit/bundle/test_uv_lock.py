"""uv.lock, which is a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet

from locks import A, B, locked, only, wanted
from shipit.bundle.lock import Locked, Need, Origin
from shipit.errors import Mistake, Place

if TYPE_CHECKING:
    from pathlib import Path

UV = 'version = 1\nrequires-python = ">=3.11"\n'
WIN = "sys_platform == 'win32'"


def uv_package(name: str, *needs: str, more: str = "", version: str = "1") -> str:
    wheels = f'[{{ url = "https://x/{name}.whl", hash = "sha256:{A}" }}]'
    return (
        f'[[package]]\nname = "{name}"\nversion = "{version}"\n'
        f"dependencies = [{', '.join(needs)}]\nwheels = {wheels}\n{more}\n"
    )


def test_a_uv_lock_is_followed_from_the_app_through_extras_and_markers(tmp_path: Path) -> None:
    text = UV + uv_package(
        "app",
        '{ name = "web", extra = ["fast"] }',
        '{ name = "win", marker = "sys_platform == \'win32\'" }',
        more='[package.optional-dependencies]\ndev = [{ name = "test-tool" }]',
    )
    extra = '[package.optional-dependencies]\nfast = [{ name = "loop" }]\nslow = [{ name = "sql" }]'
    text += uv_package("web", '{ name = "io" }', more=extra)
    text += "".join(uv_package(name) for name in ("io", "loop", "sql", "test-tool", "win"))
    lock = locked(tmp_path, text, "uv.lock")
    assert wanted(lock) == ["io==1", "loop==1", "web==1"]
    assert lock.unconditional() == ()


def test_a_uv_lock_with_a_cycle_and_two_versions_takes_the_one_that_is_needed(
    tmp_path: Path,
) -> None:
    text = UV + uv_package("app", '{ name = "a", version = "2" }')
    text += uv_package("a", version="1") + uv_package("a", '{ name = "b" }', version="2")
    text += uv_package("b", '{ name = "a", version = "2" }')
    assert wanted(locked(tmp_path, text, "uv.lock")) == ["a==2", "b==1"]


def test_an_entry_of_a_uv_lock_has_digests_needs_and_source(tmp_path: Path) -> None:
    text = (
        UV
        + f"""\
supported-markers = ["{WIN}"]
[[package]]
name = "My.App"
version = "1.0"
source = {{ registry = "https://x/simple", z = "y" }}
sdist = {{ url = "https://x/a.tar.gz", hash = "sha256:{B}" }}
wheels = [
  {{ url = "https://x/a.whl", hash = "sha256:{A}" }},
  {{ url = "https://x/b.whl" }},
]
dependencies = [
  {{ name = "Dep_one", version = "2", extra = ["Fa.st"], marker = "{WIN}" }},
  {{ name = "two", source = {{ url = "https://x/two.whl" }} }},
]
[package.optional-dependencies]
Ex_tra = [{{ name = "three" }}]
"""
    )
    lock = locked(tmp_path, text, "uv.lock")
    (entry,) = lock.entries
    assert entry == Locked(
        "my-app",
        "1.0",
        frozenset({A}),
        Place(f"{tmp_path}/uv.lock", 4, 1),
        needs=(
            Need("dep-one", "2", ("fa-st",), Marker(WIN)),
            Need("two", source="url https://x/two.whl"),
        ),
        extra_needs={"ex-tra": (Need("three"),)},
        sources=frozenset({B}),
        source="registry https://x/simple z y",
        urls={A: "https://x/a.whl"},
    )
    assert (lock.path, lock.requires_python) == (tmp_path / "uv.lock", SpecifierSet(">=3.11"))
    assert (lock.environments, lock.is_graph) == ((Marker(WIN),), True)


def test_all_but_the_name_may_be_missing_in_a_uv_lock(tmp_path: Path) -> None:
    lock = locked(tmp_path, 'version = 1\n[[package]]\nname = "a"\n', "uv.lock")
    assert lock.entries == (Locked("a", "", frozenset(), Place(f"{tmp_path}/uv.lock", 2, 1)),)
    assert (lock.requires_python, lock.environments) == (SpecifierSet(), ())


def folder(path: str) -> Origin:
    return Origin(f"the folder {path}", "uv build --wheel --package a -o {}", path, is_tree=True)


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        ('editable = "."', folder(".")),
        ('directory = "lib/a"', folder("lib/a")),
        ('virtual = "lib"', folder("lib")),
        (
            'git = "https://x/a?rev=main#c0ffee"',
            Origin(
                "a commit of https://x/a",
                "pip wheel --no-deps -w {} 'a @ git+https://x/a@c0ffee'",
                "git+https://x/a@c0ffee",
                is_tree=True,
            ),
        ),
        (
            'git = "https://x/a?rev=what?#c0#ffee"',
            Origin(
                "a commit of https://x/a",
                "pip wheel --no-deps -w {} 'a @ git+https://x/a@c0#ffee'",
                "git+https://x/a@c0#ffee",
                is_tree=True,
            ),
        ),
        (
            'url = "https://x/a.tgz"',
            Origin("https://x/a.tgz", "pip wheel -w {} https://x/a.tgz", "https://x/a.tgz"),
        ),
        ('path = "a.tgz"', Origin("a.tgz", "pip wheel -w {} a.tgz", "a.tgz")),
        ('registry = "https://x/simple"', None),
    ],
)
def test_a_source_outside_an_index_is_the_origin_of_an_entry_of_a_uv_lock(
    source: str, origin: Origin | None, tmp_path: Path
) -> None:
    text = f'version = 1\n[[package]]\nname = "a"\nsource = {{ {source} }}\n'
    (entry,) = locked(tmp_path, text, "uv.lock").entries
    assert entry.origin == origin


def test_a_uv_lock_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    assert only(tmp_path, 'version = 1\n[[package]]\nversion = "1"\n', "uv.lock") == Mistake(
        "lock-syntax",
        "this uv.lock is not understood (KeyError: 'name')",
        Place(f"{tmp_path}/uv.lock"),
        "run: uv lock, or: uv export",
    )


def test_a_package_of_an_inline_table_in_a_uv_lock_has_the_place_of_the_file(
    tmp_path: Path,
) -> None:
    (entry,) = locked(tmp_path, 'package = [{ name = "a", version = "1" }]\n', "uv.lock").entries
    assert entry.place == Place(f"{tmp_path}/uv.lock")
