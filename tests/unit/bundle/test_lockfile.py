"""The formats of locks, and the messages for their mistakes."""

from pathlib import Path

import pytest

from shipit.bundle import lockfile
from shipit.bundle.lock import Lock
from shipit.errors import InputError, Mistake
from wheelhouse import BOOKWORM

A, B = "a" * 64, "b" * 64
PYLOCK = 'lock-version = "1.0"\ncreated-by = "test"\n'


def locked(tmp_path: Path, text: str, name: str = "requirements.lock") -> Lock:
    path = tmp_path / name
    path.write_text(text)
    return lockfile.read(path)


def mistakes(tmp_path: Path, text: str, name: str = "requirements.lock") -> list[Mistake]:
    with pytest.raises(InputError) as caught:
        locked(tmp_path, text, name)
    return list(caught.value.mistakes)


def only(tmp_path: Path, text: str, name: str = "requirements.lock") -> Mistake:
    (mistake,) = mistakes(tmp_path, text, name)
    return mistake


def wanted(lock: Lock, **markers: str) -> list[str]:
    environment = BOOKWORM.markers()
    environment.update(markers)  # type: ignore[typeddict-item] # only known markers are given
    return [entry.pin for entry in lock.wanted("app", environment)]


# --- requirements with hashes


def test_continuations_comments_markers_and_extras_are_understood(tmp_path: Path) -> None:
    text = f"""
        # made by a tool
        --index-url https://example.com/simple
        Uvicorn[standard]==0.30.0 ; python_version >= "3.8" \\
            --hash=sha256:{A} \\
            --hash=sha256:{B}
            # via app
        my.Dep==1.0 --hash=sha256:{A}  # a comment at the end
    """
    uvicorn, dep = locked(tmp_path, text).entries
    assert (uvicorn.name, uvicorn.version, uvicorn.digests) == (
        "uvicorn",
        "0.30.0",
        frozenset({A, B}),
    )
    assert str(uvicorn.marker) == 'python_version >= "3.8"'
    assert (uvicorn.place.line, dep.place.line) == (4, 8)
    assert dep.pin == "my-dep==1.0"


def test_versions_are_compared_in_their_normal_form(tmp_path: Path) -> None:
    (entry,) = locked(tmp_path, f"a==1.0.0-rc.1 --hash=sha256:{A}").entries
    assert entry.version == "1.0.0rc1"


def test_an_included_lock_is_relative_to_its_parent(tmp_path: Path) -> None:
    (tmp_path / "base.lock").write_text(f"a==1 --hash=sha256:{A}\n")
    lock = locked(tmp_path, f"-r base.lock\nb==2 --hash=sha256:{B}\n")
    assert [entry.pin for entry in lock.entries] == ["a==1", "b==2"]


def test_a_lock_that_includes_itself_is_refused(tmp_path: Path) -> None:
    assert only(tmp_path, "-r requirements.lock\n").code == "include-loop"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("a==1\n", "no-hash", "a has no hash"),
        (f"a==1 --hash=md5:{A}\n", "no-hash", "a has no sha256 hash"),
        ("a==1 --hash=sha256:abc\n", "broken-hash", "expected 64"),
        (f"a>=1 --hash=sha256:{A}\n", "not-pinned", "no exact version: `a>=1`"),
        (f"a==1.* --hash=sha256:{A}\n", "not-pinned", "no exact version"),
        (f"a --hash=sha256:{A}\n", "not-pinned", "no exact version"),
        (f"a===x --hash=sha256:{A}\n", "not-pinned", "no valid version"),
        ("-e .\n", "not-pinned", "editable"),
        (f"a @ https://example.com/a.whl --hash=sha256:{A}\n", "not-pinned", "URL"),
        ("git+https://example.com/a\n", "not-pinned", "URL"),
        ("./a-1-py3-none-any.whl\n", "not-pinned", "path"),
        (f"--hash=sha256:{A}\n", "lock-syntax", "belongs to no requirement"),
    ],
)
def test_what_is_not_an_exact_version_with_a_hash_is_refused(
    tmp_path: Path, text: str, code: str, words: str
) -> None:
    mistake = only(tmp_path, text)
    assert (mistake.code, words in mistake.what) == (code, True)


def test_the_credentials_of_an_index_are_not_shown(tmp_path: Path) -> None:
    mistake = only(tmp_path, f"a @ https://me:s3cr3t@example.com/a.whl --hash=sha256:{A}\n")
    assert "`a @ https://***@example.com/a.whl`" in mistake.what
    assert "s3cr3t" not in str(mistake)


def test_a_syntax_error_is_reported_with_line_and_column(tmp_path: Path) -> None:
    mistake = only(tmp_path, f"\n\nabc=1 --hash=sha256:{A}\n")
    assert mistake.code == "lock-syntax"
    assert mistake.place is not None
    assert (mistake.place.line, mistake.place.column) == (3, 4)


