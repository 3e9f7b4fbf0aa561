"""The guide to a private index, played against one that asks for a login."""

from __future__ import annotations

import base64
import hashlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

import guides
import http_server
from wheelhouse import Recipe, write_wheel

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "s3cret-word"
LOGIN = "Basic " + base64.b64encode(f"deploy:{PASSWORD}".encode()).decode()
PYPROJECT = """\
[project]
name = "orders"
version = "1.4.0"
requires-python = ">=3.11"
dependencies = ["company-auth"]

[[tool.uv.index]]
name = "company"
url = "{index}"

[tool.uv.sources]
company-auth = {{ index = "company" }}
"""
LOCK = """\
version = 1
requires-python = ">=3.11"

[[package]]
name = "company-auth"
version = "1.0"
source = {{ registry = "{index}" }}
wheels = [{{ url = "{file}", hash = "sha256:{sha256}" }}]

[[package]]
name = "orders"
version = "1.4.0"
source = {{ virtual = "." }}
dependencies = [{{ name = "company-auth" }}]
"""
PLAYBOOK = """\
app: orders
hosts: web
project: .
installer: pip
services: {web: {command: python -m orders}}
"""


@contextmanager
def index(wheel: Path) -> Iterator[str]:
    """Serve one wheel to those who log in; give the URL of the index."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_in = self.headers.get("Authorization") == LOGIN
            is_file = self.path.endswith(".whl")
            link = f'<a href="/files/{wheel.name}">{wheel.name}</a>'.encode()
            body = (wheel.read_bytes() if is_file else link) if is_in else b""
            asks = 'Basic realm="company"'
            status = 200 if is_in else 401
            http_server.answer(self, status, body, Content_Type="text/html", WWW_Authenticate=asks)

        def log_message(self, *_: object) -> None:
            pass

    with http_server.serving(Handler) as origin:
        yield f"{origin}/simple"


def played(folder: Path, password: str) -> subprocess.CompletedProcess[str]:
    """Run the command of the guide in a folder."""
    environment = {"COMPANY_PASSWORD": password, "SHIPIT_CACHE_DIR": str(folder / "cache")}
    (script,) = guides.scripts("private-index")
    return guides.play(script, folder, environment)


@pytest.mark.index  # for pip's own wheel
def test_a_bundle_has_a_package_of_a_private_index_and_no_trace_of_the_login(
    tmp_path: Path,
) -> None:
    wheel = write_wheel(tmp_path / "wheels", Recipe("company-auth", "1.0"))
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    project = tmp_path / "project"
    (project / "orders").mkdir(parents=True)
    (project / "orders/__init__.py").touch()
    (project / "prod.yaml").write_text(PLAYBOOK)
    (project / "inventory.yaml").write_text("web: {hosts: {web1: {}}}\n")
    with index(wheel) as url:
        file = f"{url.removesuffix('simple')}files/{wheel.name}"
        (project / "pyproject.toml").write_text(PYPROJECT.format(index=url))
        (project / "uv.lock").write_text(LOCK.format(index=url, file=file, sha256=sha256))
        refused = played(project, "wrong-word")
        done = played(project, PASSWORD)
    assert refused.returncode == 2
    assert "company-auth" in refused.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    (bundle,) = (project / "dist").glob("*.shipit")
    assert wheel.name.encode() in bundle.read_bytes()
    written = [path for path in project.rglob("*") if path.is_file()]
    for word in (PASSWORD, "wrong-word"):
        assert word not in refused.stdout + refused.stderr + done.stdout + done.stderr
        assert [path for path in written if word.encode() in path.read_bytes()] == []
