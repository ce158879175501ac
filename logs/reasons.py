"""Reasons in the viewer's language. Workers and the master write them in English, for logs and scripts too; what they
say is known here as the sentences that they are made of."""

import re
from functools import lru_cache, partial

from django.utils.translation import get_language, gettext, gettext_noop

SENTENCES = (
    gettext_noop('Step %(number)s "%(task)s" failed:'),
    gettext_noop('Step %(number)s "%(task)s" timed out:'),
    gettext_noop('Step %(number)s "%(task)s" did not succeed.'),
    gettext_noop('The success task "%(task)s" failed:'),
    gettext_noop('The failure task "%(task)s" failed:'),
    gettext_noop('The success task "%(task)s" timed out:'),
    gettext_noop('The failure task "%(task)s" timed out:'),
    gettext_noop("The run was ended before it."),
    gettext_noop("It ended with exit code %(code)s."),
    gettext_noop("It was ended by %(signal)s."),
    gettext_noop("It took longer than its limit of %(limit)s s."),
    gettext_noop("The run took longer than its limit of %(limit)s s."),
    gettext_noop("The server answered %(status)s; expected was %(wanted)s."),
    gettext_noop("The response does not contain %(text)s."),
    gettext_noop("No connection to %(place)s within %(limit)s s: check the address and the firewalls."),
    gettext_noop("%(place)s refused the connection: nothing listens there."),
    gettext_noop("%(place)s broke the connection off."),
    gettext_noop("The name in %(place)s is not known: %(detail)s."),
    gettext_noop("The certificate of %(place)s is not valid: %(detail)s."),
    gettext_noop(
        "No mail server is set: set ECTS_EMAIL_HOST (and _PORT, _USER, _PASSWORD, _TLS, _FROM) on the console."
    ),
    gettext_noop("There is no directory %(directory)s on this node: create it, or change the step's directory."),
    gettext_noop(
        "There is no interpreter %(program)s that can be executed on this node: install it, or change the task's."
    ),
    gettext_noop("It is not tried again: it may have been done, and doing it twice may be worse than not at all."),
    gettext_noop("Processes %(processes)s could not be ended."),
    gettext_noop("killed by %(name)s"),
    gettext_noop("the previous run was still going"),
    gettext_noop("one fire is waiting already"),
    gettext_noop("the worker was not running"),
    gettext_noop("the worker was stopped or too busy for longer than the grace, or its clock was set ahead"),
    gettext_noop("the worker is shutting down"),
    gettext_noop("the worker stopped while it was running"),
    gettext_noop("the worker stopped before it could begin"),
    gettext_noop("the worker broke while running it; see the worker's log"),
    gettext_noop("this worker's journal could not be written"),
    gettext_noop("the node is draining"),
    gettext_noop("the node was gone: nothing has been heard of it since %(instant)s UTC"),
    gettext_noop("the node was retired at %(instant)s UTC; what it had not delivered is left on its host"),
    gettext_noop("the node that ran it was lost, and no other node is there to take over"),
    gettext_noop("the node that ran it was lost"),
    gettext_noop("the node did not take the command before it expired; is its worker running and connected to etcd?"),
    gettext_noop(
        "its right to run was over: etcd could not be reached for too long, so another node may have taken over"
    ),
    gettext_noop("the pipeline was changed before this fire was claimed"),
    gettext_noop("the pipeline was removed from this node"),
    gettext_noop("every node fires it by itself now"),
    gettext_noop("waiting for a free place (%(used)s of %(limit)s in use)"),
    gettext_noop("no bound node could claim it within %(limit)s s"),
    gettext_noop("a later fire is run in its place"),
    gettext_noop("it is older than the catch-up window"),
    gettext_noop("more fires were missed than the catch-up cap allows"),
    gettext_noop("too many fires were waiting"),
    gettext_noop("coordination data lost"),
    gettext_noop("blackout: %(calendar)s"),
)
"""From the longer to the shorter where one begins like another."""

_BLANK = re.compile(r"%\\\((\w+)\\\)s")


def _pattern(sentence: str) -> re.Pattern[str]:
    """What is said, with its blanks filled in; one at the end takes what is left."""
    text = re.escape(sentence)
    text = re.sub(_BLANK.pattern + "$", r"(?P<\1>.+)", text)
    return re.compile(_BLANK.sub(r"(?P<\1>.+?)", text))


_PATTERNS = tuple((_pattern(sentence), sentence) for sentence in SENTENCES)


def localized(reason: str) -> str:
    """The reason as it was written, or in the language of the request as far as its sentences are known."""
    language = get_language() or "en"
    return reason if language.startswith("en") else _localized(reason, language)


@lru_cache(maxsize=4096)
def _localized(reason: str, language: str) -> str:
    for pattern, sentence in _PATTERNS:
        reason = pattern.sub(partial(_filled, sentence), reason)
    return gettext("paused") if reason == "paused" else reason


def _filled(sentence: str, found: re.Match[str]) -> str:
    return gettext(sentence) % found.groupdict()
