"""A server of advisories with the query API of OSV, for `shipit audit`.

The shape of its answers is that of api.osv.dev/v1/query (https://ossf.github.io/osv-schema/).
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import http_server

if TYPE_CHECKING:
    from collections.abc import Iterator


def advisory(package: str, introduced: str, fixed: str, name: str) -> dict[str, Any]:
    """Return a record that has the keys of a real one."""
    return {
        "id": name,
        "schema_version": "1.7.3",
        "published": "2024-12-23T17:54:12Z",
        "modified": "2025-02-18T22:47:39Z",
        "aliases": [f"CVE-of-{name}"],
        "summary": f"{package} lets a template break out of its sandbox",
        "details": f"An oversight in how {package} looks up names.\n\nUpdate it.",
        "affected": [
            {
                "package": {
                    "name": package,
                    "ecosystem": "PyPI",
                    "purl": f"pkg:pypi/{package}",
                },
                "ranges": [
                    {
                        "type": "ECOSYSTEM",
                        "events": [{"introduced": introduced}, {"fixed": fixed}],
                    }
                ],
                "versions": [introduced],
            }
        ],
        "references": [{"type": "WEB", "url": f"https://advisories.example/{name}"}],
    }


@dataclass
class Service:
    """What a server answers, and what it was asked.

    Attributes:
        known: the advisories, by name and version of a package.
        status: the HTTP status of every answer.
        asked: the queries.
    """

    known: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    status: int = 200
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(service: Service) -> Iterator[Service]:
    """Run a server; its URL is in `service.url`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert query["package"]["ecosystem"] == "PyPI"
            one = (query["package"]["name"], query["version"])
            service.asked.append(one)
            found = service.known.get(one)
            body = json.dumps({"vulns": found} if found else {}).encode()
            http_server.answer(self, service.status, body, Content_Type="application/json")

        def log_message(self, *_: object) -> None:
            pass

    with http_server.serving(Handler) as origin:
        service.url = f"{origin}/v1/query"
        yield service
