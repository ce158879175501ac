"""gunicorn's messages, and a line for each request where that is wanted, in the format of all others."""

from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from coordination import logformat
from ects_site.environment import log_format


class Logger(GunicornLogger):
    """As gunicorn's, in our words."""

    def setup(self, cfg: Any) -> None:
        """Called by gunicorn with its configuration."""
        super().setup(cfg)
        logformat.identify(process="web")
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(logformat.formatter(log_format()))

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """One request, with fields of their own in JSON. Neither query nor headers: both may hold what is secret."""
        if not self.access_log_enabled:
            return
        said = {
            "remote": environ.get("REMOTE_ADDR", ""),
            "method": environ.get("REQUEST_METHOD", ""),
            # As it came: unquoted, it could hold line feeds.
            "path": str(environ.get("RAW_URI", "")).partition("?")[0],
            "status": int(str(resp.status).split(None, 1)[0]),
            "bytes": getattr(resp, "sent", 0),
            "seconds": round(request_time.total_seconds(), 4),
        }
        words = "%(remote)s %(method)s %(path)s %(status)d, %(bytes)d bytes in %(seconds)s s"
        self.access_log.info(words, said, extra=said)
