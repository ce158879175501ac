"""The wizard's pages: the steps, a look over all of them, and the set-up as it goes."""

import os
from copy import copy
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from ects_site import environment
from ects_site.probes.report import Report
from ects_site.wizard import identity, present, progress, wire_home
from ects_site.wizard.draft import Answer, Draft
from ects_site.wizard.forms import STEPS, StepForm
from ects_site.wizard.progress import Progress

draft = Draft(present.content(), force=os.environ[wire_home.FORCE] == "1")
attempts: list[Progress] = []
"""The last one is the present one."""


def surroundings(request: HttpRequest) -> dict[str, Any]:
    """What every page shows: the steps and how far they are."""
    names = list(STEPS)
    reachable = names[: names.index(_next_step()) + 1] if _next_step() else names
    return {
        "steps": [
            {"name": name, "title": form.title, "is_done": name in draft.answers, "is_reachable": name in reachable}
            for name, form in STEPS.items()
        ],
        "is_complete": not _next_step(),
        "is_again": environment.settings_file().exists(),
    }


def healthz(request: HttpRequest) -> HttpResponse:
    """By which it recognises itself behind an address."""
    return HttpResponse(identity.SENTENCE, content_type="text/plain")


def no_csrf(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form from elsewhere, or from before this wizard was started."""
    return render(request, "wizard/refused.html", {"is_stale": True}, status=403)


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """To where it is to be gone on."""
    if attempts and not attempts[-1].failed:
        return redirect("progress")
    following = _next_step()
    return redirect("step", following) if following else redirect("review")


def step(request: HttpRequest, name: str) -> HttpResponse:
    """One form: shown, tested, gone on from."""
    if attempts and not attempts[-1].failed:
        return redirect("progress")
    if request.method != "POST":
        return _page(request, STEPS[name](draft))
    form = STEPS[name](draft, request.POST)
    is_test = "test" in request.POST
    is_valid = form.is_valid()
    report = form.test() if is_valid and (is_test or form.is_tested) else None
    if report is not None:
        form.complain(report)
    draft.typed[name] = form.typed()
    if form.errors:
        draft.unsettle(name)
        return _page(request, form)
    asks = bool(report and report.holds) and not _agreed(request, form)
    if asks:
        draft.unsettle(name)
    if report is not None and (asks or is_test):
        return _page(request, form, {"report": report, "asks": asks})
    _settle(form, Answer(form.content, report or Report(), form.place()))
    following = _next_step()
    return redirect("step", following) if following else redirect("review")


def _agreed(request: HttpRequest, form: StepForm) -> bool:
    """Whether somebody has agreed to use what was shown to be there already."""
    is_agreed = bool(request.POST.get("agree")) and draft.asked.get(form.step) == form.place()
    draft.asked[form.step] = form.place()
    return is_agreed


def _settle(form: StepForm, answer: Answer) -> None:
    (draft.adopted.add if answer.report.holds else draft.adopted.discard)(form.step)
    draft.settle(form.step, answer, form.needed_by)


def _page(request: HttpRequest, form: StepForm, more: dict[str, Any] | None = None) -> HttpResponse:
    form.show_kept()
    names = list(STEPS)
    number = names.index(form.step)
    answer, before = draft.answers.get(form.step), names[number - 1] if number else ""
    context = {
        "form": form,
        "number": number + 1,
        "of": len(names),
        "current": form.step,
        "report": answer.report if answer else None,
    }
    if before in draft.answers and draft.answers[before].report.notes:
        context["before"] = {"title": STEPS[before].title, "notes": draft.answers[before].report.notes}
    return render(request, "wizard/step.html", context | (more or {}))


@require_safe
def review(request: HttpRequest) -> HttpResponse:
    """All answers, before anything is done."""
    following = _next_step()
    if following:
        return redirect("step", following)
    parts = [
        {"form": form, "rows": list(form.rows()), "report": draft.answers[name].report}
        for name, form in ((name, made(draft)) for name, made in STEPS.items())
    ]
    return render(request, "wizard/review.html", {"parts": parts, "current": "review"})


@require_POST
def begin(request: HttpRequest) -> HttpResponse:
    """Starts the set-up, once."""
    if _next_step():
        return redirect("home")
    with draft.lock:
        if not attempts or attempts[-1].failed:
            attempts.append(progress.begin(draft, _tell_home))
    return redirect("progress")


def _tell_home() -> None:
    wish = draft.section("wish")
    wire_home.say(wire_home.DONE_WITH_EXAMPLE if wish.get("example") else wire_home.DONE)


@require_safe
def show_progress(request: HttpRequest) -> HttpResponse:
    """How far it is. ``?part``: only what changes."""
    if not attempts:
        return redirect("home")
    # As it is now: it goes on while the page is made, which would say that it ended and not what to mend.
    attempt = copy(attempts[-1])
    context = {
        "attempt": attempt,
        "target": _target(request),
        # Not the form itself: templates call what can be called.
        "blamed": {"step": attempt.blamed, "title": STEPS[attempt.blamed].title} if attempt.blamed in STEPS else None,
        "is_automatic": not _target(request).startswith("https"),
    }
    name = "wizard/stages.html" if "part" in request.GET else "wizard/progress.html"
    response = render(request, name, context)
    if attempt.is_done:
        wire_home.say(wire_home.SEEN)
    return response


def _target(request: HttpRequest) -> str:
    """Where the console is for this browser: here, unless it is told to be reached by https and this is not that."""
    url = str(draft.section("notification").get("url", ""))
    if url.startswith("https://") and not (request.is_secure() and request.get_host() == urlsplit(url).netloc):
        return f"{url}/admin/"
    return "/admin/"


def _next_step() -> str:
    """The first step that is not done; empty when all are."""
    return next((name for name in STEPS if name not in draft.answers), "")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseRedirect:
    """Whatever else is asked for on this port."""
    return HttpResponseRedirect("/setup/")
