"""docs/development.md names files and names of the code that exist."""

import re

import pytest

from project import TOP

PAGE = (TOP / "docs/development.md").read_text()
SOURCE = TOP / "src/shipit"
FILES = sorted(set(re.findall(r"`((?:[\w.]+/)*[\w.]+\.(?:py|md))`", PAGE)))


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_named_exists(name: str) -> None:
    places = (SOURCE, TOP, TOP / "tests/support")
    assert any((place / name).is_file() for place in places)


def test_the_layers_are_the_packages_and_modules_of_the_controller_and_the_agent() -> None:
    above, _, below = PAGE[PAGE.index("## Layers") :].partition("On the host:")
    for text, folder, others in (
        (above, SOURCE, {"__init__", "__main__", "__pycache__", "agent"}),
        (below, SOURCE / "agent", {"__init__", "__main__", "__pycache__", "boot", "protocol"}),
    ):
        packages = set(re.findall(r"^    (\w+)/  ", text, re.MULTILINE))
        found = {path.stem for path in folder.iterdir() if path.suffix in ("", ".py")} - others
        assert packages == {name for name in found if (folder / name).is_dir()}
        lines = "\n".join(re.findall(r"^    .*", text, re.MULTILINE))
        assert all(re.search(rf"\b{name}\b", lines) for name in found)


def test_the_names_in_the_table_of_new_things_are_in_the_files_beside_them() -> None:
    table = PAGE[PAGE.index("## Where does") : PAGE.index("Two pages are generated")]
    for names, file in re.findall(r"((?:`\w+`(?: and | or )?)+) (?:in|of) `([\w/]+\.py)`", table):
        path = next(at for at in (SOURCE / file, TOP / file) if at.is_file())
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"\b{name}\b", path.read_text()), f"{name} is not in {file}"
