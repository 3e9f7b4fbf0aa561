"""Secrets are fetched by reference and never show."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pytest

from shipit import secrets
from shipit.errors import InputError, Place
from shipit.secrets import Mask, Secret, SecretUrl, resolve

if TYPE_CHECKING:
    from pathlib import Path

SENTINEL = "s3ntinel \"quoted\" & 'more' ü/+\\="


@dataclass(frozen=True)
class Login:
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
        repr(Login(Secret(SENTINEL))),
        str(asdict(Login(Secret(SENTINEL)))),
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


def test_a_mask_hides_secrets_and_texts_and_does_not_show_them() -> None:
    mask = Mask([Secret(SENTINEL), "other-s3ntinel"])
    assert mask(f"{SENTINEL}, other-s3ntinel") == "***, ***"
    assert "s3ntinel" not in repr(mask)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/a/b.shipit", "s3://bucket/a/b.shipit"),
        ("https://h:8443/x?Signature=abc#y", "https://h:8443/x?***"),
        ("https://me:p%40ss@h/x", "https://***@h/x"),
        ("https://token@h/x", "https://***@h/x"),
    ],
)
def test_a_url_shows_no_credentials(url: str, shown: str) -> None:
    made = SecretUrl(url)
    assert (str(made), f"{made}", "%s" % made) == (shown, shown, shown)  # noqa: UP031
    assert repr([made]) == f"[SecretUrl({shown})]"
    assert made.reveal() == url


def test_the_credentials_of_a_url_are_masked_wherever_they_are() -> None:
    url = "https://me:p%40ss-word@h/x?X-Amz-SignedHeaders=host&X-Amz-Signature=0123456789abcdef01"
    hide = Mask(SecretUrl(url).hidden())
    for secret in ("p%40ss-word", "p@ss-word", "0123456789abcdef01", url.partition("?")[2]):
        assert hide(f"<{secret}>") == "<***>"
    assert hide("the host of x") == "the host of x"
