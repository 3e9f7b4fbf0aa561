"""Pages by which apps say that they are healthy, of each framework."""

from __future__ import annotations

import pytest

from shipit.init.project_files import ProjectFiles
from shipit.init.python import modules
from shipit.init.python.routes import health_pages


def pages(**texts: str) -> list[str]:
    files = ProjectFiles("any", {f"{name}.py": text for name, text in texts.items()})
    parsed, _ = modules.parse(files, "", ("",))
    return [path for path, _ in health_pages(parsed)]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('@app.get("/healthz")\ndef f(): ...', "/healthz"),
        ('@app.route("/health/")\ndef f(): ...', "/health/"),
        ('@router.api_route("/api/v1/health-check")\ndef f(): ...', "/api/v1/health-check"),
        ('app.add_url_rule("/ping", view_func=f)', "/ping"),
        ('routes = [Route("/readyz", f)]', "/readyz"),
        ('urlpatterns = [path("healthz/", f)]', "/healthz/"),
        ('urlpatterns = [re_path(r"^status/$", f)]', "/status/"),
        ('@app.post("/health")\ndef f(): ...', None),
        ('@app.get("/wealth")\ndef f(): ...', None),
        ('@app.get("/health/{name}")\ndef f(name): ...', None),
        ('open("/health")', None),
        ("app.get(name)", None),
        ("app.get()", None),
    ],
)
def test_a_page_is_found_in_the_words_of_each_framework(text: str, path: str | None) -> None:
    assert pages(main=text) == ([path] if path else [])


def test_the_page_that_says_most_goes_first() -> None:
    text = '@app.get("/ping")\n@app.get("/api/healthz")\n@app.get("/healthz")\ndef f(): ...'
    assert pages(main=text) == ["/healthz", "/api/healthz", "/ping"]


ROUTER = 'router = APIRouter()\n@router.get("/health")\ndef f(): ...'


@pytest.mark.parametrize("prefix", ["/{tenant}", "/<name>", '/"', "/{{ x }}", "/a b"])
def test_a_page_below_a_prefix_with_parameters_cannot_be_asked_for(prefix: str) -> None:
    made = f"APIRouter(prefix={prefix!r})"
    assert pages(main=ROUTER.replace("APIRouter()", made)) == []


@pytest.mark.parametrize(
    ("texts", "path"),
    [
        ({"main": ROUTER.replace("APIRouter()", 'APIRouter(prefix="/api")')}, "/api/health"),
        ({"main": f'{ROUTER}\napp.include_router(router, prefix="/v1")'}, "/v1/health"),
        (
            {"main": 'import web\napp.include_router(web.router, prefix="/v1/")', "web": ROUTER},
            "/v1/health",
        ),
        (
            {
                "main": 'from web import b\napp.register_blueprint(b, url_prefix="/x")',
                "web": 'b = Blueprint("b", __name__)\n@b.route("/health")\ndef f(): ...',
            },
            "/x/health",
        ),
        (
            {
                "urls": 'urlpatterns = [path("api/", include("pages"))]',
                "pages": 'urlpatterns = [path("health/", f)]',
            },
            "/api/health/",
        ),
        (
            {
                "urls": 'urlpatterns = [path("", include("pages"))]',
                "pages": 'urlpatterns = [path("health/", f)]',
            },
            "/health/",
        ),
    ],
)
def test_a_prefix_of_a_router_is_part_of_the_page(texts: dict[str, str], path: str) -> None:
    assert pages(**texts) == [path]
