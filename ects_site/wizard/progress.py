"""The set-up itself: in a thread of its own, watched step by step."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.utils import translation
from django.utils.translation import gettext_lazy

from ects_site import configuration_file, etcd_process, installation
from ects_site.configuration_file import Invalid
from ects_site.etcd_process import EtcdMissing
from ects_site.installation import Order, Refused
from ects_site.wizard.draft import Draft

log = logging.getLogger(__name__)

SECTIONS = ("database", "auth", "etcd", "notification", "console")


@dataclass
class Stage:
    """One thing to do. ``state``: waiting, going, done or failed."""

    name: str
    label: Any
    state: str = "waiting"
    word: str = ""


@dataclass
class Progress:
    """One attempt. ``failed`` says why it ended, ``blamed`` which step of the wizard has to be mended for it."""

    stages: list[Stage] = field(default_factory=list)
    failed: str = ""
    blamed: str = ""
    is_done: bool = False

    def reach(self, name: str, word: str) -> None:
        """A stage begins, or there is a word on it; those before it are done."""
        names = [stage.name for stage in self.stages]
        position = names.index(name)
        for stage in self.stages[:position]:
            stage.state = "done"
        self.stages[position].state, self.stages[position].word = "going", word

    def fail(self, sentence: str) -> None:
        """It ends here, and nothing is kept."""
        for stage in self.stages:
            if stage.state == "going":
                stage.state = "failed"
        section = sentence.partition(":")[0].partition(".")[0]
        self.blamed = {"auth": "keys", "notification": "mail", "--name": "administrator"}.get(section, section)
        self.failed = sentence

    def finish(self) -> None:
        """Everything is done."""
        for stage in self.stages:
            stage.state = "done"
        self.is_done = True


def configuration_of(draft: Draft) -> dict[str, Any]:
    """All answers in the form of a configuration file."""
    return {name: section for name in SECTIONS if (section := draft.section(name))}


def begin(draft: Draft, when_done: Callable[[], None]) -> Progress:
    """Starts the set-up. ``when_done`` is called at its end, if it went well."""
    has_etcd = bool(draft.section("etcd"))
    progress = Progress(stages=[Stage("tests", gettext_lazy("Tests, once more"))])
    if not has_etcd:
        progress.stages.append(Stage("program", gettext_lazy("An etcd on this machine")))
    progress.stages += [Stage(name, installation.STEPS[name]) for name in _steps(draft, has_etcd=has_etcd)]
    threading.Thread(
        target=_work, args=(draft, progress, when_done, translation.get_language()), name="set-up", daemon=True
    ).start()
    return progress


def _steps(draft: Draft, *, has_etcd: bool) -> list[str]:
    absent = set() if has_etcd else {"etcd", "config"}
    if not draft.section("database"):
        absent.add("database")
    return [name for name in installation.STEPS if name not in absent]


def _work(draft: Draft, progress: Progress, when_done: Callable[[], None], language: str) -> None:
    with translation.override(language):
        try:
            _set_up(draft, progress)
        except (Refused, Invalid, EtcdMissing) as error:
            progress.fail(str(error))
        except Exception as error:
            log.exception("the set-up failed")
            progress.fail(f"{type(error).__name__}: {error}")
        else:
            progress.finish()
            when_done()


def _set_up(draft: Draft, progress: Progress) -> None:
    configuration = configuration_file.configuration(configuration_of(draft))
    account = draft.section("account")
    order = Order(
        name=account.get("name", ""),
        email=account.get("email", ""),
        password=account.get("password", ""),
        force=draft.force,
        adopt=bool(draft.adopted),
        signing=configuration.auth.signing,
    )
    progress.reach("tests", "")
    if order.password:
        installation.check_account(order)
    installation.check_is_free(force=order.force)
    installation.check_live(configuration, order)
    if configuration.etcd is None:
        progress.reach("program", "")
        progress.reach("program", etcd_process.find_or_install())
    installation.set_up(configuration, order, progress.reach)