def test_all_mistakes_of_a_lock_are_reported_together(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "a==1\nb>=2\n-e .\n")
    assert [(m.code, m.place.line) for m in found if m.place] == [
        ("no-hash", 1),
        ("not-pinned", 2),
        ("not-pinned", 3),
    ]


def test_a_missing_lock_is_reported_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"uv pip compile --generate-hashes.*requirements\.lock"):
        lockfile.read(tmp_path / "requirements.lock")


def test_a_lock_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "requirements.lock"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        lockfile.read(path)


def test_an_entry_of_an_extra_is_not_selected(tmp_path: Path) -> None:
    text = f"a==1 --hash=sha256:{A}\nb==1 ; extra == 'dev' --hash=sha256:{B}\n"
    assert wanted(locked(tmp_path, text)) == ["a==1"]


def test_a_host_gets_its_own_fork_of_the_lock(tmp_path: Path) -> None:
    text = (
        f"a==1 ; python_full_version < '3.12' --hash=sha256:{A}\n"
        f"a==2 ; python_full_version >= '3.12' --hash=sha256:{B}\n"
    )
    lock = locked(tmp_path, text)
    assert wanted(lock) == ["a==1"]
    assert wanted(lock, python_full_version="3.13.0") == ["a==2"]


def test_two_versions_for_one_host_are_refused(tmp_path: Path) -> None:
    lock = locked(tmp_path, f"a==1 --hash=sha256:{A}\na==2 --hash=sha256:{B}\n")
    with pytest.raises(InputError, match="locked-twice"):
        wanted(lock)


def test_an_undecidable_marker_is_refused_with_its_place(tmp_path: Path) -> None:
    lock = locked(tmp_path, f"a==1 ; platform_release ~= 'x' --hash=sha256:{A}\n")
    with pytest.raises(InputError, match=r"requirements\.lock:1:1.*undecidable-marker"):
        wanted(lock)


def test_the_app_itself_is_left_out(tmp_path: Path) -> None:
    text = f"app==1 --hash=sha256:{A}\nb==1 --hash=sha256:{B}\n"
    assert wanted(locked(tmp_path, text)) == ["b==1"]


# --- pylock.toml


def package(name: str, more: str = "", version: str = "1", digest: str = A) -> str:
    filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    wheels = f'[{{ url = "https://x/{filename}", hashes = {{ sha256 = "{digest}" }} }}]'
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{more}\nwheels = {wheels}\n'


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


def test_a_toml_syntax_error_is_reported_with_line_and_column(tmp_path: Path) -> None:
    mistake = only(tmp_path, "lock-version = 1.0\n[[packages\n", "pylock.toml")
    assert mistake.code == "lock-syntax"
    assert mistake.place is not None
    assert mistake.place.line == 2


def test_an_invalid_package_of_a_pylock_is_reported_with_its_line(tmp_path: Path) -> None:
    text = PYLOCK + package("a") + '[[packages]]\nname = "Not_Normal"\nversion = "1"\n'
    mistake = only(tmp_path, text, "pylock.toml")
    assert "Not_Normal" in mistake.what
    assert mistake.place is not None
    assert mistake.place.line == text.splitlines().index('name = "Not_Normal"')


def test_a_pylock_from_version_control_names_the_command_that_builds_it(tmp_path: Path) -> None:
    text = '[[packages]]\nname = "a"\nvcs = { type = "git", url = "https://x", commit-id = "1" }\n'
    (entry,) = locked(tmp_path, PYLOCK + text, "pylock.toml").entries
    assert entry.is_own
    assert entry.origin is not None
    assert "'a @ git+https://x@1'" in entry.origin.get


# --- uv.lock


def uv_package(name: str, *needs: str, more: str = "", version: str = "1") -> str:
    wheels = f'[{{ url = "https://x/{name}.whl", hash = "sha256:{A}" }}]'
    return (
        f'[[package]]\nname = "{name}"\nversion = "{version}"\n'
        f"dependencies = [{', '.join(needs)}]\nwheels = {wheels}\n{more}\n"
    )


UV = 'version = 1\nrequires-python = ">=3.11"\n'


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


def test_a_uv_lock_of_another_project_is_refused(tmp_path: Path) -> None:
    lock = locked(tmp_path, UV + uv_package("other"), "uv.lock")
    with pytest.raises(InputError, match="foreign-lock"):
        wanted(lock)


def test_a_uv_lock_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    assert (
        only(tmp_path, 'version = 1\n[[package]]\nversion = "1"\n', "uv.lock").code == "lock-syntax"
    )


# --- what no reader survives -----------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        f"a=={'9' * 5000} --hash=sha256:{A}",
        f"a==1.{'9' * 5000} --hash=sha256:{A}",
        f"a[{'x' * 5000}]>=1 --hash=sha256:{A}",
    ],
)
def test_a_very_long_line_is_shortened(tmp_path: Path, line: str) -> None:
    mistake = only(tmp_path, line)
    assert mistake.code == "not-pinned"
    assert len(mistake.what) < 400
