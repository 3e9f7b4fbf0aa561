"""The web service: `uvicorn demoapp.main:app --fd 3`, or with --host and --port."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import structlog
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from demoapp import __version__
from demoapp.database import Visits
from demoapp.settings import Settings

log = structlog.get_logger()
templates = Jinja2Templates(directory=Path(__file__).parent / "templates")
DYING_STATUS = 3


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = Settings()
    log.info("starting", version=__version__, broken=settings.demo_broken or None)
    if settings.demo_broken == "start":
        raise RuntimeError("this release is built not to start")
    if settings.demo_broken == "late":
        asyncio.get_running_loop().call_later(2, os._exit, DYING_STATUS)
    app.state.settings = settings
    app.state.visits = await Visits.open(settings.database)
    yield
    await app.state.visits.close()
    log.info("stopped", version=__version__)


app = FastAPI(title="demoapp", version=__version__, lifespan=lifespan)


@app.get("/healthz")
async def healthz(request: Request, response: Response) -> dict[str, str]:
    if request.app.state.settings.demo_broken == "healthz":
        response.status_code = 500
        return {"status": "broken", "version": __version__}
    return {"status": "ok", "version": __version__}


@app.get("/slow")
async def slow(seconds: Annotated[float, Query(ge=0, le=60)] = 1.0) -> dict[str, float | str]:
    await asyncio.sleep(seconds)
    return {"slept": seconds, "version": __version__}


@app.get("/", response_class=HTMLResponse)
async def index(request: Request) -> HTMLResponse:
    state = request.app.state
    await state.visits.add(__version__)
    page = {
        "greeting": state.settings.greeting,
        "version": __version__,
        "visits": await state.visits.count(),
    }
    return templates.TemplateResponse(request, "index.html", page)
