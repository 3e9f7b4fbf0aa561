"""Which file of a lock is fetched by its URL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shipit.bundle.lock import Locked
from shipit.errors import Place
from shipit.project.fetching.locked_files import has_own_index, lines
from wheelhouse import BOOKWORM

NATIVE = "fast-1.0-cp311-cp311-manylinux_2_17_{}.whl"
PURE = "fast-1.0-py3-none-any.whl"
FILES = "https://files.example/"


def entry(*urls: str, version: str = "1.0") -> Locked:
    found = {f"{number:064x}": url for number, url in enumerate(urls)}
    return Locked("fast", version, frozenset(found), Place("uv.lock"), urls=found)


def chosen(*urls: str, version: str = "1.0") -> str:
    return lines({"a": entry(*urls, version=version)}, BOOKWORM).get("a", "")


def test_the_best_file_for_the_host_is_named_with_its_digest() -> None:
    urls = [FILES + name for name in (PURE, NATIVE.format("x86_64"), NATIVE.format("aarch64"))]
    assert chosen(*urls) == f"fast @ {urls[1]} --hash=sha256:{1:064x}"
    arm = replace(BOOKWORM, machine="aarch64")
    assert lines({"a": entry(*urls)}, arm)["a"].split()[2] == urls[2]


def test_of_two_builds_of_a_file_the_later_is_chosen() -> None:
    builds = [f"{FILES}fast-1.0-{number}-py3-none-any.whl" for number in (2, 10, 9)]
    assert builds[1] in chosen(*builds)


def test_an_escaped_name_is_understood() -> None:
    url = FILES + "fast-1.0%2Bcpu-py3-none-any.whl"
    assert url in chosen(url, version="1.0+cpu")


@pytest.mark.parametrize(
    "url",
    [
        FILES + NATIVE.format("aarch64"),
        FILES + PURE.replace("fast", "slow"),
        FILES + PURE.replace("1.0", "1.1"),
        FILES + "fast.zip",
        "file:///wheels/" + PURE,
        FILES + "${SECRET}/" + PURE,  # pip replaces variables
        FILES + PURE + " --index-url=https://evil.example",
        FILES + "\n--index-url=https://evil.example/" + PURE,
        "",
    ],
)
def test_what_does_not_fit_or_is_more_than_a_url_is_left_to_the_index(url: str) -> None:
    assert chosen(url) == ""


@pytest.mark.parametrize(
    ("configured", "environment", "expected"),
    [
        ("", {}, False),
        ("global.extra-index-url='https://more.example'\nglobal.cert='/x'\n", {}, False),
        ("global.cert='/x'\nglobal.index-url='https://mirror.example/simple'\n", {}, True),
        ("download.index-url='https://mirror.example/simple'", {}, True),
        (":env:.no-index='1'", {}, True),
        ("", {"UV_DEFAULT_INDEX": "https://mirror.example/simple"}, True),
        ("", {"UV_DEFAULT_INDEX": ""}, False),
    ],
)
def test_who_names_an_index_gets_everything_from_there(
    configured: str, environment: dict[str, str], *, expected: bool
) -> None:
    assert has_own_index(configured, environment) is expected
