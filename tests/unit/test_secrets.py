"""Secrets are fetched by reference and never show."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipit import secrets
from shipit.errors import InputError, Place
from shipit.secrets import Mask, Secret, resolve

if TYPE_CHECKING:
    from pathlib import Path

SENTINEL = "s3ntinel \"quoted\" & 'more' ü/+\\="


@dataclass(frozen=True)
class Holder:
    value: Secret


@pytest.mark.parametrize(
    "shown",
    [
        str(Secret(SENTINEL)),
        repr(Secret(SENTINEL)),
        f"{Secret(SENTINEL)}",
        f"{Secret(SENTINEL)!r:>20}",
        f"{Secret(SENTINEL):>9}",
        "%s" % Secret(SENTINEL),  # noqa: UP031 - a way of printing
        repr(Holder(Secret(SENTINEL))),
        str(asdict(Holder(Secret(SENTINEL)))),
        repr([Secret(SENTINEL)]),
    ],
)
def test_a_secret_prints_as_stars(shown: str) -> None:
    assert "s3ntinel" not in shown
    assert "***" in shown


def test_a_secret_is_not_written_to_json_or_pickle() -> None:
    with pytest.raises(TypeError):
        json.dumps(Secret(SENTINEL))
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(Secret(SENTINEL))


def test_secrets_are_equal_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert copy.deepcopy(Secret("a")) == Secret("a")
    assert Secret("ä").reveal() == "ä"


def test_a_secret_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIPIT_TEST_SECRET", SENTINEL)
    assert resolve("env:SHIPIT_TEST_SECRET", tmp_path).reveal() == SENTINEL


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"word\n", "word"), (b"word\r\n", "word"), (b"two\nlines\n\n", "two\nlines\n"), (b"x", "x")],
)
def test_a_secret_comes_from_a_file_without_its_last_newline(
    tmp_path: Path, content: bytes, value: str
) -> None:
    (tmp_path / "key").write_bytes(content)
    assert resolve("file:key", tmp_path).reveal() == value
    assert resolve(f"file:{tmp_path}/key", tmp_path / "elsewhere").reveal() == value


def test_a_file_may_be_named_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text("word\n")
    assert resolve("file:~/key", tmp_path / "elsewhere").reveal() == "word"


def test_a_secret_comes_from_a_command_without_a_shell(tmp_path: Path) -> None:
    script = "import os, sys; print(os.getcwd(), *sys.argv[1:])"
    reference = f"command:{sys.executable} -c '{script}' '$HOME a' ;"
    assert resolve(reference, tmp_path).reveal() == f"{tmp_path} $HOME a ;"


def command(script: str) -> str:
    return f'command:{sys.executable} -c "{script}"'


@pytest.mark.parametrize(
    ("reference", "code", "said"),
    [
        ("env:SHIPIT_NOT_SET", "secret-missing", "SHIPIT_NOT_SET of the secret is not set"),
        ("env:SHIPIT_EMPTY", "secret-empty", "is empty"),
        ("file:none", "secret-missing", "does not exist"),
        ("file:.", "secret-unreadable", "directory"),
        ("file:binary", "secret-unreadable", "not UTF-8"),
        ("file:~nobody-of-that-name/x", "secret-unreadable", "cannot be read"),
        ("file:empty", "secret-empty", "is empty"),
        ("command:no-such-program x", "secret-command", "cannot be started"),
        ("command:printf 'x", "secret-command", "not closed"),
        (command("print('s3ntinel'); exit(3)"), "secret-command", "exit status 3"),
        (command("import sys; sys.exit('s3ntinel')"), "secret-command", "exit status 1"),
        ("s3ntinel", "secret-reference", "no reference"),
        ("vault:s3ntinel", "secret-reference", "no reference"),
        ("env:", "secret-reference", "no reference"),
        ("file:  ", "secret-reference", "no reference"),
    ],
)
def test_a_secret_that_cannot_be_fetched_is_reported_without_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, code: str, said: str
) -> None:
    monkeypatch.delenv("SHIPIT_NOT_SET", raising=False)
    monkeypatch.setenv("SHIPIT_EMPTY", "")
    (tmp_path / "binary").write_bytes(b"s3ntinel\xff")
    (tmp_path / "empty").write_bytes(b"\n")
    place = Place("playbook.yaml", 3, 7)
    with pytest.raises(InputError) as caught:
        resolve(reference, tmp_path, place)
    assert [found.code for found in caught.value.mistakes] == [code]
    assert said in str(caught.value)
    assert str(caught.value).startswith("playbook.yaml:3:7: ")
    assert "s3ntinel" not in str(caught.value)


def test_a_command_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "COMMAND_TIMEOUT", 0.2)
    with pytest.raises(InputError, match="took longer") as caught:
        resolve(command("import time; print('s3ntinel', flush=True); time.sleep(60)"), tmp_path)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "text",
    [
        SENTINEL,
        json.dumps({"x": SENTINEL}),
        json.dumps({"x": SENTINEL}, ensure_ascii=False),
        repr(SENTINEL),
        quote(SENTINEL),
        quote(SENTINEL, safe=""),
        quote(SENTINEL, safe="").lower(),
        quote_plus(SENTINEL),
        base64.b64encode(SENTINEL.encode()).decode(),
        base64.urlsafe_b64encode(SENTINEL.encode()).decode(),
    ],
)
def test_a_value_is_masked_in_every_form(text: str) -> None:
    masked = Mask([Secret(SENTINEL)])(f"before {text} after")
    assert masked in {f"before {rest} after" for rest in ("***", "'***'", '{"x": "***"}')}


@given(
    before=st.binary(max_size=4),
    value=st.text(min_size=12, max_size=40),
    after=st.binary(max_size=4),
)
def test_a_value_is_masked_inside_longer_base64(before: bytes, value: str, after: bytes) -> None:
    encoded = base64.b64encode(before + value.encode() + after).decode()
    masked = Mask([value])(encoded)
    # What is left are the characters that hold bits of the neighbours.
    assert len(masked) <= len(encoded) - len(base64.b64encode(value.encode())) + 3 + 4 + 3


@given(st.text(min_size=4, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_a_value_is_masked_at_any_position(value: str, before: str, after: str) -> None:
    masked = Mask([value])(f"{before} {value} {after}")
    rest = f"{before} *** {after}"
    assert value not in masked or value in rest


def test_the_lines_of_a_long_value_are_masked_one_by_one() -> None:
    mask = Mask(["first line of a key\nsecond line of a key\n"])
    assert mask("x: second line of a key") == "x: ***"


def test_a_tab_is_masked_as_journalctl_shows_it() -> None:
    assert Mask(["left\tright"])("left\tright, left        right") == "***, ***"


def test_overlapping_values_are_masked_completely() -> None:
    assert Mask(["secret", "secret-longer"])("a secret-longer b secret") == "a *** b ***"


def test_short_values_are_masked_only_as_whole_words() -> None:
    mask = Mask(["abc", "1", ""])
    assert mask("abc 1 11 abcd x1") == "*** *** 11 abcd x1"


def test_a_mask_of_nothing_changes_nothing() -> None:
    assert Mask([])("text") == "text"
    assert Mask([""])("text") == "text"


def test_a_mask_does_not_show_what_it_masks() -> None:
    assert "s3ntinel" not in repr(Mask([SENTINEL]))
