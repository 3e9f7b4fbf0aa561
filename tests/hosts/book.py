"""What clients of a service record, and the result; durations are in seconds."""

from __future__ import annotations

import json
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True)
class Failure:
    at: float  # seconds since the epoch
    kind: str
    client: str
    waited: float  # seconds since the request was due


@dataclass(frozen=True)
class Close:
    """The end of a websocket that the server ended."""

    at: float
    code: int
    version: str


@dataclass(frozen=True)
class Result:
    """The result of a run under load; durations are in seconds."""

    seconds: float
    requests: int
    versions: dict[str, int]  # answers of each
    failures: list[Failure]
    retried: int
    reconnected: int
    latency: dict[str, float]
    longest_pause: float  # without one answer to anybody's short request
    own_delay: float  # how late the load itself was at most, as it is a part of each latency
    closes: list[Close]

    @classmethod
    def read(cls, text: str) -> Self:
        raw = json.loads(text)
        raw["failures"] = [Failure(**each) for each in raw["failures"]]
        raw["closes"] = [Close(**each) for each in raw["closes"]]
        return cls(**raw)


def percentiles(latencies: array[float]) -> dict[str, float]:
    """Return the latency that so many of a hundred stay under, and the worst."""
    ranked = sorted(latencies) or [0.0]
    last = len(ranked) - 1
    shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {name: ranked[round(share * last)] for name, share in shares.items()}


@dataclass
class Book:
    """What has been recorded so far."""

    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    requests: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    retried: int = 0
    reconnected: int = 0
    latencies: array[float] = field(default_factory=lambda: array("d"))
    longest_pause: float = 0.0
    own_delay: float = 0.0
    closes: list[Close] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._last_answer = self.began

    def answered(self, due: float) -> None:
        now = time.monotonic()
        self.latencies.append(now - due)
        self._pause_until(now)
        self._last_answer = now

    def failed(self, kind: str, client: str, due: float) -> None:
        self.failures.append(Failure(time.time(), kind, client, time.monotonic() - due))

    def version_in(self, body: bytes) -> str:
        """Count an answer for the version that it names; returns that, or "" if it names none."""
        try:
            version = str(json.loads(body)["version"])
        except (ValueError, KeyError, TypeError):
            return ""
        self.versions[version] += 1
        return version

    def tally(self) -> dict[str, int]:
        failures = len(self.failures)
        return {"requests": self.requests, "failures": failures, "retried": self.retried}

    def end(self) -> None:
        """Ask nothing more; a pause that has not ended counts as well."""
        self.seconds = time.monotonic() - self.began
        self._pause_until(time.monotonic())

    def _pause_until(self, now: float) -> None:
        self.longest_pause = max(self.longest_pause, now - self._last_answer)

    def result(self) -> Result:
        return Result(
            seconds=self.seconds,
            requests=self.requests,
            versions=dict(self.versions),
            failures=self.failures,
            retried=self.retried,
            reconnected=self.reconnected,
            latency=percentiles(self.latencies),
            longest_pause=self.longest_pause,
            own_delay=self.own_delay,
            closes=self.closes,
        )
