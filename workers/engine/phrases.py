"""Texts that can be said in other languages by who knows some."""


class Phrase(str):
    """``template`` with its blanks filled in by ``facts``, which may be phrases too."""

    template: str
    facts: dict[str, object]


def gettext_noop(template: str, **facts: object) -> Phrase:
    """The phrase in English; ``%(name)s`` is a blank. Of the name that the programs which gather texts for translation
    look for (GNU gettext, "Special cases of translatable strings")."""
    phrase = Phrase(template % facts)
    phrase.template, phrase.facts = template, facts
    return phrase
