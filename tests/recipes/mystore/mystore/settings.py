"""As `django-admin startproject` writes them, without what this project does not use."""

import os
from urllib.parse import urlsplit

DATABASE = urlsplit(os.environ["DATABASE_URL"])

SECRET_KEY = "only for a lab"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["mystore.shop"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "mystore.urls"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": DATABASE.path.lstrip("/"),
        "USER": DATABASE.username,
        "PASSWORD": DATABASE.password,
        "HOST": DATABASE.hostname,
        "PORT": DATABASE.port,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
