"""One page that says which version answers, and asks the database for what this version needs."""

from importlib.metadata import version

from django.http import HttpRequest, JsonResponse
from django.urls import path

from mystore.shop.models import Item

VERSION = version("mystore")


def healthz(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({"version": VERSION, "items": list(Item.objects.values())})


urlpatterns = [path("healthz", healthz)]
