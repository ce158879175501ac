"""What a live test found out."""

from dataclasses import dataclass, field


@dataclass
class Report:
    """``wrong``: fields of the section (by their names in the program) and sentences that say what to do.

    ``notes`` are worth knowing. ``holds`` says what is there already: somebody has to agree that it is used.
    """

    wrong: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    holds: list[str] = field(default_factory=list)

    def refuse(self, name: str, sentence: str) -> None:
        """One more thing that is wrong."""
        if (name, sentence) not in self.wrong:
            self.wrong.append((name, sentence))
