"""What has been typed so far: in this process's memory and nowhere else, until the last step."""

import threading
from dataclasses import dataclass, field
from typing import Any

from ects_site.probes.contents import Contents
from ects_site.probes.etcd import EtcdReport
from ects_site.probes.report import Report
from ects_site.wizard.present import Content


@dataclass
class Answer:
    """A step that is done: its part of the configuration file (or of the account), what the test found, and where."""

    content: dict[str, Any]
    report: Report
    place: str


@dataclass
class Draft:
    """``typed``: by step, what the form holds, also what is wrong. ``asked``: for which place a step has shown what
    is there already. ``adopted``: the steps whose place is used with what is in it."""

    present: Content
    force: bool
    typed: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    adopted: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def contents(self) -> Contents:
        """What the chosen database holds."""
        answer = self.answers.get("database")
        return getattr(answer.report, "contents", Contents()) if answer else Contents()

    @property
    def signed_by(self) -> str:
        """The key that signed what is in etcd; empty when nothing is known."""
        answer = self.answers.get("etcd")
        return answer.report.signed_by if answer and isinstance(answer.report, EtcdReport) else ""

    def section(self, name: str) -> dict[str, Any]:
        """A section of the configuration as far as it is answered."""
        found: dict[str, Any] = {}
        for answer in self.answers.values():
            found |= answer.content.get(name) or {}
        return found

    def settle(self, step: str, answer: Answer, needed_by: list[str]) -> None:
        """A step is done. Steps whose test asked what is at another place have to be done again."""
        with self.lock:
            known = self.answers.get(step)
            if known is not None and known.place != answer.place:
                self.unsettle(*needed_by)
            self.answers[step] = answer

    def unsettle(self, *steps: str) -> None:
        """They are to be done again; what was typed stays."""
        for step in steps:
            self.answers.pop(step, None)
