"""Variables without which an app does not start."""

from __future__ import annotations

import pytest

from shipit.init.project_files import ProjectFiles
from shipit.init.python import modules
from shipit.init.python.environment import required

SETTINGS = """\
from pydantic_settings import BaseSettings, SettingsConfigDict
class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="shop_")
    token: str
    level: str = "info"
"""


def names(text: str) -> list[str]:
    parsed, _ = modules.parse(ProjectFiles("any", {"main.py": text}), "", ("",))
    return [name for name, _ in required(parsed)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('import os\nos.environ["TOKEN"]', ["TOKEN"]),
        ('from os import environ as e\ne["TOKEN"]', ["TOKEN"]),
        ('import os\nos.getenv("TOKEN")', ["TOKEN"]),
        ('import os\nos.environ.get("TOKEN")', ["TOKEN"]),
        ('import os\nos.environ.get("TOKEN", "")', []),
        ('import os\nos.getenv("TOKEN", default="")', []),
        ('import os\nos.environ["TOKEN"] = "x"', []),
        ("import os\nos.environ[name]", []),
        ('import os\nos.environ["token"]', []),
        ('import os\nos.environ["HOME"]', []),
        ("import os\nos.environ[1]", []),
        ('other["TOKEN"]', []),
        ('import environ\nenv = environ.Env(DEBUG=(bool, False))\nenv("TOKEN")', ["TOKEN"]),
        ('import environ\nenv = environ.Env()\nenv.str("A")\nenv.url("B", default="")', ["A"]),
        ('from decouple import config\nconfig("TOKEN")\nconfig("A", default=1)', ["TOKEN"]),
        ('config("TOKEN")', []),
        (SETTINGS, ["SHOP_TOKEN"]),
        ("import pydantic\nclass S(pydantic.BaseSettings):\n    token: str", ["TOKEN"]),
        ("class S(Other):\n    token: str", []),
    ],
)
def test_a_variable_is_required_where_it_is_read_without_a_default(
    text: str, expected: list[str]
) -> None:
    assert names(text) == expected


def test_variables_are_sorted_and_each_is_named_once_where_it_is_read_first() -> None:
    text = 'import os\nos.environ["B"]\nos.environ["A"]\nos.environ["B"]'
    parsed, _ = modules.parse(ProjectFiles("any", {"main.py": text}), "", ("",))
    assert [(name, place.line) for name, place in required(parsed)] == [("A", 3), ("B", 2)]
