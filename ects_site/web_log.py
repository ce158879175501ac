"""gunicorn's own messages in the format of all others: ``gunicorn --logger-class ects_site.web_log.Logger``."""

from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from coordination import logformat
from ects_site.environment import log_format


class Logger(GunicornLogger):
    """As gunicorn's, in our words."""

    def setup(self, cfg: Any) -> None:
        """Called by gunicorn with its configuration."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logformat.formatter(log_format()))
