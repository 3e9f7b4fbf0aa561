"""The format of a lock is detected; a file that locks nothing comes with the way to lock it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from locks import A, locked, only, wanted
from shipit.bundle.lock import Parts
from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from pathlib import Path

REQUIREMENTS = f"a==1 --hash=sha256:{A}\n"
PIPFILE = f'{{"default": {{"a": {{"version": "==1", "hashes": ["sha256:{A}"]}}}}}}'
PYLOCK = 'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "a"\nversion = "1"\n'
PYLOCK += f'sdist = {{ url = "https://x/a-1.tar.gz", hashes = {{ sha256 = "{A}" }} }}\n'
UV = 'version = 1\n[[package]]\nname = "a"\nversion = "1"\n'
POETRY = f'{UV[12:]}groups = ["main"]\n[metadata]\nlock-version = "2.1"\n'
PDM = '[metadata]\nlock_version = "4"\nstrategy = ["inherit_metadata"]\n'
PDM += '[[package]]\nname = "a"\nversion = "1"\ngroups = ["default"]\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.txt", REQUIREMENTS),
        ("Pipfile.lock", PIPFILE),
        ("other.lock", f"\n  {PIPFILE}"),
        ("pylock.toml", PYLOCK),
        ("pylock.prod.toml", PYLOCK),
        ("other.lock", PYLOCK),
        ("other.lock", PYLOCK.replace("[[packages]]", "[[ packages ]]")),
        ("uv.lock", UV),
        ("other.lock", UV),
        ("poetry.lock", POETRY),
        ("other.lock", POETRY),
        ("pdm.lock", PDM),
        ("other.lock", PDM),
        ("uv.lock", UV.replace("version = 1", "version = 1\nmetadata = 1", 1)),
    ],
)
def test_the_format_of_a_lock_is_detected_from_its_text(
    name: str, text: str, tmp_path: Path
) -> None:
    assert [entry.pin for entry in locked(tmp_path, text, name).entries] == ["a==1"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("uv.lock", "version = 1\n", "this uv.lock is not understood"),
        ("Pipfile.lock", "", "the lock is not understood (JSONDecodeError"),
        ("poetry.lock", '[metadata]\nlock-version = "1"\n', "a lock of Poetry 1"),
        ("pdm.lock", '[metadata]\nlock_version = "1"\n', "this lock does not say"),
        ("pylock.toml", "a==1\n", "no TOML"),
        ("uv.lock", "a==1\n", "no TOML"),
        ("poetry.lock", "a==1\n", "no TOML"),
        ("pdm.lock", "a==1\n", "no TOML"),
        ("pdm.lock", "", "not a valid pylock.toml"),
    ],
)
def test_a_lock_without_packages_is_read_by_its_name(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    assert only(tmp_path, text, name).what.startswith(said)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("pyproject.toml", "uv lock, and name uv.lock here"),
        ("Pipfile", "pipenv lock, and name Pipfile.lock here"),
        ("setup.py", "uv pip compile --generate-hashes setup.py -o requirements.lock"),
        ("setup.cfg", "uv pip compile --generate-hashes setup.cfg -o requirements.lock"),
        *(
            (name, "uv pip compile --generate-hashes requirements.in -o requirements.lock")
            for name in ("package-lock.json", "conda-lock.yml", "pixi.lock")
        ),
    ],
)
def test_a_file_that_locks_nothing_is_reported_with_the_command_that_locks_it(
    name: str, how: str, tmp_path: Path
) -> None:
    what = f"{name} is not a lock of a Python app: it has no exact versions with hashes"
    place = Place(f"{tmp_path}/{name}")
    assert only(tmp_path, "", name) == Mistake("no-lock", what, place, f"lock it: {how}")


# --- extras and dependency groups --------------------------------------------------------------

_HASH = f'hash = "sha256:{"a" * 64}"'


def _package(name: str, more: str) -> str:
    wheel = f'wheels = [{{ url = "https://x/{name}-1-py3-none-any.whl", {_HASH} }}]'
    files = f'files = [{{ file = "{name}-1-py3-none-any.whl", {_HASH} }}]'
    kind = wheel if "source" in more else files
    return f'[[package]]\nname = "{name}"\nversion = "1"\n{more}\n{kind}\n'


_REGISTRY = 'source = { registry = "https://pypi.org/simple" }'
_UV = (
    "version = 1\n"
    + "".join(_package(name, _REGISTRY) for name in ("base", "driver", "linter"))
    + '[[package]]\nname = "app"\nversion = "1"\nsource = { editable = "." }\n'
    + 'dependencies = [{ name = "base" }]\n'
    + '[package.optional-dependencies]\nPg_Sql = [{ name = "driver" }]\n'
    + '[package.dev-dependencies]\nlint = [{ name = "linter" }]\n'
)
_POETRY = (
    _package("base", 'groups = ["main"]')
    + _package("driver", 'groups = ["main"]\noptional = true\nmarkers = "extra == \'pg-sql\'"')
    + _package("linter", 'groups = ["lint"]')
    + '[extras]\npg-sql = ["driver"]\n[metadata]\nlock-version = "2.1"\n'
)
_PDM = (
    _package("base", 'groups = ["default"]')
    + _package("driver", 'groups = ["pg-sql"]')
    + _package("linter", 'groups = ["lint"]')
    + '[metadata]\nlock_version = "4.5.0"\nstrategy = ["inherit_metadata"]\n'
)
_PYLOCK = (
    'lock-version = "1.0"\ncreated-by = "test"\nextras = ["pg-sql"]\ndependency-groups = ["lint"]\n'
    + "".join(
        f'[[packages]]\nname = "{name}"\nversion = "1"\n{marker}\n'
        f'wheels = [{{ url = "https://x/{name}-1-py3-none-any.whl",'
        f' hashes = {{ sha256 = "{"a" * 64}" }} }}]\n'
        for name, marker in (
            ("base", ""),
            ("driver", "marker = \"'pg-sql' in extras\""),
            ("linter", "marker = \"'lint' in dependency_groups\""),
        )
    )
)
LOCKS = {
    "uv.lock": _UV,
    "poetry.lock": _POETRY,
    "pdm.lock": _PDM,
    "pylock.toml": _PYLOCK,
}


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize(
    ("parts", "pins"),
    [
        (Parts(), ["base==1"]),
        (Parts(extras=("pg-sql",)), ["base==1", "driver==1"]),
        (Parts(groups=("lint",)), ["base==1", "linter==1"]),
        (Parts(("pg-sql",), ("lint",)), ["base==1", "driver==1", "linter==1"]),
    ],
)
def test_the_chosen_extras_and_groups_are_wanted_too(
    name: str, parts: Parts, pins: list[str], tmp_path: Path
) -> None:
    assert wanted(locked(tmp_path, LOCKS[name], name, parts)) == pins


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("parts", [Parts(extras=("pg",)), Parts(groups=("lnt",))])
def test_an_extra_or_a_group_that_the_lock_does_not_have_is_refused(
    name: str, parts: Parts, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        wanted(locked(tmp_path, LOCKS[name], name, parts))
    (mistake,) = caught.value.mistakes
    assert (mistake.code, mistake.place) == ("unknown-part", Place(f"{tmp_path}/{name}"))


def test_a_category_of_a_pipfile_lock_is_a_group(tmp_path: Path) -> None:
    entry = {"version": "==1", "hashes": [f"sha256:{'a' * 64}"]}
    text = json.dumps({"_meta": {}, "default": {"base": entry}, "lint": {"linter": entry}})
    lock = locked(tmp_path, text, "Pipfile.lock", Parts(groups=("lint",)))
    assert wanted(lock) == ["base==1", "linter==1"]


def test_requirements_have_no_groups(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        locked(tmp_path, f"a==1 --hash=sha256:{'a' * 64}\n", parts=Parts(groups=("lint",)))
    assert caught.value.mistakes[0].hint == "known: none"
