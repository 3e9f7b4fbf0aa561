"""Read one wheel; reject files that are not valid wheels."""

import random
import zipfile
from pathlib import Path

import pytest

import wheelhouse
from shipit.bundle.wheel import files_of, open_wheel
from shipit.errors import InputError
from wheelhouse import Recipe, write_wheel


def test_name_version_tags_and_digest_are_read(tmp_path: Path) -> None:
    recipe = Recipe("My.App", "1.0rc1", tag="py2.py3-none-any", requires=("a>=1",))
    path = write_wheel(tmp_path, recipe)
    wheel = open_wheel(path)
    assert (wheel.name, wheel.version, wheel.pin) == ("my-app", "1.0rc1", "my-app==1.0rc1")
    assert {str(tag) for tag in wheel.tags} == {"py2-none-any", "py3-none-any"}
    assert (wheel.sha256, wheel.size) == (wheelhouse.sha256(path), path.stat().st_size)
    assert [str(requirement) for requirement in wheel.requires] == ["a>=1"]


def code_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_wheel(path)
    (mistake,) = caught.value.mistakes
    return mistake.code


def test_a_missing_wheel_is_reported_with_the_command_that_builds_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="python -m build --wheel"):
        open_wheel(tmp_path / "app-1-py3-none-any.whl")


def test_the_files_of_a_wheel_are_named_by_where_they_land(tmp_path: Path) -> None:
    files = {"a.py": "1", "app-1.0.0.data/data/app/manage.py": "2"}
    found = files_of(write_wheel(tmp_path, Recipe("app", files=files)))
    assert sorted(found) == ["app/manage.py", "lib/python/site-packages/a.py"]


def test_a_folder_is_not_a_wheel(tmp_path: Path) -> None:
    (tmp_path / "app-1-py3-none-any.whl").mkdir()
    assert code_of(tmp_path / "app-1-py3-none-any.whl") == "missing-wheel"


def test_a_file_without_a_wheel_name_is_refused(tmp_path: Path) -> None:
    assert (
        code_of(write_wheel(tmp_path, Recipe("app")).rename(tmp_path / "app.whl")) == "not-a-wheel"
    )


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "app-1-py3-none-any.whl"
    path.write_text("<html>404</html>")
    assert code_of(path) == "not-a-wheel"


def test_a_truncated_wheel_is_refused(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, Recipe("app"))
    path.write_bytes(path.read_bytes()[:-40])
    assert code_of(path) == "not-a-wheel"


def test_a_zip_without_metadata_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "app-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("app.py", "")
    assert code_of(path) == "not-a-wheel"


def test_a_renamed_wheel_of_something_else_is_refused(tmp_path: Path) -> None:
    other = write_wheel(tmp_path, Recipe("other"))
    with pytest.raises(InputError, match=r"METADATA is that of other 1\.0\.0"):
        open_wheel(other.rename(tmp_path / "app-1.0.0-py3-none-any.whl"))


def test_a_wheel_with_a_requirement_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert code_of(write_wheel(tmp_path, Recipe("app", requires=("a=1",)))) == "not-a-wheel"


# --- what a wheel brings with it ---------------------------------------------------------------


def test_vendored_distributions_are_allowed(tmp_path: Path) -> None:
    text = "Metadata-Version: 2.1\nName: dep\nVersion: 2.0\n"
    vendored = {
        f"tools/_vendor/dep-2.0.dist-info/{name}": text
        for name in ("METADATA", "RECORD", "entry_points.txt")
    }
    assert open_wheel(write_wheel(tmp_path, Recipe("tools", files=vendored))).pin == "tools==1.0.0"


def test_a_wheel_of_two_distributions_is_refused(tmp_path: Path) -> None:
    files = {"other-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: other\nVersion: 1\n"}
    assert code_of(write_wheel(tmp_path, Recipe("app", files=files))) == "not-a-wheel"


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ("app-1.0.0.data/scripts/python", "bin/python"),
        ("app-1.0.0.data/data/pyvenv.cfg", "pyvenv.cfg"),
    ],
)
def test_a_wheel_that_replaces_a_part_of_the_venv_is_refused_by_name(
    tmp_path: Path, entry: str, place: str
) -> None:
    path = write_wheel(tmp_path, Recipe("app", files={entry: "#!/bin/sh\n"}))
    with pytest.raises(InputError) as caught:
        open_wheel(path)
    (mistake,) = caught.value.mistakes
    assert mistake.code == "unsafe-wheel"
    for word in (path.name, entry, place):
        assert word in mistake.what
    assert mistake.hint


def test_a_wheel_whose_script_is_called_python_is_refused(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, Recipe("app", scripts={"python3": "app:main"}))
    assert code_of(path) == "unsafe-wheel"


def test_a_wheel_with_any_byte_changed_is_read_or_refused(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, Recipe("app"))
    whole = path.read_bytes()
    chosen = random.Random(1)  # noqa: S311 - a test's
    refused = 0
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << chosen.randrange(8)
        path.write_bytes(changed)
        try:
            open_wheel(path)
            files_of(path)
        except InputError:
            refused += 1
    assert 0 < refused < len(whole)
