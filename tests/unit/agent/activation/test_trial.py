from __future__ import annotations

from ipaddress import ip_address

import pytest

from shipit.agent.activation.trial import TrialEndpoint, redirected
from shipit.agent.protocol.manifest import Check, Unit
from shipit.agent.system.sockets import WILDCARD, Endpoint

SERVICE = Unit("app-web@trial.service", "web", start=True, watched=True, stop_timeout=1)
EVERYWHERE = TrialEndpoint(SERVICE, Endpoint(WILDCARD, 8000), "127.0.0.1:41000")
LOOPBACK = TrialEndpoint(SERVICE, Endpoint(ip_address("127.0.0.1"), 8000), "127.0.0.1:41000")
PATH = TrialEndpoint(SERVICE, Endpoint(path="/run/app.sock"), "/run/app-web@trial.service.sock")


@pytest.mark.parametrize(
    ("kind", "target", "endpoint"),
    [
        ("http", "http://127.0.0.1:8000/healthz", EVERYWHERE),
        ("http", "http://localhost:8000/healthz?deep=1", LOOPBACK),
        ("http", "http://10.0.0.5:8000/", EVERYWHERE),
        ("http", "http://[::1]:8000/", EVERYWHERE),
        ("tcp", "127.0.0.1:8000", LOOPBACK),
        ("unix", "/run/app.sock", PATH),
        ("unix", "/run/app.sock:/healthz", PATH),
    ],
)
def test_a_check_of_the_service_goes_through_its_private_door(
    kind: str, target: str, endpoint: TrialEndpoint
) -> None:
    check = Check.of(kind, target, status=204)
    assert redirected(check, [endpoint]) == Check.of(kind, target, status=204, via=endpoint.private)


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("http", "http://127.0.0.1:9000/healthz"),  # another service, of the old release
        ("http", "http://10.0.0.5:8000/healthz"),  # not where this one listens
        ("http", "http://example.com:8000/"),
        ("http", "https://127.0.0.1:8000/"),
        ("unix", "/run/other.sock"),
        ("command", "demoapp check"),
    ],
)
def test_a_check_that_the_old_release_would_answer_is_left_for_later(
    kind: str, target: str
) -> None:
    assert redirected(Check.of(kind, target), [LOOPBACK, PATH]) is None
