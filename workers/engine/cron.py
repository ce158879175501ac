"""The language of cron expressions: text in, compiled and shared masks out, or an error that says what to change.

Five fields (minute hour day-of-month month day-of-week), six (second first) or seven (second first, year last). The
base is crontab(5) of Debian's cron; ``L``, ``LW``, ``15W``, ``5L`` and ``5#2`` come from Quartz, ``H`` from Jenkins:

- a value, ``*``, a range ``a-b``, a step ``*/n``, ``a-b/n`` or ``a/n`` (from a to the end), a list of these;
- months and days of the week by name, three letters or full, in any case; Sunday is 0 and 7. A range goes upwards;
  only one that ends on Sunday may follow any day (``fri-sun``);
- ``?`` is ``*`` in the two day fields;
- ``L`` the last day of the month, ``L-3`` three days before it, ``LW`` its last weekday, ``15W`` the weekday nearest to
  the 15th within the month; ``5L`` the last Friday of the month, ``5#2`` its second Friday;
- ``H`` one value chosen by a stable hash of a key and the field (1 to 28 for the day of month), ``H(a-b)`` within a
  range, ``H/n`` and ``H(a-b)/n`` every n from a hashed offset. ``H/n`` counts as ``*/n`` where that matters below.

Both day fields restricted: a day matches if either does. A field that begins with ``*`` (or is ``?``) is not
restricted, even ``*/2``: then both must match. Likewise a schedule is *fixed-time*, in Debian's sense for daylight
saving, when neither hour nor minute (nor second, where there is one) begins with ``*``.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

from workers.engine.compiled import (
    FIRST_YEAR,
    LAST_DAY_BIT,
    LAST_DOW_BIT,
    LAST_WEEKDAY_BIT,
    LAST_YEAR,
    NEAREST_BIT,
    NEVER,
    NTH_BITS,
    CompiledCron,
    day_rule,
    time_rule,
)
from workers.engine.phrases import gettext_noop

MAX_LENGTH = 1_000
"""Characters a schedule may have."""

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


SHOWN = 80
"""Characters of a wrong text that its message quotes."""


class ScheduleError(ValueError):
    """A schedule that cannot be used. ``field`` names the part, ``found`` quotes it, ``allowed`` says what it may be.

    str() is one sentence or two: the part, what was found, what is allowed, what to do. What is said in words is a
    Phrase.
    """

    def __init__(self, field: str, found: str, allowed: str, advice: str = "") -> None:
        self.field = field
        self.found = found
        self.allowed = allowed
        self.advice = advice
        super().__init__(
            f"{field}: found {self.shown(found)}, allowed is {allowed}. {advice or f'Correct the {field}.'}"
        )

    @staticmethod
    def shown(found: str) -> str:
        """What was found, in quotation marks; the beginning of what is long."""
        return repr(found if len(found) <= SHOWN else f"{found[:SHOWN]}…")


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One field of an expression: its name in messages, its lowest and highest value, and names for values."""

    name: str
    low: int
    high: int
    names: dict[str, int] = field(default_factory=dict)

    def error(self, found: str, allowed: str = "", advice: str = "") -> ScheduleError:
        """The error for text found in this field."""
        return ScheduleError(self.name, found, allowed or self.allowed, advice)

    @property
    def allowed(self) -> str:
        """The values, in words."""
        forms = _FORMS[self.name]
        if not self.names:
            return gettext_noop("%(low)s to %(high)s; %(forms)s", low=self.low, high=self.high, forms=forms)
        example = next(iter(self.names))
        return gettext_noop(
            "%(low)s to %(high)s or names such as %(name)s; %(forms)s",
            low=self.low, high=self.high, name=example, forms=forms,
        )  # fmt: skip


def _names(first: int, words: str) -> dict[str, int]:
    full = {word: index for index, word in enumerate(words.split(), first)}
    return {word[:3]: index for word, index in full.items()} | full


_MONTHS = "january february march april may june july august september october november december"
_DAYS = "sunday monday tuesday wednesday thursday friday saturday"

SECOND = Field("second", 0, 59)
MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY_OF_MONTH = Field("day of month", 1, 31)
MONTH = Field("month", 1, 12, _names(1, _MONTHS))
DAY_OF_WEEK = Field("day of week", 0, 7, _names(0, _DAYS))
YEAR = Field("year", FIRST_YEAR, LAST_YEAR)

