"""How many odd inputs each test is given: ``ECTS_FUZZ_EXAMPLES``, which ``scripts/fuzz`` sets."""

import os

from hypothesis import HealthCheck, settings

from tests.pipelines.conftest import console, etcd

__all__ = ["console", "etcd"]

settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("ECTS_FUZZ_EXAMPLES", "15")),
    deadline=None,
    derandomize="ECTS_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
settings.load_profile("fuzz")
