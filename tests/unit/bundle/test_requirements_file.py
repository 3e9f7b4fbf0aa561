"""Requirements with hashes are read as pip reads them, and each mistake says what to write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from locks import REQUIREMENTS, A, B, locked, mistakes, only
from shipit.bundle import requirements_file
from shipit.errors import Mistake, Place

if TYPE_CHECKING:
    from pathlib import Path

HASH = f"--hash=sha256:{A}"
EXPECTED = "; expected name==version with hashes"
LOCK = "write the lock with: uv pip compile --generate-hashes requirements.in -o requirements.lock"
BUILD = (
    "build its wheel (uv build --wheel), put it into the wheelhouse, and write here"
    " name==version --hash=sha256:... of that wheel"
)
APP = (
    "the app's own wheel is given by `wheel:`; write the lock without it:"
    " uv export --no-emit-project -o requirements.lock"
)


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
    assert [str(entry.place) for entry in (uvicorn, dep)] == [
        f"{tmp_path}/requirements.lock:4:1",
        f"{tmp_path}/requirements.lock:8:1",
    ]
    assert dep.pin == "my-dep==1.0"


@pytest.mark.parametrize(
    "text",
    [
        f"a==1\\\n{HASH}",
        f"\n\na==1 \\\r\n  {HASH}\r\n"[2:],
        f"a==1 \\\n{HASH} \\\n",
        f"a==1 \\\n{HASH} \\",
        f"a==1 \\  \n{HASH}  ",
        f"a==1 {HASH}\t#{HASH[:-2]}",
        f"a==1 --hash\tsha256:{A}",
        f"a==1 --hash = sha256:{A.upper()}",
        f"a==1 -x {HASH}",
        f"a==1 {HASH} --hash=md5:{A}",
        f"a==1 --hash=sha384:{A} {HASH}",
    ],
)
def test_one_requirement_may_be_written_in_several_ways(text: str, tmp_path: Path) -> None:
    (entry,) = locked(tmp_path, text).entries
    assert (entry.pin, entry.digests, entry.place.line) == ("a==1", frozenset({A}), 1)


def test_after_a_continuation_lines_are_counted_on(tmp_path: Path) -> None:
    lock = locked(tmp_path, f"a==1 \\\n {HASH}\nb==1 \\\n \\\n {HASH}\nc==1 {HASH} \\\n")
    path = tmp_path / REQUIREMENTS
    assert lock.path == path
    assert [(entry.name, entry.place) for entry in lock.entries] == [
        ("a", Place(str(path), 1, 1)),
        ("b", Place(str(path), 3, 1)),
        ("c", Place(str(path), 6, 1)),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://x",
        "-i https://x",
        "--no-binary=:all:",
        "--find-links=.",
        "-f .",
        "-c x",
    ],
)
def test_options_about_indexes_are_ignored(line: str, tmp_path: Path) -> None:
    assert locked(tmp_path, f"{line}\n").entries == ()


def test_versions_are_compared_in_their_normal_form(tmp_path: Path) -> None:
    (entry,) = locked(tmp_path, f"a==1.0.0-rc.1 --hash=sha256:{A}").entries
    assert entry.version == "1.0.0rc1"


@pytest.mark.parametrize(
    "option", ["-r base.lock", "-rbase.lock", "--requirement base.lock", "--requirement=base.lock"]
)
def test_an_included_lock_is_relative_to_its_parent(option: str, tmp_path: Path) -> None:
    (tmp_path / "base.lock").write_text(f"a==1 {HASH}\n")
    lock = locked(tmp_path, f"{option}\nb==2 --hash=sha256:{B}\n")
    assert [entry.pin for entry in lock.entries] == ["a==1", "b==2"]
    assert lock.entries[0].place == Place(f"{tmp_path}/base.lock", 1, 1)


def test_a_lock_that_includes_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.lock").write_text("\n-r b.lock\n")
    (tmp_path / "b.lock").write_text(f"b==2 {HASH}\n-r requirements.lock\n")
    place = Place(f"{tmp_path}/b.lock", 2, 1)
    what = "requirements.lock includes itself"
    loop = Mistake("include-loop", what, place, "remove this line")
    assert only(tmp_path, "-r a.lock\n") == loop
    itself = replace(loop, place=Place(f"{tmp_path}/requirements.lock", 1, 1))
    assert only(tmp_path, "-r requirements.lock\n") == itself


@pytest.mark.parametrize(
    ("text", "code", "what", "hint"),
    [
        ("a==1", "no-hash", "a has no hash", LOCK),
        (f"a==1 --hash=md5:{A}", "no-hash", "a has no sha256 hash", LOCK),
        (f"a==1 --hash=Xsha256:{A}", "no-hash", "a has no sha256 hash", LOCK),
        (".", "not-pinned", f"a URL or a path is not a locked version: `.`{EXPECTED}", APP),
        *(
            (
                f"a==1 --hash=sha256:{digest}",
                "broken-hash",
                f"a has a broken hash `sha256:{digest}`; expected 64 hexadecimal digits",
                LOCK,
            )
            for digest in ("abc", A + "a", "g" * 64)
        ),
        *(
            (f"{text} {HASH}", "not-pinned", f"no exact version: `{text}`{EXPECTED}", LOCK)
            for text in ("a>=1", "a==1.*", "a", "a==1,==2", "a==1,>=1")
        ),
        (f"a===x {HASH}", "not-pinned", f"no valid version: `a===x`{EXPECTED}", LOCK),
        ("-e .", "not-pinned", f"an editable project can't be shipped: `-e .`{EXPECTED}", APP),
        *(
            (text, "not-pinned", f"an editable project can't be shipped: `{text}`{EXPECTED}", BUILD)
            for text in ("-e ./a", "--editable=./a", "--editable ./a")
        ),
        *(
            (
                text,
                "not-pinned",
                f"a URL or a path is not a locked version: `{text}`{EXPECTED}",
                BUILD,
            )
            for text in (
                "git+https://example.com/a",
                "./a",
                "/a",
                "a.whl",
                "a.tar.gz",
                "a.zip",
                "a @ https://example.com/a.whl",
            )
        ),
        (
            f"a @ https://me:pw@example.com/a {HASH}",
            "not-pinned",
            f"a URL is not a locked version: `a @ https://***@example.com/a`{EXPECTED}",
            BUILD,
        ),
        *(
            (
                text,
                "lock-syntax",
                "a --hash that belongs to no requirement",
                "end the line before it with a backslash",
            )
            for text in (HASH, f"--hash sha256:{A}")
        ),
    ],
)
def test_what_is_not_an_exact_version_with_a_hash_is_refused(
    tmp_path: Path, text: str, code: str, what: str, hint: str
) -> None:
    place = Place(f"{tmp_path}/requirements.lock", 1, 1)
    assert only(tmp_path, f"{text}\n") == Mistake(code, what, place, hint)


def test_the_credentials_of_an_index_are_not_shown(tmp_path: Path) -> None:
    mistake = only(tmp_path, f"a @ https://me:s3cr3t@example.com/a.whl --hash=sha256:{A}\n")
    assert "`a @ https://***@example.com/a.whl`" in mistake.what
    assert "s3cr3t" not in str(mistake)


@pytest.mark.parametrize(
    ("text", "what", "line", "column"),
    [
        (f"\n\nabc=1 {HASH}", "Expected semicolon", 3, 4),
        (f"é==1 {HASH}", "Expected package name", 1, 1),
        (f"a[ {HASH}", "Expected matching RIGHT_BRACKET", 1, 3),
    ],
)
def test_a_syntax_error_is_reported_with_line_and_column(
    text: str, what: str, line: int, column: int, tmp_path: Path
) -> None:
    mistake = only(tmp_path, f"{text}\n")
    assert mistake.what.startswith(f"not a requirement: {what}")
    assert "\n" not in mistake.what
    place = Place(f"{tmp_path}/requirements.lock", line, column)
    assert mistake == Mistake("lock-syntax", mistake.what, place)


def test_all_mistakes_of_a_lock_are_reported_together(tmp_path: Path) -> None:
    (tmp_path / "base.lock").write_text("\n-e .\n")
    found = mistakes(tmp_path, "a==1\nb>=2\n-r base.lock\n")
    assert [(m.code, m.place.file, m.place.line) for m in found if m.place] == [
        ("no-hash", f"{tmp_path}/{REQUIREMENTS}", 1),
        ("not-pinned", f"{tmp_path}/{REQUIREMENTS}", 2),
        ("not-pinned", f"{tmp_path}/base.lock", 2),
    ]


@pytest.mark.parametrize(
    ("count", "third"),
    [(3, "p2 has no hash"), (4, "p2 has no hash; and 1 more like this"), (5, "; and 2 more")],
)
def test_many_mistakes_of_one_kind_are_summed_up(count: int, third: str, tmp_path: Path) -> None:
    lines = [f"p{n}==1\n" for n in range(count)]
    found = mistakes(tmp_path, "".join([*lines, "last>=1\n"]))
    assert [m.code for m in found] == ["no-hash", "no-hash", "no-hash", "not-pinned"]
    assert [m.what for m in found[:2]] == ["p0 has no hash", "p1 has no hash"]
    assert third in found[2].what
    assert ("more" in found[2].what) == (count > 3)
    assert found[2].place == Place(f"{tmp_path}/requirements.lock", 3, 1)
    assert found[2].hint == LOCK


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
    assert "...`; expected" in mistake.what
    assert len(mistake.what) == len(f"no valid version: ``{EXPECTED}") + 200
    assert mistake.hint == LOCK


def test_a_number_that_packaging_does_not_read_is_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first versions raise what Python's int does."""

    def raising(text: str) -> None:
        raise ValueError(text)

    monkeypatch.setattr(requirements_file, "Requirement", raising)
    what = f"no valid version: `a==9`{EXPECTED}"
    place = Place(f"{tmp_path}/requirements.lock", 1, 1)
    assert only(tmp_path, f"a==9 {HASH}") == Mistake("not-pinned", what, place, LOCK)
