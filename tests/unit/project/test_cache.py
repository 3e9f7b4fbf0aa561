"""What is kept between runs, and when it is not believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shipit.errors import InputError
from shipit.project.cache import UNUSED, Cache, default_folder, key_of


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def kept(cache: Cache, name: str = "a.whl") -> Path:
    with cache.workspace() as work:
        (work / name).write_text(name)
        return cache.keep(work / name)


def test_an_answer_is_remembered_until_one_of_its_wheels_changes(cache: Cache) -> None:
    wheels = [kept(cache), kept(cache, "b.whl")]
    assert cache.answer("key") is None
    cache.remember("key", wheels)
    assert cache.answer("key") == wheels
    wheels[1].chmod(0o600)
    wheels[1].write_text("changed")
    assert cache.answer("key") is None


@pytest.mark.parametrize("text", ["", "[", "5", "[5]", '["a/b"]', '{"a": 1}'])
def test_a_damaged_note_is_no_answer(cache: Cache, text: str) -> None:
    cache.remember("key", [])
    (cache.folder / "made" / "key.json").write_text(text)
    assert cache.answer("key") is None


def bundled(cache: Cache, text: str) -> str:
    with cache.workspace() as work:
        (work / "fetched").write_text(text)
        return cache.keep_bundle(work / "fetched").stem


def test_a_bundle_is_found_by_its_digest_while_it_is_whole(cache: Cache) -> None:
    assert cache.bundle("0" * 64) is None
    sha256 = bundled(cache, "a bundle")
    found = cache.bundle(sha256)
    assert found
    assert found.read_text() == "a bundle"
    found.write_text("changed")
    assert cache.bundle(sha256) is None


def test_a_bundle_that_is_used_stays(cache: Cache) -> None:
    names = [bundled(cache, text) for text in ("used", "not used")]
    for name in names:
        os.utime(cache.folder / "bundles" / f"{name}.shipit", (0, 0))
    cache.bundle(names[0])
    cache.prune()
    assert [cache.bundle(name) is not None for name in names] == [True, False]


def test_the_wheels_of_some_packages_are_found(cache: Cache) -> None:
    names = ("My_App-1-py3-none-any.whl", "my_app-2-py3-none-any.whl", "other-1-py3-none-any.whl")
    kept_as = [kept(cache, name).parent.name for name in names]
    assert cache.digests({"my-app"}) == sorted(kept_as[:2])
    assert cache.digests(set()) == []


def test_nobody_else_can_read_it(cache: Cache) -> None:
    wheel = kept(cache)
    assert cache.folder.stat().st_mode & 0o077 == 0
    assert wheel.stat().st_mode & 0o177 == 0


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_one_that_others_can_write_to_is_refused(cache: Cache, mode: int) -> None:
    cache.remember("key", [kept(cache)])
    cache.folder.chmod(mode)
    for use in (lambda: cache.answer("key"), lambda: kept(cache), lambda: cache.bundle("0")):
        with pytest.raises(InputError, match="another user can write") as caught:
            use()
        assert caught.value.mistakes[0].code == "cache-unusable"


def test_one_of_another_user_is_refused(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.remember("key", [kept(cache)])
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(InputError, match="another user can write"):
        cache.answer("key")


def test_a_disk_that_refuses_is_the_caches_and_no_other_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="the cache cannot be used") as caught:
        kept(Cache(tmp_path / "file" / "cache"))
    assert "SHIPIT_CACHE_DIR" in caught.value.mistakes[0].hint
    with pytest.raises(FileNotFoundError), Cache(tmp_path / "cache").workspace():
        (tmp_path / "nothing").read_text()


def test_what_is_not_used_for_long_is_removed(cache: Cache) -> None:
    old, new = kept(cache), kept(cache, "b.whl")
    cache.remember("old", [old])
    cache.remember("new", [new])
    now = 3e9
    os.utime(old.parent, (now - UNUSED - 1,) * 2)
    os.utime(cache.folder / "made" / "old.json", (now - UNUSED - 1,) * 2)
    for used in (new.parent, cache.folder / "made" / "new.json"):
        os.utime(used, (now - UNUSED + 1,) * 2)
    cache.prune(now)
    assert (old.exists(), cache.answer("old"), cache.answer("new")) == (False, None, [new])


def test_a_use_makes_it_young_again(cache: Cache) -> None:
    wheel = kept(cache)
    cache.remember("key", [wheel])
    os.utime(wheel.parent, (0, 0))
    assert cache.answer("key") == [wheel]
    cache.prune()
    assert wheel.exists()


def test_where_it_lies_is_up_to_the_environment() -> None:
    assert default_folder({"SHIPIT_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert default_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/shipit")
    assert default_folder({"HOME": "/c"}) == Path("/c/.cache/shipit")
    with pytest.raises(InputError, match="HOME is not set"):
        default_folder({})


def test_a_key_depends_on_the_values_and_their_order() -> None:
    assert key_of("a", {"x": 1, "y": 2}) == key_of("a", {"y": 2, "x": 1})
    assert len({key_of("a", "b"), key_of("ab"), key_of("b", "a"), key_of(["a", "b"])}) == 4
