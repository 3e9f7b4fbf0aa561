"""Of a lock, a host gets what it needs: exact versions, without the app itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.markers import Marker

from locks import A, B, wanted
from shipit.bundle.lock import Lock, Locked, Need, Origin, applies, how_to_lock
from shipit.errors import InputError, Mistake, Place
from wheelhouse import BOOKWORM

FILE = Path("/a/some.lock")
HERE, ELSEWHERE = Marker("sys_platform == 'linux'"), Marker("sys_platform == 'win32'")


def entry(pin: str, digest: str = A, line: int = 1, **more: object) -> Locked:
    name, _, version = pin.partition("==")
    plain = Locked(name, version or "1", frozenset({digest}), Place(str(FILE), line, 1))
    return replace(plain, **more)  # type: ignore[arg-type]


def lock(*entries: Locked, **more: object) -> Lock:
    return replace(Lock(FILE, entries), **more)  # type: ignore[arg-type]


def graph(**needs: tuple[Need, ...]) -> Lock:
    return lock(*(entry(name, needs=needs[name]) for name in needs), is_graph=True)


def refused(lock: Lock, **markers: str) -> Mistake:
    with pytest.raises(InputError) as caught:
        wanted(lock, **markers)
    (mistake,) = caught.value.mistakes
    return mistake


def test_entries_are_sorted_by_name_without_the_app() -> None:
    assert wanted(lock(entry("c"), entry("app"), entry("a"), entry("b"))) == [
        "a==1",
        "b==1",
        "c==1",
    ]


def test_markers_and_environments_are_those_of_the_host() -> None:
    here, there = entry("here", marker=HERE), entry("there", marker=ELSEWHERE)
    both = lock(there, here, environments=(ELSEWHERE, HERE))
    assert wanted(both) == ["here==1"]
    assert wanted(both, sys_platform="win32") == ["there==1"]
    assert wanted(lock(here, environments=(HERE,))) == ["here==1"]
    future = lock(entry("a"), environments=(Marker("python_version == '3.99'"),))
    assert wanted(future, python_version="3.99") == ["a==1"]


def test_a_host_gets_its_own_fork_of_the_lock() -> None:
    fork = lock(
        entry("a==1", marker=Marker("python_full_version < '3.12'")),
        entry("a==2", marker=Marker("python_full_version >= '3.12'")),
    )
    assert wanted(fork) == ["a==1"]
    assert wanted(fork, python_full_version="3.13.0") == ["a==2"]


@pytest.mark.parametrize(
    ("marker", "is_wanted"),
    [
        ("extra == 'dev'", False),
        ("extra == ''", True),
        ("'dev' in extras", False),
        ("'dev' in dependency_groups", False),
        ("'main' in dependency_groups", True),
    ],
)
def test_default_groups_are_wanted_and_no_extra_is(marker: str, *, is_wanted: bool) -> None:
    only = lock(entry("a", marker=Marker(marker)), groups=frozenset({"main"}))
    assert wanted(only) == (["a==1"] if is_wanted else [])


def test_two_entries_of_one_version_are_one_with_the_digests_of_both() -> None:
    both = lock(entry("a", A, 1), entry("a", B, 2))
    (found,) = both.wanted("app", BOOKWORM.markers())
    assert found == replace(both.entries[0], digests=frozenset({A, B}))


def test_two_versions_for_one_host_are_refused() -> None:
    assert refused(lock(entry("a==1", line=3), entry("a==2", line=4))) == Mistake(
        "locked-twice",
        "a==1 (/a/some.lock:3:1) and a==2 are both wanted by one host",
        Place(str(FILE), 4, 1),
        "write the lock with: uv pip compile --generate-hashes requirements.in -o some.lock",
    )


def test_a_lock_for_other_machines_is_refused() -> None:
    other = lock(entry("a"), environments=(ELSEWHERE, Marker("sys_platform == 'darwin'")))
    assert refused(other) == Mistake(
        "wrong-environment",
        'the lock is for other machines: sys_platform == "win32" or sys_platform == "darwin"',
        Place(str(FILE)),
        "lock for the hosts' platform and Python, too",
    )


def test_an_undecidable_marker_is_refused_with_its_place() -> None:
    marker = Marker("platform_release ~= 'x'")
    mistake = refused(lock(entry("a", marker=marker, line=5)))
    what = 'the marker `platform_release ~= "x"` can\'t be decided for a host: '
    assert mistake.what.startswith(what)
    assert len(mistake.what) > len(what + "None")
    assert mistake == Mistake("undecidable-marker", mistake.what, Place(str(FILE), 5, 1))


def test_an_environment_that_cannot_be_decided_has_the_place_of_the_lock() -> None:
    odd = lock(entry("a"), environments=(Marker("platform_release ~= 'x'"),))
    assert refused(odd).place == Place(str(FILE))


def test_no_marker_always_applies() -> None:
    assert applies(None, {}, Place("x"))


def test_every_host_needs_what_has_no_marker_unless_it_depends_on_a_graph() -> None:
    found = lock(entry("a"), entry("b", marker=HERE), entry("app"))
    assert [each.pin for each in found.unconditional()] == ["a==1", "app==1"]
    assert [each.pin for each in found.without("app").unconditional()] == ["a==1"]
    assert graph(app=()).unconditional() == ()


# --- a graph


def test_a_graph_is_followed_from_the_app() -> None:
    followed = graph(
        app=(Need("b"), Need("c", marker=ELSEWHERE), Need("d", marker=HERE)),
        b=(Need("e"),),
        c=(Need("f"),),
        d=(Need("b"),),
        e=(),
        f=(),
    )
    assert wanted(followed) == ["b==1", "d==1", "e==1"]
    assert wanted(followed, sys_platform="win32") == ["b==1", "c==1", "e==1", "f==1"]
    assert wanted(followed, app="d") == ["b==1", "e==1"]


def test_an_extra_adds_needs_wherever_it_is_asked_for() -> None:
    web = entry("web", extra_needs={"fast": (Need("loop"),), "slow": (Need("sql"),)})
    others = [entry(name) for name in ("loop", "sql", "z")]
    for asks in (
        (Need("web", extras=("fast",)),),
        (Need("web"), Need("web", extras=("fast",))),
        (Need("web", extras=("fast",)), Need("web")),
        (Need("web", extras=("unknown", "fast")),),
    ):
        app = entry("app", needs=asks)
        assert wanted(lock(app, web, *others, is_graph=True)) == ["loop==1", "web==1"]


def test_a_need_of_one_version_or_source_does_not_mean_another() -> None:
    one, two = entry("a==1", needs=(Need("b"),)), entry("a==2", needs=(Need("c"),))
    rest = [entry("b"), entry("c")]
    app = entry("app", needs=(Need("a", "2"),))
    assert wanted(lock(app, one, two, *rest, is_graph=True)) == ["a==2", "c==1"]
    here = replace(one, source="registry x")
    there = replace(one, source="registry y", needs=(Need("c"),))
    app = entry("app", needs=(Need("a", "1", source="registry y"),))
    assert wanted(lock(app, here, there, *rest, is_graph=True)) == ["a==1", "c==1"]
    app = entry("app", needs=(Need("a"),))
    assert wanted(lock(app, here, there, *rest, is_graph=True)) == ["a==1", "b==1", "c==1"]


def test_of_one_version_from_two_sources_both_digests_are_allowed() -> None:
    app = entry("app", needs=(Need("a"),))
    here, there = entry("a", A, source="registry x"), entry("a", B, source="registry y")
    both = lock(app, here, there, is_graph=True)
    assert [each.digests for each in both.wanted("app", BOOKWORM.markers())] == [{A, B}]


def test_a_graph_with_a_cycle_ends() -> None:
    assert wanted(graph(app=(Need("a"),), a=(Need("b"),), b=(Need("a"),))) == ["a==1", "b==1"]


def test_an_undecidable_need_has_the_place_of_its_entry() -> None:
    odd = entry("app", needs=(Need("a", marker=Marker("platform_release ~= 'x'")),), line=7)
    assert refused(lock(odd, is_graph=True)).place == Place(str(FILE), 7, 1)


def test_a_graph_of_another_project_is_refused() -> None:
    assert refused(graph(other=())) == Mistake(
        "foreign-lock",
        "some.lock has no package app, so it is the lock of another project",
        Place(str(FILE)),
        "run: uv lock",
    )


# --- entries


def test_a_wheel_matches_by_name_and_version_or_any_version_where_none_is_locked() -> None:
    one, any_version = entry("a==1"), entry("a", version="")
    assert one.is_for("a", "1")
    assert any_version.is_for("a", "2")
    assert not one.is_for("a", "2")
    assert not one.is_for("b", "1")
    assert not any_version.is_for("b", "1")


def test_only_a_source_tree_without_a_hash_is_the_projects_own() -> None:
    tree = Origin("the folder x", "uv build --wheel", "x", is_tree=True)
    assert entry("a", digests=frozenset(), origin=tree).is_own
    assert not entry("a", origin=tree).is_own
    assert not entry("a", digests=frozenset(), origin=replace(tree, is_tree=False)).is_own
    assert not entry("a", digests=frozenset()).is_own


def test_an_entry_without_a_version_is_named_without_one() -> None:
    assert (entry("a", version="").pin, entry("a==2").pin) == ("a", "a==2")


def test_the_command_that_locks_names_the_file() -> None:
    assert how_to_lock("/x/y.lock").endswith(" requirements.in -o y.lock")
