"""What is wrong with a schedule, in the viewer's language: the engine says it in phrases of English."""

from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext as _

from workers.engine.cron import ScheduleError
from workers.engine.phrases import Phrase

PARTS = (
    gettext_noop("schedule"),
    gettext_noop("second"),
    gettext_noop("minute"),
    gettext_noop("hour"),
    gettext_noop("day of month"),
    gettext_noop("month"),
    gettext_noop("day of week"),
    gettext_noop("year"),
    gettext_noop("interval"),
    gettext_noop("instant"),
    gettext_noop("timezone"),
    gettext_noop("start"),
    gettext_noop("end"),
)
"""Names of parts that an error may blame; those of other arguments are told as they are."""


def sentence(error: ScheduleError) -> str:
    """The part, what was found, what is allowed, what to do."""
    part = gettext(error.field) if error.field in PARTS else error.field
    return _("%(part)s: found %(found)s, allowed is %(allowed)s. %(advice)s") % {
        "part": part,
        "found": error.shown(said(error.found)),
        "allowed": said(error.allowed),
        "advice": said(error.advice) or _("Correct the %(part)s.") % {"part": part},
    }


def said(text: object) -> str:
    """A phrase in the language of the request; any other text as it is."""
    if not isinstance(text, Phrase):
        return str(text)
    return gettext(text.template) % {name: said(fact) for name, fact in text.facts.items()}
