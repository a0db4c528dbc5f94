"""A site by Django: sessions' cookies and forms with CSRF tokens, GZip and conditional GETs."""
import sys

from django.conf import settings
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.urls import path

settings.configure(
    SECRET_KEY="not secret", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, DEBUG=False,
    MIDDLEWARE=[
        "django.middleware.gzip.GZipMiddleware", "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
    ])

saved = ["nothing"]


def form(request):
    if request.method == "POST":
        saved[0] = request.POST["text"]
        return HttpResponse(f"saved {saved[0]}")
    return HttpResponse(f'<form method="post"><input name="csrfmiddlewaretoken" value="{get_token(request)}">{saved[0]}</form>')


def page(request):
    return HttpResponse("A page that is worth compressing. " * 200, content_type="text/plain")


urlpatterns = [path("", form), path("page", page)]

if __name__ == "__main__":
    from django.core.wsgi import get_wsgi_application
    from waitress import serve

    serve(get_wsgi_application(), host="127.0.0.1", port=int(sys.argv[1]), ident="django")
