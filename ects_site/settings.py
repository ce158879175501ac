"""Django settings. Everything an operator sets comes from the environment (``ects_site.environment``)."""

from datetime import timedelta
from pathlib import Path

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from coordination import logformat
from coordination.atrest import AtRest
from coordination.gateway import EtcdSettings
from ects_site import VERSION
from ects_site.environment import (
    LANGUAGE_CODES,
    database,
    email_tls,
    encryption_keys,
    env,
    etcd_endpoints,
    language,
    limit,
    load_settings_file,
    log_format,
    log_level,
    mysql_options,
    port,
    secret,
    secret_from,
)
from ects_site.locations import BASE_DIR, data_dir

FROM_SETTINGS_FILE = load_settings_file()
"""Names of the variables that ``init`` has set."""

DATA_DIR = data_dir()
ECTS_PORT = port()
ECTS_SERVER_URL = env.str("ECTS_SERVER_URL", default=f"http://127.0.0.1:{ECTS_PORT}").rstrip("/")

SECRET_KEY, *SECRET_KEY_FALLBACKS = secret("SECRET_KEY").splitlines()
ECTS_AT_REST = AtRest(encryption_keys)
"""Under which the console keeps secrets in the database."""
DEBUG = env.bool("ECTS_DEBUG", default=False)
ALLOWED_HOSTS = env.list("ECTS_ALLOWED_HOSTS", default=["*"])

ECTS_ETCD_PREFIX = env.str("ECTS_ETCD_PREFIX", default="/ects").rstrip("/")
ECTS_ETCD = EtcdSettings(
    endpoints=tuple(etcd_endpoints()),
    user=env.str("ECTS_ETCD_USER", default=""),
    password=secret_from("ECTS_ETCD_PASSWORD"),
    ca=env.str("ECTS_ETCD_CA", default=""),
    certificate=env.str("ECTS_ETCD_CERT", default=""),
    key=env.str("ECTS_ETCD_KEY", default=""),
)
ECTS_ETCD_WORKER_USER = env.str("ECTS_ETCD_WORKER_USER", default="")
"""The etcd user that all workers share, where the console may not make one for each. Empty: each has its own."""
ECTS_ETCD_WORKER_PASSWORD = secret_from("ECTS_ETCD_WORKER_PASSWORD")

ECTS_KEEP_DAYS = limit("ECTS_KEEP_DAYS", 90)
"""Days for which ended runs are kept. Of this and the next two, 0: without a limit; a pipeline can have its own."""
ECTS_KEEP_RUNS = int(limit("ECTS_KEEP_RUNS", 0))
"""How many of its newest runs each pipeline keeps."""
ECTS_KEEP_OUTPUT_BYTES = int(limit("ECTS_KEEP_OUTPUT_BYTES", 0))
"""How many bytes of its newest output each pipeline keeps."""
ECTS_KEEP_AUDIT_DAYS = limit("ECTS_KEEP_AUDIT_DAYS", 730)
"""Days for which the audit's entries are kept; 0: without a limit."""

ECTS_NODE_GONE_SECONDS = limit("ECTS_NODE_GONE_SECONDS", 300)
"""Seconds without a word of a node after which its runs count as lost and its fires as missed."""

ECTS_METRICS_TOKEN = secret_from("ECTS_METRICS_TOKEN")
"""Opens ``/metrics`` to other hosts, of every process."""
ECTS_MASTER_METRICS = env.str("ECTS_MASTER_METRICS", default="")
"""``HOST:PORT`` on which a master answers ``/healthz``, ``/readyz`` and ``/metrics``; empty: nowhere."""

ECTS_EMAIL = {
    "host": env.str("ECTS_EMAIL_HOST", default=""),
    "port": port("ECTS_EMAIL_PORT", 25),
    "user": env.str("ECTS_EMAIL_USER", default=""),
    "password": secret_from("ECTS_EMAIL_PASSWORD"),
    "tls": email_tls(),
    "sender": env.str("ECTS_EMAIL_FROM", default=""),
}

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.simple_history",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "axes",
    "csp",
    "simple_history",
    "django_filters",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "ects_site",
    "tasks",
    "logs",
    "workers",
    "workers.host",
    "pipelines",
    "audit",
]

MIDDLEWARE = [
    "ects_site.request_metrics.RequestMetrics",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "ects_site.viewer_zone.ViewerZone",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "pipelines.notices.PublicationNotices",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "audit.acting.Acting",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "ects_site.urls"
WSGI_APPLICATION = "ects_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": database()}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"]["CONN_MAX_AGE"] = 60
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Without IMMEDIATE, concurrent writers fail by the thousand when a read lock has to become a write lock.
    # Tests too work on a file: SQLite's shared memory locks whole tables, and fails where a file waits.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
    options: dict[str, object] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    options = {
        "charset": "utf8mb4",
        "isolation_level": "read committed",
        "init_command": "SET sql_mode='STRICT_TRANS_TABLES', innodb_lock_wait_timeout=20",
        "connect_timeout": 5,
        "read_timeout": 60,
        "write_timeout": 60,
    }
