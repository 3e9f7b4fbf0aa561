"""Three pages, each of which says which version answers; $MYAPP_FAULT breaks a release."""

import os
import sys
import time
from importlib.metadata import version

from django.http import HttpRequest, JsonResponse
from django.urls import path

FAULT = os.environ.get("MYAPP_FAULT", "")
VERSION = version("mysite")

if FAULT == "start":
    sys.exit("mysite: broken at start, as asked")


def index(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({"version": VERSION})


def slow(request: HttpRequest) -> JsonResponse:
    time.sleep(float(request.GET["seconds"]))
    return index(request)


def healthz(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({"version": VERSION}, status=500 if FAULT == "healthz" else 200)


urlpatterns = [path("", index), path("slow", slow), path("healthz", healthz)]
