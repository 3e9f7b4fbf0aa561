from __future__ import annotations

from pathlib import Path

import pytest

from shipit.errors import InputError, Place
from shipit.yaml_source import parse, read

FILE = Path("play.yaml")
TEXT = """\
name: x
services:
  web: {command: run}
  list:
    - a
    - {b: 1}
1: one
base: &base {port: 80, host: h}
more:
  <<: *base
  port: 81
"""


@pytest.mark.parametrize(
    ("loc", "value", "key"),
    [
        ((), (1, 1), (1, 1)),
        (("name",), (1, 7), (1, 1)),
        (("services", "web", "command"), (3, 18), (3, 9)),
        (("services", "list", 1, "b"), (6, 11), (6, 8)),
        (("services", "list", 0), (5, 7), (5, 7)),
        ((1,), (7, 4), (7, 1)),
        (("more", "port"), (11, 9), (11, 3)),
        (("more", "host"), (8, 30), (8, 24)),
        (("services", "web", "none", "deeper"), (3, 8), (3, 8)),
        (("services", "list", 7), (5, 5), (5, 5)),
        (("name", "deeper"), (1, 7), (1, 7)),
    ],
)
def test_places_of_values_and_keys(
    loc: tuple[str | int, ...], value: tuple[int, int], key: tuple[int, int]
) -> None:
    document = parse(FILE, TEXT)
    assert document.place(loc) == Place("play.yaml", *value)
    assert document.key_place(loc) == Place("play.yaml", *key)


def test_values_are_those_of_yaml_1_1() -> None:
    value = parse(FILE, "[yes, 0o7, 010, 1e3, ~, '{{ x }}', 1_000]").value
    assert value == [True, "0o7", 8, "1e3", None, "{{ x }}", 1000]


def test_a_file_that_is_json_is_read_as_json() -> None:
    document = parse(FILE, '{"a": 1e3,\n "b": "\\/"}')
    assert document.value == {"a": 1000.0, "b": "/"}
    assert document.key_place(["b"]) == Place("play.yaml", 2, 2)


def test_an_empty_file_has_no_value() -> None:
    document = parse(FILE, "# nothing\n")
    assert document.value is None
    assert document.place(["a"]) == Place("play.yaml")


LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("a: 1\nb: [1, 2\n", "yaml-syntax", "3:1"),
        ("a: b: c", "yaml-syntax", "1:5"),
        ("a:\n\tb: 1", "yaml-syntax", "2:1"),
        ("ä: b\0", "yaml-syntax", "1:5"),
        ("a\n---\nb", "yaml-syntax", "2:1"),
        ("? [a]\n: 1", "yaml-syntax", "1:3"),
        ("<<: 3", "yaml-syntax", "1:5"),
        ("a: *nowhere", "yaml-syntax", "1:4"),
        ("a: &x {b: *x}", "yaml-syntax", "1:4"),
        ("x: y\na: 2024-13-45", "yaml-syntax", "2:4"),
        ("a: !!timestamp x", "yaml-syntax", "1:4"),
        ("- " * 150, "yaml-syntax", "1:"),
        ("[" * 100_000, "yaml-syntax", ""),
        (LAUGHS, "yaml-syntax", ""),
        ("a: 1\nb: {}\n'a': 2", "yaml-duplicate-key", "3:1"),
        ('{"a": 1, "a": 2}', "yaml-duplicate-key", "1:10"),
        ("1: a\n0x1: b", "yaml-duplicate-key", "2:1"),
        ("a: !!python/name:os.system x", "yaml-tag", "1:4"),
        ("a: !custom {}", "yaml-tag", "1:4"),
        ("a: !vault [1]", "vault-damaged", "1:4"),
        ("$ANSIBLE_VAULT;1.1;AES256\n3132", "vault-damaged", "1:1"),
        ("$ANSIBLE_VAULT;1.1;AES256\n33310a33310a3331", "vault-locked", "1:1"),
    ],
)
def test_mistakes_are_reported_with_their_place(text: str, code: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(FILE, text)
    (mistake,) = caught.value.mistakes
    assert mistake.code == code
    assert str(mistake).startswith(f"play.yaml:{place}")


def test_all_mistakes_are_reported_together_and_name_both_lines() -> None:
    with pytest.raises(InputError) as caught:
        parse(FILE, "a: 1\nb: !x 1\na: 2")
    reported = str(caught.value)
    assert "play.yaml:2:4" in reported
    assert "play.yaml:3:1: the key 'a' is given twice: first in line 1" in reported


def test_a_key_that_overrides_a_merged_one_is_no_duplicate() -> None:
    more = parse(FILE, TEXT).value
    assert isinstance(more, dict)
    assert more["more"] == {"port": 81, "host": "h"}


def test_a_missing_file_an_unreadable_one_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xef\xbb\xbfa: 1\nb: \xff\n")
    for name, code, place in [
        ("none.yaml", "file-missing", "none.yaml: "),
        ("", "file-unreadable", ""),
        ("bytes.yaml", "yaml-syntax", "bytes.yaml:2:4: byte 0xff is not UTF-8"),
    ]:
        with pytest.raises(InputError) as caught:
            read(tmp_path / name)
        assert caught.value.mistakes[0].code == code
        assert place in str(caught.value)
