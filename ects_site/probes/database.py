"""The database, tested: SQLite in the data directory, or MySQL and MariaDB."""

from dataclasses import dataclass, field
from pathlib import Path

from ects_site.configuration_file import Database
from ects_site.probes import mysql, sqlite
from ects_site.probes.contents import Contents
from ects_site.probes.report import Report


@dataclass
class DatabaseReport(Report):
    """``contents``: what is there already."""

    contents: Contents = field(default_factory=Contents)


def probe(database: Database | None, file: Path) -> DatabaseReport:
    """Tests it. ``file``: SQLite's, which is used when ``database`` is None."""
    report = DatabaseReport()
    if database is None:
        report.contents = sqlite.examine(file, report)
        report.holds += report.contents.in_words(str(file))
    else:
        report.contents = mysql.examine(database, report)
        report.holds += report.contents.in_words(database.name)
    return report
