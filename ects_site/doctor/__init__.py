"""``manage.py doctor``: looks at everything that an installation needs and says what to do about what is wrong."""

from coordination.finding import Finding, Verdict
from ects_site.doctor.examination import examine

__all__ = ["Finding", "Verdict", "examine"]
