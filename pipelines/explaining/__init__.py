"""Why a pipeline did or did not run at an instant, from what the console really knows."""

from pipelines.explaining.answer import Answer, Explanation
from pipelines.explaining.inquiry import explain

__all__ = ["Answer", "Explanation", "explain"]
