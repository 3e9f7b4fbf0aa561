"""What is decided from the files of a project: services, servers, ports, and what is left to do."""

from __future__ import annotations

import pytest

from shipit.init.decisions import Answers, app_name, decide
from shipit.init.detect import detect
from shipit.init.findings import Guess, Setup
from shipit.init.project_files import ProjectFiles

FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
CELERY = "from celery import Celery\nqueue = Celery('shop')\n"
HASHED = "{}==1 --hash=sha256:00\n"


def setup(answers: Answers | None = None, /, **texts: str) -> Setup:
    """Decide on files; `__` in a name is a slash, and the last `_` a dot."""
    named = {
        ".".join(name.replace("__", "/").rsplit("_", 1)) if "_" in name else name: text
        for name, text in texts.items()
    }
    return decide(detect(ProjectFiles("any", named)), answers or Answers())


def services(found: Setup) -> dict[str, str]:
    return {each.name: f"{each.key}: {each.guess.value}" for each in found.services}


@pytest.mark.parametrize(
    ("source", "package", "serve"),
    [
        (FASTAPI, "uvicorn", "uvicorn main:app"),
        (FASTAPI, "granian", "granian --interface asgi main:app"),
        (FASTAPI, "hypercorn", "hypercorn main:app"),
        (FLASK, "gunicorn", "gunicorn main:app"),
        (FLASK, "granian", "granian --interface wsgi main:app"),
        (FLASK, "waitress", "waitress main:app"),
        (FLASK, "hypercorn", "hypercorn wsgi:main:app"),
    ],
)
def test_the_server_is_the_one_in_the_dependencies(source: str, package: str, serve: str) -> None:
    found = setup(main_py=source, requirements_txt=HASHED.format(package))
    assert services(found) == {"web": f"serve: {serve}"}
    assert found.todo == ()


@pytest.mark.parametrize(
    ("package", "serve"),
    [
        ("gunicorn", "gunicorn main:create_app()"),
        ("granian", "granian --interface wsgi main:create_app --factory"),
        ("waitress", "waitress --call main:create_app"),
    ],
)
def test_a_factory_is_served_as_its_server_wants_it(package: str, serve: str) -> None:
    source = "from flask import Flask\ndef create_app():\n    return Flask(__name__)\n"
    found = setup(main_py=source, requirements_txt=HASHED.format(package))
    assert services(found) == {"web": f"serve: {serve}"}


@pytest.mark.parametrize(
    ("texts", "how"),
    [
        ({"uv_lock": ""}, "uv add uvicorn"),
        ({"poetry_lock": ""}, "poetry add uvicorn"),
        ({"Pipfile_lock": "{}"}, "pipenv install uvicorn"),
        ({"requirements_txt": ""}, "write it into requirements.txt or what it is locked from"),
    ],
)
def test_a_server_that_is_no_dependency_is_left_to_do(texts: dict[str, str], how: str) -> None:
    found = setup(main_py=FASTAPI, **texts)
    assert services(found) == {"web": "serve: uvicorn main:app"}
    assert found.todo == (f"depend on uvicorn, which no dependency is: {how}",)


def test_the_app_and_the_server_of_a_process_go_first() -> None:
    found = setup(
        main_py=FLASK,
        admin__site_py=FLASK,
        Procfile="web: waitress-serve --listen=*:9000 admin.site:app\n",
        requirements_txt=HASHED.format("gunicorn") + HASHED.format("waitress"),
    )
    assert services(found) == {"web": "serve: waitress admin.site:app"}
    assert str(found.port) == "port: 9000 (Procfile:1)"


def test_a_server_of_a_process_that_cannot_run_the_app_is_not_taken() -> None:
    text = "web: gunicorn -k uvicorn_worker.UvicornWorker main:app\n"
    found = setup(main_py=FASTAPI, Procfile=text, requirements_txt=HASHED.format("uvicorn"))
    assert services(found) == {"web": "serve: uvicorn main:app"}


def test_of_djangos_two_objects_the_one_whose_server_is_there_is_served() -> None:
    text = "from django.core.{0} import get_{0}_application as g\napplication = g()\n"
    both = {"site__asgi_py": text.format("asgi"), "site__wsgi_py": text.format("wsgi")}
    for package, serve in (("uvicorn", "uvicorn site.asgi"), ("gunicorn", "gunicorn site.wsgi")):
        found = setup(requirements_txt=HASHED.format(package), **both)
        assert services(found) == {"web": f"serve: {serve}:application"}


