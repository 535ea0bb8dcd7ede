"""What the clients over HTTP share: one session, made at the first request and closed at the end.

Never here: what is asked, or what an answer means (http.py).
"""

from typing import Self

import aiohttp


class HttpClient:
    """An async context manager that owns at most one session.
    None is connected before it is needed.
    """

    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the session, if one was made. The next request makes another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=self._connector())
        return self._session

    def _connector(self) -> aiohttp.BaseConnector | None:
        """How it connects; None: as aiohttp does by itself."""
        return None
