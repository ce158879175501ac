"""The addresses of the definitions alone."""

from django.contrib import admin
from django.urls import include, path
from rest_framework.routers import DefaultRouter

import pipelines.api
import tasks.api

router = DefaultRouter()
for prefix, viewset, basename in [*tasks.api.routes, *pipelines.api.routes]:
    router.register(prefix, viewset, basename)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", include([*pipelines.api.paths, *router.urls])),
]
