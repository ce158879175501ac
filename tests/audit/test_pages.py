"""The journal's page and its API: filters, pages, what one may see; and that no page reads more than it shows."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.models import Entry, Part
from audit.watched import KINDS
from tasks.models import Task
from tests.audit.journal import last
from tests.logs.test_query_plans import problems

PAGE, API = "/admin/audit/entry/", "/api/v1/audit/"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ENTRIES = 8000
PAIRS = [(kind, what) for kind, (_model, whats) in KINDS.items() for what in whats]
TABLES = ("audit_entry", "audit_part")


class Journal:
    """Enough entries that a database would rather use its indexes than not: one a minute, every kind and what in turn,
    by ten people; deletions of tasks by one person are rare."""

    def __init__(self) -> None:
        made = [self._entry(number) for number in range(ENTRIES)]
        Entry.objects.bulk_create(made, batch_size=500)
        self.keys = list(Entry.objects.order_by("pk").values_list("pk", flat=True))
        fields = {"schedule": ["a", "b"]}
        parts = [Part(entry_id=key, model="pipelines.pipeline", what="changed", fields=fields) for key in self.keys]
        Part.objects.bulk_create(parts, batch_size=500)
        with connection.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"ANALYZE {'TABLE ' if connection.vendor == 'mysql' else ''}{table}")
                cursor.fetchall()

    def _entry(self, number: int) -> Entry:
        kind, what = PAIRS[number % len(PAIRS)]
        act = uuid.UUID(int=number // 4)
        return Entry(
            at=NOON + timedelta(minutes=number), act=act, by=f"user-{number % 10}", via="console", kind=kind,
            object=str(number % 50), name=f"object {number % 50}", what=what,
        )  # fmt: skip

    def wanted(self, condition: Callable[[Entry], bool]) -> list[int]:
        """Newest first, a page of them."""
        found = [entry.pk for entry in Entry.objects.order_by("-pk") if condition(entry)]
        return found[:50]


@pytest.fixture
def journal(transactional_db: None) -> Journal:
    return Journal()


def _viewer(*rights: str, is_superuser: bool = False) -> Client:
    user = User.objects.create_user("viewer", is_staff=True, is_superuser=is_superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    client = Client()
    client.force_login(user)
    Entry.objects.filter(name="viewer").delete()
    return client


def _shown(reply: Any) -> list[int]:
    assert reply.status_code == 200
    return [told.entry.pk for _day, entries in reply.context["days"] for told in entries]


FILTERS: dict[str, tuple[str, Callable[[Entry], bool]]] = {
    "nothing": ("", lambda one: True),
    "a person": ("person=user-3", lambda one: one.by == "user-3"),
    "a kind": ("kind=tasks.task", lambda one: one.kind == "tasks.task"),
    "a what": ("what=deleted", lambda one: one.what == "deleted"),
    "a person and a what": ("person=user-3&what=deleted", lambda one: (one.by, one.what) == ("user-3", "deleted")),
    "a person and a kind": ("person=user-4&kind=logs.run", lambda one: (one.by, one.kind) == ("user-4", "logs.run")),
    "a kind and a what": (
        "kind=auth.user&what=locked_out",
        lambda one: (one.kind, one.what) == ("auth.user", "locked_out"),
    ),
    "an object": ("kind=tasks.task&object=7", lambda one: (one.kind, one.object) == ("tasks.task", "7")),
    "a name": ("object=object+7", lambda one: one.object == "7"),
    "a day": ("day=2026-03-04", lambda one: one.at.date().isoformat() == "2026-03-04"),
    "a day and a person": (
        "day=2026-03-05&person=user-1",
        lambda one: one.at.date().isoformat() == "2026-03-05" and one.by == "user-1",
    ),
    "a day without anything": ("day=2025-03-04", lambda one: False),
    "an act": (f"act={uuid.UUID(int=9)}", lambda one: one.act == uuid.UUID(int=9)),
}


def test_each_filter_shows_the_newest_that_fit(journal: Journal) -> None:
    client = _viewer(is_superuser=True)
    for name, (query, fits) in FILTERS.items():
        assert _shown(client.get(f"{PAGE}?{query}")) == journal.wanted(fits), name


def test_pages_follow_each_other_both_ways(journal: Journal) -> None:
    client = _viewer(is_superuser=True)
    fits = [entry.pk for entry in Entry.objects.order_by("-pk") if entry.what == "killed"]
    pages, address = [], f"{PAGE}?what=killed"
    while address:
        reply = client.get(address)
        pages.append(_shown(reply))
        older = reply.context["older_url"]
        address = PAGE + older if older else ""
    assert [key for page in pages for key in page] == fits
    assert len(pages) == 1 + (len(fits) - 1) // 50 > 2
    back = client.get(PAGE + reply.context["newer_url"])
    assert _shown(back) == pages[-2]
    assert client.get(f"{PAGE}?what=killed").context["newer_url"] == ""


@pytest.mark.parametrize("rights", [(), ("view_task",)], ids=["superuser", "tasks only"])
def test_no_page_reads_more_than_it_shows(journal: Journal, rights: tuple[str, ...]) -> None:
    client = _viewer(*rights, is_superuser=not rights)
    middle = journal.keys[ENTRIES // 2]
    edges = ("", f"&before={middle}", f"&after={middle}")
    addresses = [f"{PAGE}?{query}{edge}" for query, _fits in FILTERS.values() for edge in edges]
    addresses += [
        f"{API}?since=2026-03-04T00:00:00Z&{more}" for more in ("", "person=user-3", "until=2026-03-05T00:00Z")
    ]
    found = {}
    for address in addresses:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(address).status_code == 200
        mine = [one["sql"] for one in captured if "audit_" in one["sql"]]
        found[address] = [(bad, sql[:3000]) for sql in mine for bad in _unbounded(sql)]
    assert {name: bad for name, bad in found.items() if bad} == {}


def _unbounded(sql: str) -> list[str]:
    """A scan without a bound, a sort of much, a count."""
    assert "COUNT(" not in sql
    is_first_of_all = "WHERE" not in sql and "LIMIT" in sql
    return [
        f"{problem} of {table}"
        for table, problem in problems(sql)
        if table in TABLES and not (is_first_of_all and problem == "scan") and not _is_page(sql)
    ]


def _is_page(sql: str) -> bool:
    """The entries of a page by their keys, or their parts."""
    return " IN (" in sql and ("`id` IN" in sql or '"id" IN' in sql or "entry_id" in sql)


# -- what one may see ------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_only_who_may_see_an_object_sees_its_changes() -> None:
    client = _viewer("view_task")
    task = Task.objects.create(name="dump")
    entry = last(kind="tasks.task")
    secret = Entry.objects.create(
        act=uuid.uuid4(), by="ann", via="console", kind="tasks.secret", name="S", what="added"
    )
    assert _shown(client.get(PAGE)) == [entry.pk]
    assert _shown(client.get(f"{PAGE}?kind=tasks.secret")) == []
    assert _shown(client.get(f"{PAGE}?object=S")) == []
    assert _shown(client.get(f"{PAGE}?act={secret.act}")) == []
    assert client.get(f"{PAGE}{secret.pk}/change/").status_code == 403
    assert client.get(f"{PAGE}{entry.pk}/change/").status_code == 200
    assert [each["name"] for each in client.get(API).json()["results"]] == ["dump"]
    assert client.get(f"{API}{secret.pk}/").status_code == 404
    assert client.get(f"{API}{entry.pk}/").json()["object"] == str(task.pk)


@pytest.mark.django_db
def test_who_may_see_nothing_sees_no_journal() -> None:
    client = _viewer()
    assert client.get(PAGE).status_code == 403
    assert client.get(API).json()["results"] == []
    assert client.get("/admin/search/?s=audit").content.decode().count(PAGE) == 0


@pytest.mark.django_db
def test_the_api_is_for_staff(client: Client) -> None:
    assert client.get(API).status_code == 401
    client.force_login(User.objects.create_user("bob"))
    assert client.get(API).status_code == 403
    assert client.post(API, {}).status_code in (403, 405)


@pytest.mark.django_db
def test_nobody_changes_the_journal() -> None:
    client = _viewer(is_superuser=True)
    Task.objects.create(name="dump")
    entry = last()
    assert client.get(f"{PAGE}add/").status_code == 403
    assert client.post(f"{PAGE}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(f"{PAGE}{entry.pk}/change/", {"by": "somebody else"})
    for method in (client.post, client.put, client.patch, client.delete):
        assert method(f"{API}{entry.pk}/").status_code == 405
    entry.refresh_from_db()
    assert entry.by != "somebody else"


# -- the way there and back ------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_objects_history_is_its_part_of_the_journal() -> None:
    client = _viewer(is_superuser=True)
    task, other = Task.objects.create(name="dump"), Task.objects.create(name="load")
    form = reverse("admin:tasks_task_change", args=[task.pk])
    history = reverse("admin:tasks_task_history", args=[task.pk])
    assert history in client.get(form).content.decode()
    reply = client.get(history, follow=True)
    assert [told.entry.name for _day, entries in reply.context["days"] for told in entries] == ["dump"]
    page = reply.content.decode()
    assert f'href="{form}"' in page
    assert f'href="/admin/tasks/task/{task.pk}/versions/"' in page
    assert client.get(f"/admin/tasks/task/{task.pk}/versions/").status_code == 200
    task.delete()
    page = client.get(history, follow=True).content.decode()
    assert "Deleted" in page
    assert f'href="{form}"' not in page, "it is gone"
    assert str(other.pk) in client.get(PAGE).content.decode()


@pytest.mark.django_db
def test_what_cannot_be_understood_is_not_asked() -> None:
    client = _viewer(is_superuser=True)
    Task.objects.create(name="dump")
    for query in ("day=yesterday", "day=9999-12-31", "act=x", "kind=no.kind", "what=eaten", "before=x", "after=-1"):
        assert len(_shown(client.get(f"{PAGE}?{query}"))) == 1, query
    assert _shown(client.get(f"{PAGE}?kind=pipelines.pipeline&object=no-uuid")) == []
    for query in ("kind=no.kind", "what=eaten", "since=yesterday", "before=x", "limit=0", "limit=501"):
        assert client.get(f"{API}?{query}").status_code == 400, query
    assert client.get(f"{PAGE}no-number/change/").status_code == 404
    assert client.get("/admin/no/model/1/history/").status_code == 404


@pytest.mark.django_db
def test_the_api_gives_pages_and_words() -> None:
    client = _viewer(is_superuser=True)
    task = Task.objects.create(name="dump")
    client.patch(f"/api/v1/tasks/{task.pk}/", {"kind": "http", "url": "http://a/"}, content_type="application/json")
    reply = client.get(API, {"limit": 1}).json()
    [entry] = reply["results"]
    assert (entry["by"], entry["what"], entry["kind"], entry["name"]) == ("viewer", "changed", "tasks.task", "dump")
    words = {each["field"]: (each["before"], each["after"]) for each in entry["changes"][0]["changes"]}
    assert words == {"Kind": ("Shell", "HTTP"), "URL": ("", "http://a/")}
    older = client.get(reply["next"]).json()
    assert [each["what"] for each in older["results"]] == ["added"]
    assert client.get(older["previous"]).json()["results"] == reply["results"]
    assert older["next"] is None
    chinese = client.get(API, {"limit": 1}, headers={"Accept-Language": "zh-hans"}).json()["results"][0]
    assert {each["field"] for each in chinese["changes"][0]["changes"]} == {"类型", "URL"}
