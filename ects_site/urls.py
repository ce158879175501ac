"""All addresses of the console."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

import audit.api
import audit.views
import logs.api
import pipelines.api
import tasks.api
import workers.api
import workers.program
from ects_site.api import Root
from ects_site.dashboard.page import next_hour
from ects_site.health import healthz, readyz
from ects_site.metrics import metrics
from ects_site.tokens import TokenView
from logs.ingest import IngestView
from workers.authentication import NodeTokenAuthentication

router = DefaultRouter()
router.APIRootView = Root
for prefix, viewset, basename in [
    *tasks.api.routes,
    *pipelines.api.routes,
    *workers.api.routes,
    *logs.api.routes,
    *audit.api.routes,
]:
    router.register(prefix, viewset, basename)

api = [
    path("auth/token/", TokenView.as_view(), name="token"),
    path("ingest/", IngestView.as_view(authentication_classes=[NodeTokenAuthentication]), name="ingest"),
    path("enrol/", workers.api.EnrolView.as_view(), name="enrol"),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    # Split: its script is a file, so that inline scripts stay forbidden.
    path("docs/", SpectacularSwaggerSplitView.as_view(), name="docs"),
    *pipelines.api.paths,
    *router.urls,
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    # The set-up wizard's, whose browser is left waiting when the console takes its port over.
    re_path(r"^setup/", RedirectView.as_view(pattern_name="admin:index")),
    path("favicon.ico", RedirectView.as_view(url=static("ects/favicon.svg"))),
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    path("join/worker.tar.gz", workers.program.download, name="worker-program"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/next-hour/", admin.site.admin_view(next_hour), name="next-hour"),
    path("admin/<slug:app>/<slug:model>/<str:key>/history/", admin.site.admin_view(audit.views.of_object)),
    path("admin/<slug:app>/<slug:model>/<str:key>/versions/", admin.site.admin_view(audit.views.versions)),
    path("admin/", admin.site.urls),
    path("api/v1/", include(api)),
]

handler404 = "ects_site.api.not_found"
handler500 = "ects_site.api.server_error"
