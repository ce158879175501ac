"""``rotatekeys encryption`` and ``rotatekeys web``: what is kept in the database and in the secrets' files."""

import os
import stat
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from coordination.atrest import AtRest
from coordination.crypto import CannotOpen
from ects_site import environment
from ects_site.rotation import encryption
from tasks.models import Secret
from tests.pipelines.makers import secret
from workers import keyring
from workers.models import SigningKey


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings) -> Path:
    """The encryption key of an installation of its own."""
    monkeypatch.setenv("ECTS_DATA_DIR", str(tmp_path))
    settings.ECTS_AT_REST = AtRest(environment.encryption_keys)
    return tmp_path / "secrets" / "encryption_key"


@pytest.mark.django_db
def test_everything_is_encrypted_anew_and_the_old_key_goes(file: Path, settings) -> None:
    secret("A", "apple")
    signer, [old] = keyring.signer().key_id, file.read_text().split()
    running = AtRest(environment.encryption_keys)  # a process that was started before
    call_command("rotatekeys", "encryption")
    assert file.read_text().split()[1:] == [old]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert running.decrypt(bytes(Secret.objects.get().ciphertext)) == b"apple", "it looks for the keys again"
    assert AtRest(lambda: environment.encryption_keys()[:1]).decrypt(bytes(Secret.objects.get().ciphertext)) == b"apple"
    secret("B", "pear")
    call_command("rotatekeys", "encryption", "--retire")
    [new] = file.read_text().split()
    assert new != old
    settings.ECTS_AT_REST = AtRest(environment.encryption_keys)
    assert {row.name: row.value() for row in Secret.objects.all()} == {"A": "apple", "B": "pear"}
    assert keyring.signer().key_id == signer
    with pytest.raises(CannotOpen):
        AtRest(lambda: [bytes.fromhex(old)]).decrypt(bytes(SigningKey.objects.get().ciphertext))


@pytest.mark.django_db
def test_killed_in_the_middle_it_goes_on(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        secret(f"S{number}", str(number))
    rows, before = encryption._encrypted, dict(Secret.objects.values_list("name", "ciphertext"))

    def die_after_two():
        for number, row in enumerate(rows()):
            if number == 2:
                raise KeyboardInterrupt
            yield row

    with monkeypatch.context() as patch:
        patch.setattr(encryption, "_encrypted", die_after_two)
        with pytest.raises(KeyboardInterrupt):
            call_command("rotatekeys", "encryption")
    assert {row.value() for row in Secret.objects.all()} == set("01234"), "each is readable meanwhile"
    keys = file.read_text()
    call_command("rotatekeys", "encryption")
    assert file.read_text() == keys, "no third key"
    call_command("rotatekeys", "encryption", "--retire")
    assert {row.value() for row in Secret.objects.all()} == set("01234")
    assert not set(before.values()) & set(Secret.objects.values_list("ciphertext", flat=True))


@pytest.mark.django_db
def test_what_nothing_opens_is_named_and_keeps_the_old_key(file: Path) -> None:
    secret("GOOD", "fine")
    Secret.objects.create(name="LOST", ciphertext=os.urandom(60))
    with pytest.raises(CommandError, match=r"secret \d+: no key opens these"):
        call_command("rotatekeys", "encryption", "--retire")
    with pytest.raises(CommandError, match=r"secret \d+: no key opens these"):
        call_command("rotatekeys", "encryption")
    assert len(file.read_text().split()) == 2


@pytest.mark.django_db
def test_a_key_from_outside_is_changed_there(file: Path, monkeypatch: pytest.MonkeyPatch, settings) -> None:
    old, new = os.urandom(32).hex(), os.urandom(32).hex()
    monkeypatch.setenv("ECTS_ENCRYPTION_KEY", old)
    settings.ECTS_AT_REST = AtRest(environment.encryption_keys)
    secret("A", "apple")
    with pytest.raises(CommandError, match="ECTS_ENCRYPTION_KEY comes from outside: change it there"):
        call_command("rotatekeys", "encryption")
    monkeypatch.setenv("ECTS_ENCRYPTION_KEY", f"{new}\n{old}")
    call_command("rotatekeys", "encryption")
    monkeypatch.setenv("ECTS_ENCRYPTION_KEY", new)
    settings.ECTS_AT_REST = AtRest(environment.encryption_keys)
    assert Secret.objects.get().value() == "apple"


def test_the_web_key(file: Path, tmp_path: Path) -> None:
    old = environment.secret("SECRET_KEY")
    call_command("rotatekeys", "web")
    call_command("rotatekeys", "web")
    new, *others = environment.secret("SECRET_KEY").splitlines()
    assert others == [old]
    call_command("rotatekeys", "web", "--retire")
    assert (tmp_path / "secrets" / "secret_key").read_text().split() == [new]
    environment.retire_secrets("SECRET_KEY")
    assert environment.secret("SECRET_KEY") == new


def test_a_line_that_is_no_key_is_refused(file: Path) -> None:
    file.write_text(f"{os.urandom(32).hex()}\nnonsense\n")
    with pytest.raises(ImproperlyConfigured, match="32 bytes in hexadecimal"):
        environment.encryption_keys()
