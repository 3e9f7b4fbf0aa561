"""The tables: every line that they can make is one that a playbook takes."""

from __future__ import annotations

import pytest

from shipit.init.frameworks import FRAMEWORKS, PROGRAMS, QUEUES, SERVERS, USUAL
from shipit.playbook import parsers
from shipit.servers.serving import SERVED, expand

LINES = [
    f"{name} {arguments.format(target=target)}"
    for name, server in SERVERS.items()
    for arguments in server.arguments.values()
    for target in ("shop.wsgi:app", server.factory.format(target="shop:create_app"))
]


@pytest.mark.parametrize("line", LINES)
def test_a_playbook_takes_every_line_of_a_server(line: str) -> None:
    assert parsers.serve(line) == line
    assert expand(line, has_socket=True, side_by_side=True).command


def test_every_interface_of_a_framework_has_a_usual_server_that_speaks_it() -> None:
    for framework in FRAMEWORKS:
        assert framework.interface in SERVERS[USUAL[framework.interface]].arguments


def test_servers_and_queues_are_those_of_serve() -> None:
    assert {*SERVERS, *PROGRAMS.values(), *QUEUES.values()} <= {*SERVED}
