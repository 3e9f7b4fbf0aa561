"""What a manifest says of a release, also one that an earlier version wrote."""

from __future__ import annotations

from typing import Any

import pytest

from shipit.agent.protocol.codec import from_json, to_json
from shipit.agent.protocol.manifest import Check


@pytest.mark.parametrize(
    ("kind", "target", "fields"),
    [
        (
            "http",
            "http://localhost:8000/healthz?deep=1",
            {"host": "localhost", "port": 8000, "url": "http://localhost:8000/healthz?deep=1"},
        ),
        ("http", "http://[::1]/", {"host": "::1", "port": 80, "url": "http://[::1]/"}),
        ("http", "https://h/", {"host": "h", "port": 443, "url": "https://h/"}),
        ("tcp", "127.0.0.1:9000", {"host": "127.0.0.1", "port": 9000}),
        ("tcp", "[::1]:9000", {"host": "::1", "port": 9000}),
        ("unix", "/run/a.sock", {"socket": "/run/a.sock"}),
        (
            "unix",
            "/run/a.sock:/healthz",
            {"socket": "/run/a.sock", "url": "http://localhost/healthz"},
        ),
        ("command", "check --name 'a b'", {"command": ("check", "--name", "a b")}),
    ],
)
def test_a_check_has_its_parts_as_fields_also_one_of_an_earlier_version(
    kind: str, target: str, fields: dict[str, Any]
) -> None:
    check = Check.of(kind, target)
    assert check == Check(kind, target, **fields)
    assert from_json(Check, {"kind": kind, "target": target}) == check
    assert from_json(Check, to_json(check)) == check


def test_the_fields_of_a_check_count_and_not_its_target() -> None:
    written = {**to_json(Check.of("tcp", "127.0.0.1:9000")), "target": "the database"}
    read = from_json(Check, written)
    assert (read.host, read.port, read.target) == ("127.0.0.1", 9000, "the database")


@pytest.mark.parametrize("target", ["127.0.0.1:port", ""])
def test_a_check_of_an_earlier_version_that_makes_no_sense_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_json(Check, {"kind": "tcp", "target": target})
