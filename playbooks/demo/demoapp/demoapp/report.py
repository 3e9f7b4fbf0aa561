"""The nightly job: records the number of visits and whether the service answers."""

import asyncio
from datetime import UTC, datetime

import httpx
import orjson
import structlog

from demoapp import __version__
from demoapp.database import Visits
from demoapp.settings import Settings


async def health(url: str) -> str:
    async with httpx.AsyncClient(timeout=5) as client:
        try:
            answer = await client.get(f"{url}/healthz")
        except httpx.HTTPError as error:
            return f"no answer: {error}"
        return str(answer.json()["status"]) if answer.is_success else str(answer.status_code)


async def report(settings: Settings) -> dict[str, object]:
    visits = await Visits.open(settings.database)
    try:
        count = await visits.count()
    finally:
        await visits.close()
    service = await health(settings.demo_url)
    return {"version": __version__, "at": datetime.now(UTC), "visits": count, "service": service}


def main() -> None:
    settings = Settings()
    found = asyncio.run(report(settings))
    (settings.state_directory / "report.json").write_bytes(orjson.dumps(found))
    structlog.get_logger().info("report", **found)
