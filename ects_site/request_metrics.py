"""Middleware that counts and times every request, and says when the database made one fail."""

import time
from collections.abc import Callable

from django.db import Error
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ects_site import web_metrics


class RequestMetrics:
    """The first of all, so that it sees what the others answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response = self._get_response(request)
        web_metrics.requested(request.path_info, response.status_code, time.perf_counter() - began)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Of a page; the API's errors end in ``ects_site.api.exception_handler``."""
        if isinstance(exception, Error):
            web_metrics.database_failed()
