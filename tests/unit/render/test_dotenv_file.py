"""A dotenv file is read as it stands, or refused with the line; nothing in it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shipit.errors import InputError
from shipit.render import dotenv_file
from shipit.render.dotenv_file import LARGEST, MOST_REPORTED
from shipit.render.env_file import revealed
from shipit.secrets import Secret

if TYPE_CHECKING:
    from pathlib import Path

SENTINEL = "s3ntinel-Zq8wV5xK"


def read(folder: Path, content: str | bytes, *public: str) -> dict[str, str]:
    """Return the values in the open."""
    path = folder / "prod.env"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return {name: revealed(value) for name, value in dotenv_file.read(path, public).items()}


def refused(folder: Path, content: str | bytes, *public: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(folder, content, *public)
    return [str(found).replace(f"{folder}/", "") for found in caught.value.mistakes]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=1", "1"),
        ("A=", ""),
        ("A= # comment", ""),
        ("A=''", ""),
        ("export A=1", "1"),
        ("  A = 1  ", "1"),
        ("A=1 # comment", "1"),
        ("A=1#2", "1#2"),
        ("A='1 # 2'", "1 # 2"),
        ("A=a b c", "a b c"),
        ("A=it's", "it's"),
        ("A=b=c==", "b=c=="),
        ('A="one\ntwo\n"', "one\ntwo\n"),
        ("A='one\ntwo'", "one\ntwo"),
        (r'A="one\ntwo\t\"\\"', 'one\ntwo\t"\\'),
        (r"A='one\ntwo\''", r"one\ntwo'"),
        (r"A=one\ntwo", r"one\ntwo"),
        ("\ufeffA=1", "1"),
        ("A=1\r\n", "1"),
        ('A="one\r\ntwo"\r\n', "one\ntwo"),
        ("A=1\rB=2", "1"),
        ("A=ünï-✓ 🚀", "ünï-✓ 🚀"),
        ("# comment\n\n   # another\nA=1", "1"),
        ("A=x\u2028y", "x\u2028y"),
    ],
)
def test_a_value_is_what_python_dotenv_reads(tmp_path: Path, text: str, value: str) -> None:
    assert read(tmp_path, text)["A"] == value


@pytest.mark.parametrize("password", ["pa$$word", "$HOME", "$", "a${}b", "${1}", "$(id)", "`id`"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_dollar_stays_as_it_is(tmp_path: Path, password: str, quote: str) -> None:
    assert read(tmp_path, f"A={quote}{password}{quote}\n") == {"A": password}


def test_a_reference_to_another_variable_is_refused_but_in_single_quotes(tmp_path: Path) -> None:
    text = "HOST=db\nA=x${HOST}\nB=\"${HOME:-x}\"\nexport C = '${HOST}'\nD=a'${HOST}'\n"
    said = refused(tmp_path, text)
    assert [line.partition(": ")[0] for line in said] == ["prod.env:2", "prod.env:3", "prod.env:5"]
    assert said[0] == (
        "prod.env:2: the value of A refers to another variable, by ${...} [env-file]\n"
        "  nothing is expanded: write the value out; in single quotes ${...} stays as it is"
    )
    assert read(tmp_path, "export A = '${HOST}'") == {"A": "${HOST}"}


NO_ASSIGNMENT = (
    "expected NAME=value, with every quote closed and nothing but a comment after it [env-file]\n"
    "  put a value in quotes that has spaces at its ends, ` #` or several lines"
)


@pytest.mark.parametrize(
    "line",
    [
        f"{SENTINEL} and more",
        f"NAME: {SENTINEL}",
        f"A='{SENTINEL}",
        f'A="{SENTINEL}',
        f"A='{SENTINEL}' more",
        f"={SENTINEL}",
        f"export A B={SENTINEL}",
    ],
)
@pytest.mark.parametrize("before", ["", "\n", "B=1\n\n  \n# comment\n\n\n"])
def test_an_invalid_line_is_reported_and_not_skipped(
    tmp_path: Path, line: str, before: str
) -> None:
    number = before.count("\n") + 1
    assert refused(tmp_path, f"{before}{line}\nC=1\n") == [f"prod.env:{number}: {NO_ASSIGNMENT}"]


def test_a_line_without_a_value_is_refused_and_not_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A", SENTINEL)
    said = [
        (
            "expected NAME=value; there is no = in this line [env-file]\n"
            "  write NAME=value, or NAME= for an empty one; nothing comes from your own environment"
        )
    ]
    assert refused(tmp_path, "\n\nA\n") == [f"prod.env:3: {said[0]}"]
    assert refused(tmp_path, "export A # why\n") == [f"prod.env:1: {said[0]}"]
    assert refused(tmp_path, f"{SENTINEL}\n") == [f"prod.env:1: {said[0]}"]


def test_a_duplicate_name_is_refused(tmp_path: Path) -> None:
    said = "prod.env:4: A is given twice: first in line 2 [env-file]\n  keep one of the two"
    assert refused(tmp_path, '\nA=1\nB=2\nexport A="1"\n') == [said]


@pytest.mark.parametrize("name", ["A-B", "a.b", "1A", "Ä", "'A B'", "A\0"])
def test_an_invalid_name_is_refused(tmp_path: Path, name: str) -> None:
    (said,) = refused(tmp_path, f"{name}={SENTINEL}\n")
    assert said.startswith("prod.env:1: the name before = is not one of letters, digits and _")
    assert SENTINEL not in said


@pytest.mark.parametrize("text", ["\0", "\x1b[31m", "\x7f", "\ufdd0", "x" * 2**17])
def test_a_value_that_systemd_rejects_is_refused(tmp_path: Path, text: str) -> None:
    (said,) = refused(tmp_path, f"B=1\nA={SENTINEL}{text}\n")
    assert said.startswith("prod.env:2: the variable A h")
    assert SENTINEL not in said


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"A=1\nB=\xff\n", 2),
        ("A=1\n".encode("utf-16"), 1),
        (b"\x89PNG\r\n\x1a\n\0\0", 1),
    ],
)
def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path, content: bytes, line: int) -> None:
    (said,) = refused(tmp_path, content)
    assert said.startswith(f"prod.env:{line}: byte 0x")
    assert said.endswith("is not UTF-8 [env-file]\n  save the file as UTF-8")


def test_a_file_larger_than_any_environment_is_refused(tmp_path: Path) -> None:
    line = "A{}=" + "x" * 1000 + "\n"
    text = "".join(line.format(number) for number in range(LARGEST // 1010))
    assert len(read(tmp_path, text)) == LARGEST // 1010
    (said,) = refused(tmp_path, text + "# comment" * 10_000)
    assert "larger than 256 KiB" in said


def test_a_missing_or_unreadable_file_is_reported(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "x.env", "file-missing"), (tmp_path, "file-unreadable")):
        with pytest.raises(InputError) as caught:
            dotenv_file.read(path)
        (mistake,) = caught.value.mistakes
        assert (mistake.code, str(mistake.place)) == (code, str(path))


def test_an_encrypted_file_has_its_own_hint(tmp_path: Path) -> None:
    (said,) = refused(tmp_path, "$ANSIBLE_VAULT;1.1;AES256\n3162\n")
    assert "ansible-vault has encrypted this file" in said


def test_all_mistakes_of_a_file_are_reported_together(tmp_path: Path) -> None:
    said = refused(tmp_path, "A\nB-C=1\n\nD=1\nD=2\n'E\n", "GONE")
    assert [line.split(": ")[0] for line in said] == [f"prod.env:{n}" for n in (1, 2, 5, 6)]


def test_only_the_first_mistakes_of_a_file_are_reported(
    tmp_path: Path,
) -> None:
    assert len(refused(tmp_path, "a line of prose\n" * 10_000)) == MOST_REPORTED


def test_all_values_but_public_ones_are_secrets(tmp_path: Path) -> None:
    (tmp_path / "prod.env").write_text(f"PASSWORD={SENTINEL}\nPORT=8000\n")
    found = dotenv_file.read(tmp_path / "prod.env", ["PORT"])
    assert found == {"PASSWORD": Secret(SENTINEL), "PORT": "8000"}
    assert SENTINEL not in repr(found)


def test_a_public_name_missing_from_the_file_is_reported(tmp_path: Path) -> None:
    assert refused(tmp_path, "LOG_LEVEL=info\n", "LOG_LEVLE", "X") == [
        (
            "prod.env: `public:` in the playbook names LOG_LEVLE, which this file does not have"
            " [env-file]\n  did you mean 'LOG_LEVEL'?"
        ),
        (
            "prod.env: `public:` in the playbook names X, which this file does not have"
            " [env-file]\n  take it out of `public:`, or put it into the file"
        ),
    ]


def test_an_empty_file_gives_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "") == read(tmp_path, "\n\n# nothing\n") == {}