# What the URL says after its question mark (unix_socket, charset, ssl) wins.
DATABASES["default"]["OPTIONS"] = options | mysql_options(DATABASES["default"].get("OPTIONS", {}))
# The theme keeps what its palette found in the default one for five minutes: what was made or deleted meanwhile would
# be found as it was. What is ours to keep is in the other.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    "process": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "ects_site.passwords.MinimumLength"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25
AXES_RESET_ON_SUCCESS = True
AXES_ENABLE_ADMIN = False
AXES_LOCKOUT_CALLABLE = "ects_site.api.locked_out"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")
LOGOUT_REDIRECT_URL = LOGIN_URL

LANGUAGE_CODE = language()
LANGUAGES = list(zip(LANGUAGE_CODES, (_("English"), "简体中文"), strict=True))
LOCALE_PATHS = [BASE_DIR / "locale" / "project", BASE_DIR / "locale" / "theme"]
TIME_ZONE = env.str("ECTS_TIME_ZONE", default="UTC")
USE_TZ = True
FORMAT_MODULE_PATH = ["ects_site.formats"]

STATIC_URL = "static/"
STATICFILES_DIRS = [path for path in [BASE_DIR / "static"] if Path(path).exists()]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Served straight from the apps: no collectstatic step between clone and running.
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PARSER_CLASSES": [
        "ects_site.parsers.Json",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.DjangoModelPermissions"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "ects_site.pagination.BoundedPagination",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "ects_site.api.exception_handler",
}
TOKEN_SECONDS = limit("ECTS_TOKEN_SECONDS", 0)
REST_KNOX = {
    "AUTH_HEADER_PREFIX": "Bearer",
    # Scripts keep theirs for ever, unless the installation says otherwise.
    "TOKEN_TTL": timedelta(seconds=TOKEN_SECONDS) if TOKEN_SECONDS else None,
    "AUTO_REFRESH": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "ECTS",
    "DESCRIPTION": "The Elastic Crontab System's API",
    "VERSION": VERSION,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "ects_site.openapi.describe.describe",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# Unfold's Alpine.js evaluates its attributes, which needs 'unsafe-eval'; inline scripts stay forbidden.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, UNSAFE_EVAL],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

HTTPS = env.bool("ECTS_HTTPS", default=ECTS_SERVER_URL.startswith("https://"))
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS and env.bool("ECTS_HTTPS_REDIRECT", default=True)
# Probes and the worker of the same machine come over plain HTTP on the loopback. Workers refuse it beyond.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$", r"^api/v1/(ingest|enrol)/$"]
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
CSRF_TRUSTED_ORIGINS = env.list("ECTS_CSRF_TRUSTED_ORIGINS", default=[ECTS_SERVER_URL])
X_FRAME_OPTIONS = "DENY"
# The form of a pipeline with 200 steps, or of a calendar with 200 entries, has more than Django's 1,000.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5_000

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"chosen": {"()": logformat.formatter, "name": log_format()}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "chosen"}},
    "root": {"handlers": ["console"], "level": log_level()},
    "loggers": {
        "axes": {"level": "WARNING"},
        "django.server": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "httpx": {"level": "WARNING"},
    },
}

PRIMARY = {
    "50": "oklch(97% .014 254.604)",
    "100": "oklch(93.2% .032 255.585)",
    "200": "oklch(88.2% .059 254.128)",
    "300": "oklch(80.9% .105 251.813)",
    "400": "oklch(70.7% .165 254.624)",
    "500": "oklch(62.3% .214 259.815)",
    "600": "oklch(54.6% .245 262.881)",
    "700": "oklch(48.8% .243 264.376)",
    "800": "oklch(42.4% .199 265.638)",
    "900": "oklch(37.9% .146 265.522)",
    "950": "oklch(28.2% .091 267.935)",
}
"""The theme's blue, for what can be pressed and for where one is."""

UNFOLD = {
    "SITE_TITLE": "ECTS",
    "SITE_HEADER": "ECTS",
    "SITE_SUBHEADER": _("Elastic Crontab System"),
    "SITE_SYMBOL": "schedule",
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": True,
    "COMMAND": {"search_callback": "ects_site.palette.found", "show_history": True},
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "ects_site.navigation.shown",
    },
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "sizes": "any",
            "type": "image/svg+xml",
            "href": lambda request: static("ects/favicon.svg"),
        }
    ],
    "COLORS": {"primary": PRIMARY},
    "STYLES": [lambda request, name=name: static(f"ects/{name}.css") for name in ("frame", "ects", "charts", "lists")],
    "SCRIPTS": [
        lambda request, name=name: static(f"ects/{name}.js")
        for name in ("zone", "labels", "keyboard", "palette", "session", "once")
    ],
    "DASHBOARD_CALLBACK": "ects_site.dashboard.page.context",
}
