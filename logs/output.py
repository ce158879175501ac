"""The output of steps, put together from its pieces."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from uuid import UUID

from logs.models import Output

Key = tuple[UUID, int]


def texts(runs: Iterable[UUID], most: int | None = None, *, until: int | None = None) -> dict[Key, str]:
    """The output of every step of these runs, by (run, index). ``most``: characters of the end to keep for each.
    ``until``: a cursor (``logs.tail``), behind which nothing is read."""
    joined: dict[Key, list[str]] = defaultdict(list)
    rows = Output.objects.filter(run__in=list(runs)).order_by("run", "index", "number")
    if until is not None:
        rows = rows.filter(pk__lte=until)
    pieces: dict[Key, list[tuple[int, bytes]]] = defaultdict(list)
    for run, index, offset, data in rows.values_list("run", "index", "offset", "data").iterator():
        pieces[run, index].append((offset, bytes(data)))
    for key, found in pieces.items():
        joined[key] = list(_decoded(found))
    return {key: _end("".join(parts), most) for key, parts in joined.items()}


def drop(run: UUID, index: int, begin: int, end: int) -> None:
    """Takes the bytes from ``begin`` up to the one before ``end`` out of a step's output."""
    pieces = Output.objects.filter(run=run, index=index, offset__lt=end)
    inside = []
    for piece in pieces.order_by("number"):
        data = bytes(piece.data)
        before = data[: max(begin - piece.offset, 0)]
        after = data[end - piece.offset :]
        if len(before) == len(data):
            continue
        if before:
            # Workers end a piece where a cut may begin. One with bytes on both sides would need two offsets.
            Output.objects.filter(pk=piece.pk).update(data=before)
        elif after:
            Output.objects.filter(pk=piece.pk).update(data=after, offset=end)
        else:
            inside.append(piece.pk)
    Output.objects.filter(pk__in=inside).delete()


def _decoded(pieces: Iterable[tuple[int, bytes]]) -> Iterator[str]:
    """Bytes that are no UTF-8 are shown by replacement; a cut is named."""
    position, gathered = 0, b""
    for offset, data in pieces:
        if offset > position:
            yield gathered.decode(errors="replace")
            yield f"\n[... {offset - position} bytes dropped ...]\n"
            gathered = b""
        gathered += data
        position = offset + len(data)
    yield gathered.decode(errors="replace")


def _end(text: str, most: int | None) -> str:
    if most is None or len(text) <= most:
        return text
    return f"[... {len(text) - most} characters before ...]\n{text[-most:]}"
