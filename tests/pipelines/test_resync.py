"""Resync: whatever became of etcd or the database, they agree again, and nothing newer is taken away."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from coordination import crypto
from coordination.documents import MailSettings, Tombstone
from coordination.gateway import Compare, Delete, Put
from pipelines import outbox, publishing
from pipelines.models import LostEdit, Pipeline, Publication
from tasks.models import Task
from tests.pipelines import makers
from workers.models import Node


@pytest.fixture
def node(console):
    return makers.node()


@pytest.fixture
def pipeline(console, node):
    return makers.pipeline(tasks=[makers.task(content="echo 1")], nodes=[node])


def wipe(console) -> None:
    console.gateway.transact([], [Delete(console.keys.prefix, prefix=True)])


def test_what_agrees_is_left_alone(console, node, pipeline):
    before = console.item(node, pipeline.pk)
    assert publishing.resync() == 0
    assert console.item(node, pipeline.pk) == before


def test_a_wiped_etcd_is_filled_again(console, node, pipeline):
    makers.pipeline("disabled", tasks=[Task.objects.get()], nodes=[node])
    Pipeline.objects.filter(name="disabled").update(enabled=False)
    disabled = Pipeline.objects.get(name="disabled")
    before = console.held(node, pipeline.pk), console.held(node, disabled.pk)
    wipe(console)
    assert publishing.resync() == 2
    assert (console.held(node, pipeline.pk), console.held(node, disabled.pk)) == before
    assert console.gateway.get(console.keys.config()) is not None


def test_etcd_restarted_empty_is_filled_again(console, node, pipeline):
    before = console.held(node, pipeline.pk)
    console.etcd.kill()
    console.etcd.wipe()
    console.etcd.start()
    publishing.resync()
    assert console.held(node, pipeline.pk) == before


def test_an_altered_document_is_mended(console, node, pipeline):
    before = console.document(node, pipeline.pk)
    envelope = console.item(node, pipeline.pk).value
    console.overwrite(node, pipeline.pk, envelope.replace(b"echo 1", b"echo 2"))
    assert publishing.resync() == 1
    assert console.document(node, pipeline.pk) == before


def test_a_document_copied_from_another_node_is_mended(console, node, pipeline):
    other = makers.node("n2")
    pipeline.bindings.create(node=other)
    before = console.document(node, pipeline.pk)
    console.overwrite(node, pipeline.pk, console.item(other, pipeline.pk).value)
    assert publishing.resync() == 1
    assert console.document(node, pipeline.pk) == before


def test_an_older_genuine_document_put_back_is_mended(console, node, pipeline):
    old = console.item(node, pipeline.pk).value
    Task.objects.update(content="echo 2")
    console.overwrite(node, pipeline.pk, old)
    assert publishing.resync() == 1
    assert console.document(node, pipeline.pk).steps[0].task.content == "echo 2"


def test_keys_nobody_could_have_acted_on_are_deleted(console, node, pipeline):
    strange = [console.keys.pipelines(str(node.pk)) + "nonsense", console.keys.all_pipelines() + "a/b/c"]
    console.gateway.transact([], [Put(key, b"x") for key in strange])
    assert publishing.resync() == 2
    assert [console.gateway.get(key) for key in strange] == [None, None]


def test_a_genuine_document_the_database_does_not_know_is_revoked(console, node, pipeline):
    """The database was restored from a backup that is older than the pipeline."""
    held = console.document(node, pipeline.pk)
    Publication.objects.all().delete()
    Pipeline.objects.all().delete()
    assert publishing.resync() == 1
    tombstone = console.held(node, held.pipeline)
    assert isinstance(tombstone, Tombstone)
    assert tombstone.generation > held.generation


def test_a_database_restored_to_before_the_edit_is_published_above_it(console, node, pipeline):
    older = Pipeline.objects.get().generation
    ahead = older + 3_600_000
    outbox.mark([pipeline.pk], floor=ahead)
    publishing.relay_pending()
    Pipeline.objects.all().update_quietly(generation=older)
    Publication.objects.update(wanted=older, published=older)
    Task.objects.all().update_quietly(content="echo restored")
    publishing.resync()
    publishing.relay_pending()
    document = console.document(node, pipeline.pk)
    assert document.steps[0].task.content == "echo restored"
    assert document.generation > ahead + 1
    assert not Publication.objects.filter(pending=True).exists()


def test_a_database_restored_without_its_outbox(console, node, pipeline):
    held = console.document(node, pipeline.pk)
    Publication.objects.all().delete()
    publishing.resync()
    assert console.document(node, pipeline.pk).generation > held.generation


def test_bindings_written_past_the_outbox_are_noticed(console, node, pipeline):
    Pipeline.objects.all().update_quietly(node_labels={"gpu": "yes"})
    other = makers.node("n2")
    Node.objects.filter(pk=other.pk).update(labels={"gpu": "yes"})
    publishing.resync()
    assert console.document(other, pipeline.pk)


def test_a_node_key_written_past_the_outbox_is_noticed(console, node, pipeline):
    makers.secret("TOKEN", "s3cret")
    Task.objects.update(content="echo {{ secrets.TOKEN }}")
    private, public = crypto.new_node_key()
    Node.objects.filter(pk=node.pk).update(public_key=public)
    assert publishing.resync() == 1
    assert crypto.unseal(private, console.document(node, pipeline.pk).secrets["TOKEN"]) == "s3cret"


def test_another_mail_server_reaches_the_workers(console, node, settings):
    settings.ECTS_EMAIL = {"host": "one.test", "port": 25, "user": "", "password": "", "tls": "none", "sender": ""}
    mail = makers.pipeline("mail", tasks=[makers.task("m", kind="mail", recipients=["a@b.test"])], nodes=[node])
    before = console.document(node, mail.pk)
    settings.ECTS_EMAIL = {**settings.ECTS_EMAIL, "host": "two.test"}
    assert publishing.resync() == 1
    after = console.document(node, mail.pk)
    assert after.mail == MailSettings(host="two.test", port=25)
    assert after.generation > before.generation
    assert publishing.resync() == 0


def test_an_edit_between_the_listing_and_the_reading_is_not_undone(console, node, pipeline, monkeypatch):
    """The listing is old by then; what has been published since must stay."""
    snapshot = console.gateway.snapshot

    def edited_right_after(prefix, **options):
        listing = snapshot(prefix, **options)
        Task.objects.update(content="echo 2")
        makers.pipeline("new", tasks=[Task.objects.get()], nodes=[node])
        return listing

    monkeypatch.setattr(console.gateway, "snapshot", edited_right_after)
    assert publishing.resync() == 0
    assert console.document(node, pipeline.pk).steps[0].task.content == "echo 2"
    assert console.document(node, Pipeline.objects.get(name="new").pk)
    assert not Publication.objects.filter(pending=True).exists()


def test_an_unknown_key_that_changed_since_the_listing_stays(console, node, pipeline, monkeypatch):
    strange = console.keys.pipelines(str(node.pk)) + "nonsense"
    console.gateway.transact([], [Put(strange, b"x")])
    snapshot = console.gateway.snapshot

    def rewritten_right_after(prefix, **options):
        listing = snapshot(prefix, **options)
        console.gateway.transact([Compare.exists(strange)], [Put(strange, b"y")])
        return listing

    monkeypatch.setattr(console.gateway, "snapshot", rewritten_right_after)
    publishing.resync()
    assert console.gateway.get(strange).value == b"y"


def test_tombstones_of_a_deleted_node_go_after_a_week(console, node, pipeline):
    kept = Node(pk=node.pk)
    node.delete()
    publishing.resync()
    assert isinstance(console.held(kept, pipeline.pk), Tombstone)
    Publication.objects.update(wanted_at=now() - timedelta(days=8))
    publishing.resync()
    assert console.item(kept, pipeline.pk) is None
    assert not Publication.objects.exists()


def test_a_tombstone_without_a_row_is_replaced_and_goes_when_it_is_applied(console, node, pipeline):
    pipeline.bindings.all().delete()
    Publication.objects.all().delete()
    publishing.resync()
    tombstone = console.held(node, pipeline.pk)
    console.report_applied(node, pipeline.pk, tombstone.generation, removed=True)
    publishing.relay_pending()
    assert console.item(node, pipeline.pk) is None


def test_nobody_without_the_key_can_make_the_console_spare_a_document(console, node, pipeline):
    before = console.document(node, pipeline.pk)
    body = b'{"type":"pipeline","generation":99999999999999999}'
    console.overwrite(node, pipeline.pk, crypto.Signer(bytes(32)).sign("pipeline", body))
    assert publishing.resync() == 1
    assert console.document(node, pipeline.pk) == before


def test_a_change_that_a_restored_database_lacks_is_undone_and_told(console, node, pipeline):
    backup = Pipeline.objects.get().generation
    Task.objects.update(content="echo later")
    lost = Pipeline.objects.get().generation
    Task.objects.all().update_quietly(content="echo 1")
    Pipeline.objects.update_quietly(generation=backup)
    Publication.objects.update(wanted=backup, published=backup, applied=backup, pending=False)
    publishing.resync()
    publishing.relay_pending()
    document = console.document(node, pipeline.pk)
    assert document.steps[0].task.content == "echo 1"
    assert document.generation > lost
    [edit] = LostEdit.objects.all()
    assert (edit.pipeline_name, edit.generation) == (pipeline.name, lost)
    publishing.resync()
    console.report_applied(node, pipeline.pk, document.generation)
    assert LostEdit.objects.count() == 1, "what the database knows is no lost change"


def test_a_pipeline_that_a_restored_database_lacks_is_told_by_its_name(console, node, pipeline):
    generation = pipeline.generation
    held, pk = console.item(node, pipeline.pk).value, pipeline.pk
    pipeline.delete()
    Publication.objects.all().delete()
    pipeline.pk = pk
    console.overwrite(node, pk, held)
    publishing.resync()
    assert isinstance(console.held(node, pipeline.pk), Tombstone)
    assert [edit.pipeline_name for edit in LostEdit.objects.all()] == [pipeline.name]
    assert LostEdit.objects.get().generation >= generation


def test_a_late_word_of_a_forgotten_pipeline_is_no_lost_change(console, node, pipeline):
    before = pipeline.generation
    Task.objects.update(content="echo later")
    console.report_applied(node, pipeline.pk, before)
    assert not LostEdit.objects.exists()