_LINEAR = gettext_noop("also *, a range a-b, a step */n or a-b/n, a list a,b")
_FORMS = dict.fromkeys(("second", "minute", "hour", "month", "year"), _LINEAR) | {
    "day of month": gettext_noop("also *, a range a-b, a step */n or a-b/n, a list a,b, L, L-3, LW, 15W"),
    "day of week": gettext_noop(
        "also *, a range a-b, a step */n or a-b/n, a list a,b, 5L (last Friday), 5#2 (second Friday)"
    ),
}

_HASH = re.compile(r"h(?:\((\d{1,4})-(\d{1,4})\))?", re.ASCII)
_LAST_DAY = re.compile(r"l(?:-(\d{1,2}))?", re.ASCII)
_NEAREST = re.compile(r"(\d{1,2})w", re.ASCII)
_OF_MONTH = re.compile(r"([a-z]+|\d)(?:#(\d)|l)", re.ASCII)
_YEAR_LIKE = re.compile(r"(?:^|[,-])\d{4}(?:$|[,/-])", re.ASCII)


def compile_cron(text: str, key: str = "") -> CompiledCron:
    """Compile an expression of 5, 6 or 7 fields, or ``@daily`` and its like. ``key`` feeds ``H``.

    Equal schedules share their rules. Raises ScheduleError for bad text and for days that no month has.
    """
    if len(text) > MAX_LENGTH:
        length = gettext_noop("%(count)s characters", count=len(text))
        allowed = gettext_noop("at most %(most)s", most=MAX_LENGTH)
        raise ScheduleError("schedule", length, allowed, gettext_noop("Shorten it."))
    lowered = text.strip().lower()
    try:
        return _compile_lowered(ALIASES.get(lowered, lowered), key)
    except ScheduleError as error:
        at = text.lower().find(error.found)
        found = text[at : at + len(error.found)] if at >= 0 else error.found  # quoted as it was written
        raise ScheduleError(error.field, found, error.allowed, error.advice) from None


def _compile_lowered(text: str, key: str) -> CompiledCron:
    fields = _split(text)
    fixed_time = not any(_is_star(part) for part in fields[:3])
    either = not (_is_star(fields[3]) or _is_star(fields[5]))
    if "h" in text:
        fields = [_hashed(field, part, key) for field, part in zip(_FIELDS, fields, strict=True)]
    return _compile(*fields, either, fixed_time)


def spelled_out(text: str, key: str) -> str:
    """The expression, of as many fields, with each ``H`` as the values that the key chooses. Raises ScheduleError."""
    fields = _split(text.strip().lower())
    fields = [_hashed(field, part, key) for field, part in zip(_FIELDS, fields, strict=True)]
    number = len(text.split())
    return " ".join(fields[1:6] if number == 5 else fields[:number])


_FIELDS = (SECOND, MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, YEAR)


def _split(text: str) -> list[str]:
    """All seven fields, the missing ones filled in."""
    parts = text.split()
    if len(parts) == 5:
        return ["0", *parts, "*"]
    if len(parts) == 6:
        if _YEAR_LIKE.search(parts[5]):
            advice = gettext_noop("A year needs seven fields: write the second first, '0 %(text)s'.", text=text)
            raise DAY_OF_WEEK.error(parts[5], advice=advice)
        return [*parts, "*"]
    if len(parts) == 7:
        return parts
    raise ScheduleError(
        "schedule",
        text if len(parts) == 1 else gettext_noop("%(count)s fields", count=len(parts)),
        gettext_noop("5 fields (minute first), 6 (second first), 7 (second first, year last) or a name such as @daily"),
        gettext_noop("Write for example %(example)s.", example="'30 2 * * mon-fri'"),
    )


@lru_cache(maxsize=1 << 12)
def _compile(
    second: str, minute: str, hour: str, month_day: str, month: str, week_day: str, year: str, either: bool, fixed: bool
) -> CompiledCron:
    days = day_rule(
        parse_field(DAY_OF_MONTH, month_day),
        parse_field(MONTH, month) >> MONTH.low,
        parse_field(DAY_OF_WEEK, week_day),
        parse_field(YEAR, year) >> YEAR.low,
        either,
    )
    times = time_rule(parse_field(SECOND, second), parse_field(MINUTE, minute), parse_field(HOUR, hour))
    if days.next(0) == NEVER:
        raise DAY_OF_MONTH.error(
            " ".join((month_day, month, week_day, year)).rstrip(" *?"),
            gettext_noop("a day that occurs in the months and years given"),
            gettext_noop("This schedule would never fire: correct day, month or year."),
        )
    return CompiledCron(days, times, fixed)


def _is_star(text: str) -> bool:
    return text[0] in "*?" or text.startswith("h/")


