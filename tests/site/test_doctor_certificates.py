"""The doctor on certificates: those of files and those that members show, long before they end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from coordination.gateway import EtcdSettings
from ects_site.doctor import certificates, store
from tests import etcd_server
from tests.certificates import Authority
from tests.etcd_security import Security


@pytest.fixture
def etcd(tmp_path: Path) -> EtcdSettings:
    """The settings for an etcd that nobody has started; its certificates end tomorrow."""
    return Security(tmp_path / "papers").settings(["127.0.0.1:1"])


def said(etcd: EtcdSettings) -> list[str]:
    findings = list(certificates.check(etcd))
    assert all(finding.advice for finding in findings if finding.verdict != "ok")
    return [f"{finding.verdict}: {finding.words}" for finding in findings]


def test_files_and_members_are_looked_at(tmp_path: Path) -> None:
    security = Security(tmp_path / "papers")
    with etcd_server.running(tmp_path / "etcd", **security.server_settings()) as server:
        ends = f"ends on {datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
        found = said(security.settings([server.endpoint]))
    assert [line.partition(" ends")[0] for line in found] == [
        "warn: the certificate of etcd's authority (ECTS_ETCD_CA)",
        "warn: this console's certificate (ECTS_ETCD_CERT)",
        f"warn: the certificate of {server.endpoint}",
    ]
    assert all(ends in line for line in found)


@pytest.mark.parametrize(("days", "words"), [(2, "fail: {} ended on "), (-30, "fail: {} is good from ")])
def test_before_and_after_its_time(days: int, words: str, etcd: EtcdSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC) + timedelta(days=days)
    monkeypatch.setattr(certificates.timezone, "now", lambda: now)
    for line, name in zip(said(etcd), ("etcd's authority", "this console's"), strict=True):
        assert words.split("{}")[0] in line
        assert words.split("{}")[1] in line
        assert name in line


def test_one_that_is_good_for_longer(etcd: EtcdSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "SOON", timedelta(hours=1))
    assert [line.partition(": ")[0] for line in said(etcd)] == ["ok", "ok"]


def test_what_is_no_certificate_is_told(etcd: EtcdSettings, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_text("nothing of the kind")
    found = said(replace(etcd, ca=str(tmp_path / "other.pem"), certificate="", key=""))
    assert len(found) == 1
    assert found[0].startswith("fail: the certificate of etcd's authority (ECTS_ETCD_CA) is not one: ")


def test_without_tls_there_is_nothing_to_say() -> None:
    assert said(EtcdSettings(("127.0.0.1:1",))) == []


def test_one_good_authority_of_several_will_do(etcd: EtcdSettings, tmp_path: Path, monkeypatch: Any) -> None:
    """As in an exchange of authorities: one has ended, one is yet to begin. A chain of the console's own is as good as
    its worst."""
    old, both = Path(etcd.ca).read_text(), tmp_path / "both.pem"
    ended = Authority(tmp_path, "ended").create(timedelta(days=-9)).certificate.read_text()
    coming = Authority(tmp_path, "coming").create(timedelta(days=9)).certificate.read_text()
    both.write_text(ended + old + coming)
    monkeypatch.setattr(certificates, "SOON", timedelta(hours=1))
    assert [line.partition(": ")[0] for line in said(replace(etcd, ca=str(both)))] == ["ok", "ok"]
    assert [line.partition(": ")[0] for line in said(replace(etcd, certificate=str(both)))] == ["ok", "fail"]


def test_when_no_member_answers_they_are_looked_at_all_the_same(etcd: EtcdSettings, settings: Any) -> None:
    settings.ECTS_ETCD = etcd
    words = [finding.words for finding in store.check()]
    assert any("does not answer" in said for said in words)
    assert any("this console's certificate" in said for said in words)
