"""bundle.json, and the names of targets."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from repositories import committed
from shipit.archive import build
from shipit.archive import manifest as manifests
from shipit.archive.manifest import Artifact, BrokenError, ForTarget, Manifest
from tiny_backend import write_project
from unit.project.test_sources import Site, sdist, uv_lock
from wheelhouse import BOOKWORM, Recipe, installed_wheel, sha256, write_wheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from shipit.bundle.target import Target

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
X86 = "linux-x86_64-gnu2.36-cp311"
MADE = Manifest(
    name="app",
    version="1.0",
    folder="files",
    app=A,
    artifacts={
        A: Artifact("app-1.0-py3-none-any.whl", A, 1),
        B: Artifact("dep-1.0-py3-none-any.whl", B, 2),
        C: Artifact("uv-1.0-py3-none-any.whl", C, 3),
    },
    targets=(ForTarget(X86, (B,), C),),
    commit="",
    revision="",
    is_dirty=False,
    lock="uv.lock",
    lock_sha256=A,
    built_with={"uv": "1"},
)


D = "d" * 64
PYTHON = Artifact("cpython-3.13.1.tar.gz", D, 4, "3.13.1")
NEW, OLD = "linux-x86_64-gnu2.17-cp313", "linux-x86_64-gnu2.17-cp312"
BROUGHT = replace(
    MADE,
    artifacts={**MADE.artifacts, D: PYTHON},
    targets=(ForTarget(X86, (B,), C), ForTarget(NEW, (B,), C, D)),
)


def test_it_is_read_as_it_was_written() -> None:
    text = manifests.to_json(MADE)
    assert manifests.from_json(text) == MADE
    assert manifests.to_json(manifests.from_json(text)) == text
    assert MADE.filename == f"app-1.0-{X86}.shipit"


def test_it_has_the_names_of_variables_and_none_that_could_be_anything_else() -> None:
    made = replace(MADE, env={"web": ("PORT", "SECRET")})
    assert manifests.from_json(manifests.to_json(made)) == made
    assert "env" not in json.loads(manifests.to_json(MADE))  # as before there were any
    for env in ({"web": ["A\x1b"]}, {"w b": ["A"]}, {"web": 1}, ["web"]):
        text = json.dumps({**json.loads(manifests.to_json(MADE)), "env": env})
        with pytest.raises(BrokenError):
            manifests.from_json(text)


def test_the_name_of_a_file_is_one_that_a_disk_takes() -> None:
    many = tuple(ForTarget(f"linux-x86_64-gnu2.36-cp3{n}", (B,), C) for n in range(11, 31))
    assert replace(MADE, targets=many).filename == "app-1.0-20-targets.shipit"


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": None},
        {"artifacts": []},
        {"artifacts": [{"filename": "x.whl"}]},
        {"targets": []},
        {"targets": [{"target": "windows", "wheels": [B], "installer": C}]},
        {"targets": [{"target": X86, "wheels": [], "installer": C}]},
        {"targets": [{"target": X86, "wheels": [B, "d" * 64], "installer": C}]},
        {"app": "../../etc"},
        {"more": 1},
        {"targets": 5},
    ],
)
def test_one_that_says_something_else_is_refused(change: dict[str, object]) -> None:
    values = {**json.loads(manifests.to_json(MADE)), **change}
    with pytest.raises(BrokenError):
        manifests.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", "5", "{", "[" * 100_000, '{"format": 1}'])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(BrokenError):
        manifests.from_json(text)


@pytest.mark.parametrize("name", ["../x.whl", "a/b.whl", "x.tar.gz", "", "x.whl", "a-b.whl"])
def test_a_wheel_has_a_plain_name(name: str) -> None:
    artifacts = {**MADE.artifacts, B: Artifact(name, B, 2)}
    with pytest.raises(BrokenError, match=r"names a wheel|Invalid wheel filename"):
        manifests.from_json(manifests.to_json(replace(MADE, artifacts=artifacts)))


@pytest.mark.parametrize(
    "name",
    [X86, "linux-aarch64-musl1.2-cp313", "linux-x86_64-gnu2.17-pp310"],
)
def test_a_target_has_one_name(name: str) -> None:
    assert manifests.name_of(manifests.target_of(name)) == name


def test_the_name_of_a_host_is_that_of_its_kind() -> None:
    assert manifests.name_of(BOOKWORM) == X86


@pytest.mark.parametrize(
    "name", ["", "linux", "linux-x86_64-gnu2-cp311", "win-x86_64-gnu2.1-cp311"]
)
def test_another_word_is_no_target(name: str) -> None:
    with pytest.raises(BrokenError, match="no target such as"):
        manifests.target_of(name)


@pytest.mark.parametrize(
    "target",
    [
        replace(BOOKWORM, implementation="graalpy"),
        replace(BOOKWORM, machine="../../x86"),
        replace(BOOKWORM, libc=("bionic", 1, 0)),
    ],
)
def test_what_a_host_claims_becomes_no_other_path(target: Target) -> None:
    with pytest.raises(BrokenError, match="no bundle can be built for"):
        manifests.name_of(target)


@pytest.mark.parametrize(
    ("targets", "host", "chosen"),
    [
        (["gnu2.31-cp311", "gnu2.36-cp311"], BOOKWORM, "gnu2.36-cp311"),
        (["gnu2.31-cp311", "gnu2.38-cp311"], BOOKWORM, "gnu2.31-cp311"),
        (["gnu2.38-cp311"], BOOKWORM, ""),
        (["gnu2.36-cp312"], BOOKWORM, ""),
        (["musl1.2-cp311"], BOOKWORM, ""),
        (["gnu2.36-cp311"], replace(BOOKWORM, machine="aarch64"), ""),
    ],
)
def test_a_host_gets_what_was_built_for_its_python_and_a_libc_that_it_has(
    targets: list[str], host: Target, chosen: str
) -> None:
    made = replace(MADE, targets=tuple(ForTarget(f"linux-x86_64-{t}", (B,), C) for t in targets))
    best = manifests.best_for(made, host)
    assert (best.target.removeprefix("linux-x86_64-") if best else "") == chosen


# --- Pythons


def test_a_bundle_without_pythons_has_the_text_that_it_had_before_there_were_any() -> None:
    """Its bytes are compared with what would be written for it."""
    values = json.loads(manifests.to_json(MADE))
    assert values["targets"] == [{"target": X86, "wheels": [B], "installer": C}]
    assert {key for each in values["artifacts"] for key in each} == {"filename", "sha256", "size"}


def test_one_with_a_python_is_read_as_it_was_written() -> None:
    text = manifests.to_json(BROUGHT)
    assert manifests.from_json(text) == BROUGHT
    assert manifests.to_json(manifests.from_json(text)) == text
    assert PYTHON.entry == f"pythons/{D}/cpython-3.13.1.tar.gz"


@pytest.mark.parametrize(
    "change",
    [
        {"filename": "../x.tar.gz"},
        {"filename": "x.whl"},
        {"python": "3.13"},
        {"python": "3.13.1/../.."},
        {"python": ""},
    ],
)
def test_a_python_has_a_plain_name_and_a_version(change: dict[str, Any]) -> None:
    artifacts = {**MADE.artifacts, D: replace(PYTHON, **change)}
    with pytest.raises(BrokenError):
        manifests.from_json(manifests.to_json(replace(BROUGHT, artifacts=artifacts)))


@pytest.mark.parametrize("python", ["", B, "e" * 64])
def test_a_target_names_a_python_that_is_listed_as_one(python: str) -> None:
    targets = (ForTarget(X86, (B,), C), ForTarget(NEW, (B,), C, python))
    with pytest.raises(BrokenError, match="other wheels than it lists"):
        manifests.from_json(manifests.to_json(replace(BROUGHT, targets=targets)))


def test_the_newest_python_for_a_kind_of_host_is_chosen() -> None:
    targets = (ForTarget(OLD, (B,), C, D), ForTarget(NEW, (B,), C, D), ForTarget(X86, (B,), C))
    made, libc = replace(MADE, targets=targets), ("glibc", 2, 36)

    def chosen(machine: str, libc: tuple[str, int, int], *python: int) -> str:
        wanted = (python[0], python[1]) if python else None
        found = manifests.with_python(made, machine, libc, wanted)
        return found.target if found else ""

    assert chosen("x86_64", libc) == NEW
    assert chosen("x86_64", libc, 3, 12) == OLD
    assert chosen("x86_64", libc, 3, 11) == "", "the host's own is asked for there"
    assert chosen("aarch64", libc) == chosen("x86_64", ("glibc", 2, 12)) == ""
    assert chosen("x86_64", ("musl", 1, 2)) == ""


def test_what_a_wheel_was_built_from_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIPIT_CACHE_DIR", str(tmp_path / "cache"))
    site = Site(tmp_path, installed_wheel(tmp_path / "pip", "pip"))
    old = sdist(tmp_path, "old")
    old.rename(site.wheels / old.name)
    digest = sha256(site.wheels / old.name)
    files = f'sdist = {{ url = "https://x/{old.name}", hash = "sha256:{digest}" }}'
    repository = write_project(tmp_path / "core", "core")
    commit = committed(repository)
    url = f"file://{repository}?rev=main#{commit}"
    fetched = write_wheel(site.wheels, Recipe("alpha"))
    wheel = f'wheels = [{{ url = "https://x/{fetched.name}", hash = "sha256:{sha256(fetched)}" }}]'
    index = 'version = "1.0.0"\nsource = { registry = "https://pypi.org/simple" }'
    packages = (
        f'name = "old"\n{index}\n{files}',
        f'name = "core"\nversion = "1.0.0"\nsource = {{ git = "{url}" }}',
        f'name = "alpha"\n{index}\n{wheel}',
    )
    uv_lock(site, *packages)
    sources = site.load()
    made = build.manifest(sources, {X86: sources.select(BOOKWORM, "pip")})
    found = {each.filename.split("-")[0]: each.source for each in made.artifacts.values()}
    assert found.pop("core").endswith(f"@{commit}")
    assert found == {"old": f"sha256:{digest}", "alpha": "", "billing": "", "pip": ""}
    assert manifests.from_json(manifests.to_json(made)) == made
    assert manifests.to_json(made).count('"source"') == 2


def places(value: object, *at: str | int) -> Iterator[tuple[str | int, ...]]:
    """Yield where each value of a document is."""
    yield at
    inside: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict | list):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inside:
        yield from places(each, *at, key)


WHOLE = json.loads(manifests.to_json(replace(BROUGHT, env={"web": ("PORT",)})))
WRONG: tuple[object, ...] = (None, 1.5, "\x1b", [None], {"\x1b": "x"}, -1)


@pytest.mark.parametrize("at", [*places(WHOLE)][1:], ids=lambda at: ".".join(map(str, at)))
def test_a_value_of_another_type_is_refused(at: tuple[str | int, ...]) -> None:
    for wrong in WRONG:
        document = deepcopy(WHOLE)
        inner = document
        for key in at[:-1]:
            inner = inner[key]
        inner[at[-1]] = wrong
        with pytest.raises(BrokenError):
            manifests.from_json(json.dumps(document))


def test_what_is_wrong_is_said() -> None:
    wrong = {**WHOLE, "artifacts": [{**each, "size": "3"} for each in WHOLE["artifacts"]]}
    with pytest.raises(BrokenError, match=r"bundle\.json\.artifacts\.size is not a number"):
        manifests.from_json(json.dumps(wrong))