@lru_cache(maxsize=1 << 14)
def parse_field(field: Field, text: str) -> int:
    """The mask of one field, in lower case: bit n for value n, and for the day fields the bits of ``compiled``."""
    mask = 0
    for item in text.split(","):
        mask |= _special(field, item) or _range(field, item)
    return mask


def _special(field: Field, item: str) -> int:
    """The mask of a form that only a day field has, or 0."""
    if field is DAY_OF_MONTH:
        return _special_day(item)
    if field is DAY_OF_WEEK and (match := _OF_MONTH.fullmatch(item)):
        day = _value(field, match[1]) % 7
        if match[2] is None:
            return 1 << LAST_DOW_BIT + day
        if not 1 <= int(match[2]) <= 5:
            raise field.error(
                item,
                gettext_noop("1 to 5 after #, the number of the week"),
                gettext_noop("Use 5L for the last one of the month."),
            )
        return 1 << NTH_BITS * int(match[2]) + day
    return 0


def _special_day(item: str) -> int:
    if item == "lw":
        return 1 << LAST_WEEKDAY_BIT
    if match := _LAST_DAY.fullmatch(item):
        back = int(match[1] or 0)
        if back > 30:
            raise DAY_OF_MONTH.error(item, gettext_noop("L-1 to L-30"))
        return 1 << LAST_DAY_BIT + back
    if match := _NEAREST.fullmatch(item):
        return 1 << NEAREST_BIT + _value(DAY_OF_MONTH, match[1])
    return 0


def _range(field: Field, item: str) -> int:
    """The mask of ``*``, ``a``, ``a-b`` and these with ``/n``."""
    body, slash, step = item.partition("/")
    low, high = _bounds(field, body)
    every = 1
    if slash:
        whole = "-" not in body
        every = _step(field, item, step, field.high if whole else high - low)
        high = max(low, _top(field)) if whole else high  # a/n: from a to the end
    mask = 0
    for value in range(low, high + 1, every):
        mask |= 1 << (value % 7 if field is DAY_OF_WEEK else value)
    return mask


def _top(field: Field) -> int:
    return 6 if field is DAY_OF_WEEK else field.high


def _bounds(field: Field, body: str) -> tuple[int, int]:
    if body == "*" or (body == "?" and field in (DAY_OF_MONTH, DAY_OF_WEEK)):
        return field.low, _top(field)
    first, dash, last = body.partition("-")
    if dash and not (first and last):
        raise field.error(body)
    low = _value(field, first)
    if not dash:
        return low, low
    high = _value(field, last)
    if field is DAY_OF_WEEK and high == 0 < low:
        high = 7
    if high < low:
        both = f"{first}-{field.high},{field.low}-{last}"
        advice = gettext_noop("Ranges go upwards: write %(both)s to go over the end.", both=both)
        raise field.error(body, gettext_noop("a range a-b with the smaller value first"), advice)
    return low, high


def _step(field: Field, item: str, step: str, limit: int) -> int:
    if field is YEAR:
        limit = min(limit, YEAR.high - YEAR.low)
    limit = max(limit, 1)
    if not _is_number(step) or not 1 <= int(step) <= limit:
        raise field.error(
            item,
            gettext_noop("a step of 1 to %(limit)s after the /", limit=limit),
            gettext_noop("A larger step would only repeat the first value."),
        )
    return int(step)


def _value(field: Field, text: str) -> int:
    value = field.names.get(text, -1)
    if _is_number(text):
        value = int(text)
    if not field.low <= value <= field.high:
        raise field.error(text)
    return value


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4


def _hashed(field: Field, text: str, key: str) -> str:
    """The field with each ``h`` item written out as the values that the key chooses."""
    if not text.startswith("h") and ",h" not in text:
        return text
    return ",".join(_hashed_item(field, item, key) if item[:1] == "h" else item for item in text.split(","))


def _hashed_item(field: Field, item: str, key: str) -> str:
    body, slash, step = item.partition("/")
    match = _HASH.fullmatch(body)
    if match is None or field is YEAR:
        advice = gettext_noop("H is written H, H(1-5), H/15 or H(0-29)/10; a year cannot be hashed.")
        raise field.error(item, advice=advice)
    low, high = (field.low, 28 if field is DAY_OF_MONTH else _top(field))
    if match[1] is not None:
        low, high = _bounds(field, f"{match[1]}-{match[2]}")
    number = int.from_bytes(blake2b(f"{field.name}\n{key}".encode(), digest_size=8).digest())
    if not slash:
        return str(low + number % (high - low + 1))
    every = _step(field, item, step, field.high if match[1] is None else high - low)
    return ",".join(map(str, range(low + number % min(every, high - low + 1), high + 1, every)))
