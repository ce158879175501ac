"""``POST /api/v1/ingest/``: the door by which every result comes in."""

import time
import zlib
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from msgspec import DecodeError
from rest_framework.exceptions import ParseError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from coordination import records
from coordination.records import IngestReply
from logs.harvest import Malformed
from logs.intake import take
from logs.signals import batch_answered

MOST_BYTES = 16 << 20
"""A batch larger than this, unpacked, is refused."""


class IngestView(APIView):
    """Takes a batch of records (``coordination.records.IngestBatch``), plain or gzip. The caller is the node."""

    permission_classes = [IsAuthenticated]
    schema = None

    def post(self, request: Request) -> HttpResponse:
        """200 with an ``IngestReply``; 400 for what is not a batch at all."""
        now, began = timezone.now(), time.perf_counter()
        try:
            batch = records.decode_batch(_body(request._request))
            caller: Any = request.user  # a node: logs know them by id and name only
            reply = take(batch, caller.pk, caller.name, now)
        except DecodeError as error:
            raise ParseError(f"not a batch: {error}") from None
        except Malformed as error:
            reply = IngestReply(sequence=0, server_time=now, refused=batch.first, reason=error.reason)
        if batch.records:
            seconds = time.perf_counter() - began
            batch_answered.send(sender=type(self), refused=reply.refused is not None, seconds=seconds)
        return HttpResponse(records.encode(reply), content_type="application/json")


def _body(request: HttpRequest) -> bytes:
    """The request's body, unpacked, within bounds. Raises ParseError."""
    data = request.read(MOST_BYTES + 1)
    if request.headers.get("Content-Encoding") == "gzip":
        unpacker = zlib.decompressobj(wbits=31)
        try:
            data = unpacker.decompress(data, MOST_BYTES + 1)
        except zlib.error:
            raise ParseError("the body is not gzip") from None
    if len(data) > MOST_BYTES:
        raise ParseError(f"the batch is larger than {MOST_BYTES} bytes")
    return data
