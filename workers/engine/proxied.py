"""Deliveries of a worker whose environment names a proxy: httpx knows the rules of those, SOCKS and exceptions
included. Loaded ``ondemand``."""

from collections.abc import Mapping

import httpx

from workers.engine.courier import CONNECT_TIMEOUT, TIMEOUT, Answer, Unreached


class Proxied:
    """A ``Courier`` by the process's ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT))

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One POST."""
        try:
            response = await self._client.post(url, content=body, headers=dict(headers))
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Unreached(str(error) or type(error).__name__) from error
        return Answer(response.status_code, response.content)

    async def aclose(self) -> None:
        """Ends the connections."""
        await self._client.aclose()
