"""The canary of a playbook and its checks, as frozen models."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pydantic import Field

from shipit.playbook.fields import (
    CanaryHosts,
    Duration,
    DurationOrZero,
    Flag,
    Line,
    Model,
    Number,
    OnTimeout,
    PrometheusUrl,
    Reference,
    Text,
    Times,
    Words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN = 60  # characters of a query that stands for a name


def as_canary(value: object) -> object:
    """Expand a number, a percentage or names, which are short for a mapping with `hosts` only."""
    is_short = isinstance(value, (int, str, list, tuple)) and not isinstance(value, bool)
    return {"hosts": value} if is_short else value


def _name(check: Mapping[str, object]) -> str:
    """Return the default name of a check: its program, or its query."""
    if command := str(check.get("command") or ""):
        return shlex.split(command)[0].rpartition("/")[2]
    return " ".join(str(check.get("query") or "").split())[:SHOWN]


class CanaryCheck(Model):
    """What is asked on the controller while a canary is held: a command, or a query."""

    command: Words = Field(
        default="",
        description="A command, run on the controller without a shell, in the playbook's folder,"
        " with the variables SHIPIT_CANARY and SHIPIT_OTHERS besides those of hooks. Its exit"
        " status is that of a plugin of Nagios: 0 passes, 1 and 2 fail, 3 does not know; all others"
        " are errors.",
        examples=["./errors-are-low.sh"],
    )
    prometheus: PrometheusUrl = Field(
        default="",
        description="The URL of a Prometheus, or of a server with its HTTP API, that is asked from"
        " the controller.",
        examples=["http://prom.example.com:9090"],
    )
    query: Text = Field(
        default="",
        description="The query, with one result. `$hosts` stands for the names of the canaries, as"
        " a regular expression: web1|web2.",
        examples=['sum(rate(http_errors_total{instance=~"($hosts):.*"}[1m]))'],
    )
    max: Number | None = Field(
        default=None, description="The largest result that passes.", examples=[0.01]
    )
    min: Number | None = Field(
        default=None, description="The smallest result that passes.", examples=[0.99]
    )
    at_most_times: Times | None = Field(
        default=None,
        description="How many times the result of the hosts with the old release passes: the query"
        " is asked for these as well. A result up to `max` passes in any case.",
        examples=[1.5],
    )
    token: Reference = Field(
        default="",
        description="The bearer token for the server: env:NAME, file:PATH or command:ARGV.",
        examples=["env:PROMETHEUS_TOKEN"],
    )
    interval: Duration = Field(
        default=30.0, description="The time from one question to the next one.", examples=["30s"]
    )
    timeout: Duration = Field(
        default=10.0, description="How long one question may take.", examples=["10s"]
    )
    name: Line = Field(
        default_factory=_name,
        description="Its name in plans and output. Default: its program, or its query.",
        examples=["errors"],
    )


class Canary(Model):
    """The hosts that get the release first; the others follow if nothing speaks against it."""

    hosts: CanaryHosts = Field(
        default=1,
        description="Which hosts: a number or a percentage of those that change, or names of hosts"
        " and groups.",
        examples=[1, "5%", ["web1", "staging"]],
    )
    hold: DurationOrZero = Field(
        default=600.0,
        description="How long the canary is observed at least.",
        examples=["10m"],
    )
    checks: tuple[CanaryCheck, ...] = Field(
        default=(),
        description="What is asked while it is held. One that fails rolls back; the others must"
        " have passed before the run goes on (docs/rollout.md).",
        examples=[[{"command": "./errors-are-low.sh", "interval": "30s"}]],
    )
    prompt: Flag = Field(
        default=False,
        description="Whether an operator decides after `hold`: on the terminal, or with `shipit"
        " promote` or `shipit abort`.",
        examples=[True],
    )
    timeout: DurationOrZero = Field(
        default=3600.0,
        description="How long after `hold` it stays held while checks have not passed, or for an"
        " operator.",
        examples=["1h"],
    )
    on_timeout: OnTimeout = Field(
        default="stop",
        description="What happens then: `stop` commits the canary, and no other host follows;"
        " `rollback`; or `promote`.",
        examples=["rollback"],
    )
