"""Django's settings of the wizard: the console's looks and languages, and no database, session or user."""

import secrets
from pathlib import Path

import unfold
from csp.constants import NONE, SELF

from ects_site import settings as console

BASE_DIR = console.BASE_DIR
# For forms only; who may come in is decided by the gate. One process, so nobody else has to know it.
SECRET_KEY = secrets.token_hex(32)
DEBUG = False
# Through SSH or a proxy it is reached under any name. The cookie keeps strangers out.
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    # For the validators of names and passwords; their tables are not touched.
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "ects_site.wizard.gate.GateKeeper",
]
ROOT_URLCONF = "ects_site.wizard.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "context_processors": ["django.template.context_processors.request", "ects_site.wizard.views.surroundings"]
        },
    }
]
DATABASES: dict[str, dict[str, str]] = {}
DEFAULT_AUTO_FIELD = console.DEFAULT_AUTO_FIELD
AUTH_PASSWORD_VALIDATORS = console.AUTH_PASSWORD_VALIDATORS

LANGUAGE_CODE = console.LANGUAGE_CODE
LANGUAGES = console.LANGUAGES
LOCALE_PATHS = console.LOCALE_PATHS
FORMAT_MODULE_PATH = console.FORMAT_MODULE_PATH
TIME_ZONE = console.TIME_ZONE
USE_TZ = True

STATIC_URL = "static/"
# Of the theme its fonts.
STATICFILES_DIRS = [*console.STATICFILES_DIRS, str(Path(unfold.__file__).parent / "static")]
WHITENOISE_USE_FINDERS = True

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# The console on this port has its own, and cookies know no ports.
CSRF_COOKIE_NAME = "ects_setup_csrf"
CSRF_COOKIE_PATH = "/setup/"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_AGE = None
CSRF_FAILURE_VIEW = "ects_site.wizard.views.no_csrf"
X_FRAME_OPTIONS = "DENY"
LOGGING = console.LOGGING
