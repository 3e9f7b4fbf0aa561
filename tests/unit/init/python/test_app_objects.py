"""The objects that a server can load, and which of several is the likeliest."""

from __future__ import annotations

import pytest

from shipit.init.project_files import ProjectFiles
from shipit.init.python import modules
from shipit.init.python.app_objects import AppObject, web_objects


def found(**texts: str) -> list[AppObject]:
    files = ProjectFiles("any", {f"{name}.py": text for name, text in texts.items()})
    parsed, notes = modules.parse(files, "", ("",))
    assert notes == []
    return web_objects(parsed)


@pytest.mark.parametrize(
    ("text", "framework"),
    [
        ("from fastapi import FastAPI\napp = FastAPI()", "FastAPI"),
        ("import fastapi\napp: fastapi.FastAPI = fastapi.FastAPI(title='x')", "FastAPI"),
        ("from starlette.applications import Starlette as S\napp = S([])", "Starlette"),
        ("from litestar import Litestar\napp = Litestar([])", "Litestar"),
        ("from quart import Quart\napp = Quart(__name__)", "Quart"),
        ("from flask import Flask\nif True:\n    app = Flask(__name__)", "Flask"),
        ("import falcon.asgi\napp = falcon.asgi.App()", "Falcon"),
        ("import bottle\ntry:\n    app = bottle.Bottle()\nexcept OSError: pass", "Bottle"),
        ("from django.core.wsgi import get_wsgi_application as g\napp = g()", "Django"),
    ],
)
def test_an_object_of_a_framework_is_found(text: str, framework: str) -> None:
    (app,) = found(main=text)
    assert (app.target, app.framework.name, app.is_factory) == ("main:app", framework, False)
    assert app.place.line in (2, 3)


@pytest.mark.parametrize(
    "text",
    [
        "from fastapi import FastAPI\ndef test():\n    app = FastAPI()",
        "from fastapi import FastAPI\nclass A:\n    app = FastAPI()",
        "from fastapi import FastAPI\nFastAPI()",
        "from fastapi import FastAPI\na.app = FastAPI()",
        "from mine import FastAPI\napp = FastAPI()",
        "app = FastAPI()",
        "# app = FastAPI()",
        "s = 'app = FastAPI()'",
    ],
)
def test_what_only_looks_like_an_app_is_not_found(text: str) -> None:
    assert found(main=text) == []


FACTORY = "from flask import Flask\ndef create_app():\n    app = Flask(__name__)\n    return app\n"


def test_a_factory_that_nobody_calls_is_an_app() -> None:
    (app,) = found(shop=FACTORY)
    assert (app.target, app.is_factory, app.place.line) == ("shop:create_app", True, 2)


def test_the_object_that_a_factory_makes_is_the_app_where_there_is_one() -> None:
    (app,) = found(shop=FACTORY, wsgi="from shop import create_app\napp = create_app()")
    assert (app.target, app.is_factory, app.framework.name) == ("wsgi:app", False, "Flask")


@pytest.mark.parametrize(
    "head", ["def create_app(config):", "def create_app(*, config):", "async def create_app():"]
)
def test_a_factory_that_needs_arguments_is_no_app(head: str) -> None:
    assert found(shop=FACTORY.replace("def create_app():", head)) == []


@pytest.mark.parametrize(
    "head", ["def create_app(config=None):", "def create_app(*, config=None):"]
)
def test_a_factory_whose_arguments_have_defaults_is_an_app(head: str) -> None:
    assert found(shop=FACTORY.replace("def create_app():", head))


def test_a_factory_is_recognized_by_what_it_says_to_return() -> None:
    text = "from flask import Flask\ndef make() -> Flask:\n    return other()\n"
    assert [app.target for app in found(shop=text)] == ["shop:make"]


def test_the_likeliest_app_is_called_so_and_lies_where_apps_lie() -> None:
    text = "from fastapi import FastAPI\n{} = FastAPI()"
    apps = found(
        tool=text.format("admin"), zoo=text.format("app"), main=text.format("app"), shop=FACTORY
    )
    assert [app.target for app in apps] == ["main:app", "zoo:app", "tool:admin", "shop:create_app"]
