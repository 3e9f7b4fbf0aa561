"""Which releases' files are found, and which of two files with one name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from shipit.agent.records import views
from shipit.agent.system.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

NAMES = st.sampled_from(["a", "b", "a/a", "a/b", "b/a", "b/a/a", "b/a/b", "c"])


def is_tree(names: list[str]) -> bool:
    """Whether no name is a file and a directory at once."""
    return not any(other.startswith(f"{name}/") for name in names for other in names)


TREES = st.lists(st.lists(NAMES, unique=True).filter(is_tree), max_size=4)


@given(TREES)
def test_the_files_of_an_earlier_layer_win(layers: list[list[str]]) -> None:
    found = views.union(layers)
    assert is_tree(list(found))
    for name, number in found.items():
        assert name in layers[number]
        assert not any(name in earlier for earlier in layers[:number])
    for name in {name for layer in layers for name in layer} - found.keys():
        assert not is_tree([*found, name])  # left out only where a file and a directory collide


@given(TREES.filter(len))
def test_the_first_layer_is_found_whole(layers: list[list[str]]) -> None:
    assert [name for name, number in views.union(layers).items() if number == 0] == layers[0]


@given(
    st.lists(st.sampled_from("abcdef"), unique=True),
    st.sampled_from("abcdef"),
    st.integers(min_value=1, max_value=6),
)
def test_the_running_release_and_the_latest_before_it_are_kept(
    committed: list[str], running: str, keep: int
) -> None:
    found = views.kept(committed, running, keep)
    assert found[0] == running
    assert len(found) == min(keep, len({running, *committed}))
    others = [it for it in committed if it != running]
    assert list(found[1:]) == others[: len(found) - 1]


def test_a_view_is_named_after_its_releases_in_their_order() -> None:
    names = {views.name(layers) for layers in (("a", "b"), ("b", "a"), ("a",), ("a", "b", "c"))}
    assert len(names) == 4
    assert views.name(("a", "b")).startswith("a.")


def test_what_shipit_has_not_made_is_taken(tmp_path: Path) -> None:
    paths = Paths("app", str(tmp_path))
    assert not views.is_taken(paths)
    link = tmp_path / "assets"
    link.symlink_to(views.target(paths, ("r1",)))
    assert (views.is_taken(paths), views.linked(paths)) == (False, views.name(("r1",)))
    link.unlink()
    link.symlink_to("releases/r1/static")
    assert (views.is_taken(paths), views.linked(paths)) == (True, "")
    link.unlink()
    link.mkdir()
    assert views.is_taken(paths)
