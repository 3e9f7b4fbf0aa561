"""Modules as syntax trees: names, imports, and source that no Python can read."""

from __future__ import annotations

import ast

import pytest

from shipit.init.project_files import ProjectFiles
from shipit.init.python import modules


def parse(text: str, path: str = "pkg/mod.py") -> modules.Module:
    (module,), notes = modules.parse(ProjectFiles("any", {path: text}), "", ("",))
    assert notes == []
    return module


@pytest.mark.parametrize(
    ("path", "top", "name"),
    [
        ("app.py", "", "app"),
        ("shop/__init__.py", "", "shop"),
        ("src/shop/main.py", "", "shop.main"),
        ("libs/b/src/shop/main.py", "libs/b/", "shop.main"),
        ("libs/b/shop.py", "libs/a/", ""),
        ("my-shop/main.py", "", ""),
        ("shop.toml", "", ""),
        ("src/__init__.py", "", ""),
    ],
)
def test_the_name_by_which_a_module_is_imported(path: str, top: str, name: str) -> None:
    assert modules.module_name(path, top) == name


@pytest.mark.parametrize(
    ("line", "name", "meaning"),
    [
        ("import fastapi", "fastapi.FastAPI", "fastapi.FastAPI"),
        ("import falcon.asgi", "falcon.asgi.App", "falcon.asgi.App"),
        ("import falcon.asgi as f", "f.App", "falcon.asgi.App"),
        ("from fastapi import FastAPI as Api", "Api", "fastapi.FastAPI"),
        ("from . import make", "make", "pkg.make"),
        ("from .factory import make", "make", "pkg.factory.make"),
        ("from .. import make", "make", "make"),
        ("", "here", "pkg.mod.here"),
        ("", "call().x", ""),
    ],
)
def test_a_name_means_what_is_imported_under_it(line: str, name: str, meaning: str) -> None:
    module = parse(line)
    assert module.dotted(ast.parse(name, mode="eval").body).lstrip(".") == meaning


def test_a_relative_import_in_a_package_is_of_that_package() -> None:
    module = parse("from . import make", "pkg/__init__.py")
    assert module.dotted(ast.parse("make", mode="eval").body) == "pkg.make"


def test_only_modules_with_one_of_the_words_are_parsed() -> None:
    files = ProjectFiles("any", {"a.py": "import flask", "b.py": "no python at all"})
    found, notes = modules.parse(files, "", ("flask",))
    assert ([module.name for module in found], notes) == (["a"], [])


@pytest.mark.parametrize(
    "text",
    [
        "def (",
        "x = 'not closed",
        "\x00",
        "x = " + "(" * 100_000,
        "x = " + "-" * 100_000 + "1",
        "x = " + "+".join("1" * 100_000),
        "x = a" + ".b" * 100_000,
        "x = " + "not " * 50_000 + "1",
        "print 'of Python 2'",
    ],
    ids=range(9),
)
def test_source_that_cannot_be_read_is_a_note_of_one_line(text: str) -> None:
    found, notes = modules.parse(ProjectFiles("any", {"a.py": text}), "", ("",))
    assert found == []
    assert [str(note).startswith("a.py") for note in notes] == [True]
    assert "\n" not in str(notes[0])