def test_answers_replace_guesses() -> None:
    texts = {"main_py": FLASK, "other_py": FLASK, "requirements_txt": HASHED.format("gunicorn")}
    found = setup(Answers(serve="gunicorn other:app", port=80), **texts)
    assert services(found) == {"web": "serve: gunicorn other:app"}
    assert found.services[0].port == 80


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mails: celery -A shop worker -Q mail -c 4", "serve: celery -A shop -Q mail -c 4"),
        ("mails: uv run celery -A shop beat", "serve: celery-beat -A shop"),
        ("mails: rq worker high low", "serve: rq high low"),
        ("mails: dramatiq shop.tasks", "serve: dramatiq shop.tasks"),
        ("mails: huey_consumer.py shop.huey -w 4", "serve: huey shop.huey -w 4"),
        ("mails: python -m shop.clock", "command: python -m shop.clock"),
        ("Mails_2: python clock.py", "command: python clock.py"),
    ],
)
def test_a_process_of_a_procfile_is_a_service(line: str, expected: str) -> None:
    found = setup(Procfile=line, requirements_txt="")
    assert [*services(found).values()] == [expected]
    assert found.todo == ()


@pytest.mark.parametrize(
    "command",
    [
        "cd x && python clock.py",
        "python clock.py $ARGS",
        "celery -A x -b redis://:hunter2@h worker",
        "python clock.py --token hunter2",
        "python '{{ x }}'",
        "python 'not closed",
    ],
)
def test_a_command_that_needs_a_shell_or_has_a_secret_is_left_to_do(command: str) -> None:
    found = setup(main_py=FLASK, Procfile=f"clock: {command}", requirements_txt="gunicorn")
    assert "clock" not in services(found)
    says = "write the service clock: Procfile:1 needs a shell, or has a secret in it"
    assert says in found.todo
    assert "hunter2" not in repr(found)


def test_what_a_platform_runs_before_a_deploy_is_left_to_do() -> None:
    text = "web: gunicorn main:app\nrelease: python manage.py migrate\n"
    found = setup(main_py=FLASK, Procfile=text, requirements_txt=HASHED.format("gunicorn"))
    assert [*services(found)] == ["web"]
    assert found.todo == ("before a deploy, run what Procfile:2 runs: python manage.py migrate",)


def test_databases_and_frontends_of_a_compose_file_are_no_services() -> None:
    text = "services:\n  db: {command: postgres -c x=1}\n  js: {command: npm run dev}\n"
    found = setup(main_py=FLASK, requirements_txt="", compose_yaml=text)
    assert [*services(found)] == ["web"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (CELERY, {"worker": "serve: celery -A shop:queue"}),
        (
            f"{CELERY}queue.conf.beat_schedule = {{}}",
            {"worker": "serve: celery -A shop:queue", "beat": "serve: celery-beat -A shop:queue"},
        ),
        (
            "from huey import RedisHuey\nhuey = RedisHuey('x')",
            {"worker": "serve: huey shop.huey"},
        ),
        (
            "import dramatiq\n@dramatiq.actor\ndef f(): ...",
            {"worker": "serve: dramatiq shop"},
        ),
        (
            "from dramatiq import actor\n@actor(max_retries=1)\ndef f(): ...",
            {"worker": "serve: dramatiq shop"},
        ),
    ],
)
def test_a_task_queue_in_the_source_has_a_worker(source: str, expected: dict[str, str]) -> None:
    assert services(setup(shop_py=source, requirements_txt="")) == expected


def test_a_queue_whose_worker_is_a_process_has_no_second_one() -> None:
    text = "mails: celery -A shop worker\n"
    assert [*services(setup(shop_py=CELERY, Procfile=text, requirements_txt=""))] == ["mails"]


def test_a_script_is_the_service_of_a_project_that_has_nothing_else() -> None:
    text = '[project]\nname = "x"\n[project.scripts]\nx-serve = "x:main"\n'
    found = setup(pyproject_toml=text, uv_lock="")
    assert services(found) == {"main": "command: x-serve"}
    assert found.port is None
    assert found.health is None
    assert found.todo == ()


