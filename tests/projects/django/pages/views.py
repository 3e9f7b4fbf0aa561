from django.http import HttpRequest, HttpResponse


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")
