from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def ready(request: Request) -> JSONResponse:
    return JSONResponse({"ready": True})


application = Starlette(routes=[Route("/readyz", ready)])
