"""The load balancer of a playbook, as frozen models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shipit.playbook.balancer import names
from shipit.playbook.fields import (
    Duration,
    DurationOrZero,
    FieldType,
    Model,
    UserName,
    Words,
)

_TEXT = {"type": "string"}
HaproxyName = Annotated[str, FieldType(names.haproxy_name, _TEXT)]
HaproxySocket = Annotated[str, FieldType(names.haproxy_socket, _TEXT)]


class Haproxy(Model):
    """The host in haproxy."""

    sockets: Annotated[tuple[HaproxySocket, ...], Field(min_length=1)] = Field(
        description="The runtime API of each haproxy, as the host reaches it: host:port, or the"
        " path of a unix socket. It needs `level admin`.",
        examples=[["lb1.example.com:9999", "lb2.example.com:9999"]],
    )
    backend: HaproxyName = Field(
        description="The backend that the host is a server of.", examples=["web"]
    )
    server: HaproxyName = Field(
        description="The name of the host there, such as {{ inventory_hostname }}.",
        examples=["web1"],
    )


class BalancerCommand(Model):
    """A command that takes the host out of a load balancer, or puts it back."""

    command: Words = Field(
        description="The command, run on the host as hooks are: without a shell, as the app's user,"
        " in the environment of the release. It may be run several times.",
        examples=["demoapp-lb deregister"],
    )
    timeout: Duration = Field(
        default=60.0,
        description="How long it may take before it is killed and counts as failed.",
        examples=["30s"],
    )
    user: UserName = Field(
        default="",
        description="The user that it runs as; it must exist. Default: the app's user.",
        examples=["demoapp"],
    )


class LoadBalancer(Model):
    """What sends requests to the hosts: each host is taken out of it while it is switched."""

    haproxy: Haproxy | None = Field(
        default=None,
        description="A haproxy, or several with the same backend.",
        examples=[
            {
                "sockets": ["lb1.example.com:9999"],
                "backend": "web",
                "server": "web1",
            }
        ],
    )
    wait: DurationOrZero = Field(
        default=30.0,
        description="How long to wait for the connections that haproxy has to a drained host; then"
        " its switch goes on.",
        examples=["30s"],
    )
    drain: BalancerCommand | None = Field(
        default=None,
        description="Instead of `haproxy`: what takes a host out, and waits until that is done.",
        examples=[{"command": "demoapp-lb deregister", "timeout": "60s"}],
    )
    undrain: BalancerCommand | None = Field(
        default=None,
        description="What puts it back, and waits until that is done.",
        examples=[{"command": "demoapp-lb register", "timeout": "60s"}],
    )
