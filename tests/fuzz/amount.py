"""How many odd inputs each test is given: ``ECTS_FUZZ_EXAMPLES``, which ``scripts/fuzz`` sets."""

import os

from hypothesis import HealthCheck, settings

oddly = settings(
    max_examples=int(os.environ.get("ECTS_FUZZ_EXAMPLES", "8")),
    derandomize="ECTS_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
"""For these tests alone: a profile would hold for all that run in the same process."""
