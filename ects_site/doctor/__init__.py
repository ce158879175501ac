"""``manage.py doctor``: looks at everything that an installation needs and says what to do about what is wrong."""

from ects_site.doctor.examination import examine
from ects_site.doctor.finding import Finding, Verdict

__all__ = ["Finding", "Verdict", "examine"]