def test_a_project_in_which_nothing_runs_has_a_service_to_be_written() -> None:
    found = setup(pyproject_toml='[project]\nname = "my-app"\n', uv_lock="")
    assert services(found) == {"main": "command: python -m my_app"}
    assert found.todo == ("write what the app runs: nothing was found (services: main: command)",)


@pytest.mark.parametrize(
    ("texts", "how"),
    [
        ({"pyproject_toml": ""}, "lock the dependencies: uv lock"),
        ({"pyproject_toml": "[tool.poetry]\n"}, "lock the dependencies: poetry lock"),
        ({"Pipfile": ""}, "lock the dependencies: pipenv lock"),
        (
            {"requirements_txt": "# ours\nflask\n"},
            (
                "lock the dependencies, requirements.txt:2 has no hash:"
                " uv pip compile --universal --generate-hashes requirements.txt"
                " -o requirements.lock"
            ),
        ),
    ],
)
def test_dependencies_that_are_not_locked_are_left_to_do(texts: dict[str, str], how: str) -> None:
    assert how in setup(main_py=FASTAPI, **texts).todo


def test_a_file_with_the_variables_of_production_is_named_instead_of_secrets() -> None:
    texts = {"main.py": 'import os\nos.environ["TOKEN"]\n', "requirements.txt": ""}
    found = decide(detect(ProjectFiles("any", texts, private=("prod.env",))), Answers())
    assert found.secrets == ()
    assert found.env_file == Guess("env_file", "prod.env", why="its values are secret")
    assert not any("TOKEN" in text for text in found.todo)


@pytest.mark.parametrize(
    ("name", "app"),
    [
        ("Shop.Front_End", "shop-front-end"),
        ("3d-print", "d-print"),
        ("systemd", "systemd-app"),
        ("shipit-web", "shipit-web-app"),
        ("日本", "app"),
        ("a" * 60, "a" * 31),
        ("shipit-" + "a" * 60, "shipit-" + "a" * 20 + "-app"),
    ],
)
def test_the_app_is_called_like_the_project_as_far_as_it_can(name: str, app: str) -> None:
    found = app_name(name)
    assert found == app
    assert len(found) <= 31


def test_only_extras_and_groups_that_are_called_after_production_are_installed() -> None:
    text = "[project.optional-dependencies]\nprod = []\nother = []\n[dependency-groups]\ndev = []\n"
    found = setup(pyproject_toml=text)
    assert [guess.value for guess in (*found.extras, *found.groups)] == ["prod"]


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ('["www.example.com"]', "www.example.com"),
        ('[".example.com", "x.example.com"]', "x.example.com"),
        ('["www.example.com", "127.0.0.1"]', None),
        ('["*"]', None),
        ('os.environ["HOSTS"].split(",")', None),
        ("[]", None),
    ],
)
def test_a_check_of_django_asks_with_a_host_that_it_allows(value: str, host: str | None) -> None:
    found = setup(
        site__settings_py=f"ALLOWED_HOSTS = {value}\n",
        site__wsgi_py=FLASK,
        site__urls_py='urlpatterns = [path("healthz/", f)]\n',
        requirements_txt="",
    )
    assert (found.health_host.value if found.health_host else None) == host


def test_a_web_service_without_a_page_for_its_health_is_checked_by_its_port() -> None:
    found = setup(main_py=FLASK, requirements_txt="")
    assert found.health == Guess("health", "", None, found.health.why if found.health else "")


def test_no_text_of_a_project_becomes_a_template_of_the_playbook() -> None:
    pyproject = """
[project]
name = "{{ name }}"
[project.scripts]
"{{ script }}" = "x:y"
good = "x:y"
[dependency-groups]
"{{ group }}" = []
"""
    settings = "ALLOWED_HOSTS = ['{{ host }}']\nSTATIC_ROOT = '{{ root }}'\n"
    found = setup(pyproject_toml=pyproject, settings_py=settings, Procfile="w: x {{ y }}")
    assert services(found) == {"main": "command: good"}
    assert "{{" not in str([guess.value for guess in found.guesses])
