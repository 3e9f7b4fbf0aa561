"""The health settings of a playbook, before the commit and after it, as frozen models."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from shipit.agent.protocol.manifest import KINDS, REPORT
from shipit.playbook.fields import (
    Duration,
    DurationOrZero,
    Header,
    HeaderValue,
    HostName,
    HttpStatus,
    JsonFields,
    Model,
    Name,
    OnFailure,
    Pause,
    TcpAddress,
    Text,
    UnixAddress,
    Url,
    Words,
)


def as_health(value: object) -> object:
    """Expand a list of checks, which is short for a mapping with `checks` only."""
    return {"checks": value} if isinstance(value, (list, tuple)) else value


class Check(Model):
    """One health check, run on the host. Exactly one of http, tcp, unix, command, unit."""

    http: Url = Field(
        default="",
        description="A URL that must answer; redirects are not followed.",
        examples=["http://127.0.0.1:8000/healthz"],
    )
    tcp: TcpAddress = Field(
        default="",
        description="A host:port, or a port of the host itself, that must accept a connection.",
        examples=["127.0.0.1:8000", 8000],
    )
    unix: UnixAddress = Field(
        default="",
        description="A unix socket that must accept a connection; with `:/page` after its path,"
        " that page must answer, as with http.",
        examples=["/run/demoapp.sock", "/run/demoapp.sock:/healthz"],
    )
    command: Words = Field(
        default="",
        description="A command that must succeed; run as the app's user in the release, without a"
        " shell, its first word looked up in venv/bin.",
        examples=["demoapp check --deep"],
    )
    unit: Name = Field(
        default="",
        description="A service of this playbook that must run steadily. All long-running services"
        " are watched anyway: this only makes it explicit.",
        examples=["worker"],
    )
    status: HttpStatus = Field(
        default=200, description="http: the expected status of the answer.", examples=[204]
    )
    json_fields: JsonFields | None = Field(
        default=None,
        alias="json",
        description="http: JSON fields that the answer must have, with these values; it may have"
        " others as well.",
        examples=[{"version": "{{ release.version }}"}],
    )
    body: Text = Field(
        default="", description="http: a text that must be in the answer.", examples=["ready"]
    )
    host: HostName = Field(
        default="",
        description="http: the host name of the request, for its Host header and for TLS; the"
        " connection still goes to the URL's host.",
        examples=["www.example.com"],
    )
    headers: Mapping[Header, HeaderValue] = Field(
        default={},
        description="http: headers of the request, such as those that a proxy in front adds. No"
        " credentials: they would be readable in the release's manifest.",
        examples=[{"X-Forwarded-Proto": "https"}],
    )
    timeout: Duration = Field(
        default=5.0, description="How long one attempt may take.", examples=["2s"]
    )

    @property
    def sent(self) -> dict[str, str]:
        """The headers of a request besides the client's own."""
        return {**self.headers, **({"Host": self.host} if self.host else {})}

    @property
    def kind(self) -> str:
        return next((kind for kind in KINDS if getattr(self, kind)), "unit")


class Health(Model):
    """When a release counts as healthy."""

    checks: tuple[Check, ...] = Field(
        default=(),
        description="What must answer. Without any, the long-running services must run steadily.",
        examples=[[{"http": "http://127.0.0.1:8000/healthz"}]],
    )
    interval: Duration = Field(
        default=0.25,
        description="The pause between two attempts; shorter at first, so that a fast start is a"
        " fast deploy.",
        examples=["250ms"],
    )
    deadline: Duration = Field(
        default=60.0, description="When to give up and roll back.", examples=["60s"]
    )
    min_healthy: DurationOrZero = Field(
        default=1.0,
        description="How long all checks must succeed without interruption.",
        examples=["5s"],
    )
    bake: DurationOrZero = Field(
        default=0.0,
        description="How long a healthy release is observed under live traffic before it is"
        " committed: one that restarts, needs twice the memory of the previous release (and 64 MiB"
        " more) or logs three times its errors (and 5 more) is rolled back. A rollback does not"
        " bake.",
        examples=["2m"],
    )


def as_watch(value: object) -> object:
    """Expand a duration, which is short for a mapping with `for` only."""
    return value if value is None or isinstance(value, Mapping) else {"for": value}


class Watch(Model):
    """How each host goes on checking a release that it has committed, without a controller."""

    duration: DurationOrZero = Field(
        alias="for",
        description="How long after the commit. With `0s` it is checked at boots alone.",
        examples=["10m"],
    )
    every: Pause = Field(
        default=30.0,
        description="The pause between two looks, at least a second. Three bad ones of the last ten"
        " are a failure.",
        examples=["30s"],
    )
    on_failure: OnFailure = Field(
        default=REPORT,
        description="What follows a failure in that time: `report` it in `shipit status`, or"
        " `rollback`, once, to the release before.",
        examples=["rollback"],
    )
    at_boot: OnFailure = Field(
        default=REPORT,
        description="The same where it does not come up after a boot of the host.",
        examples=["report"],
    )
