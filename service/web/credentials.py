"""Who is asking: Bearer, Basic, or a client certificate by TLS (web/tls.py).

Secrets are read from their files at each request, so a rotated secret is taken up without a restart, and
compared in constant time.
"""

import base64
import hmac
from dataclasses import dataclass
from enum import StrEnum

from service.settings import IntakeSettings, secret


class Role(StrEnum):
    """What a caller may do."""

    SEND = "send"  # post webhooks
    READ = "read"  # ask the API


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was admitted."""

    name: str
    roles: frozenset[Role]


_EVERYTHING = frozenset(Role)
ANYONE = Caller("anyone", _EVERYTHING)  # while no credentials are configured


@dataclass(frozen=True, slots=True)
class Credentials:
    """The configured credentials."""

    settings: IntakeSettings

    @property
    def configured(self) -> bool:
        """Somebody has to show something: a secret, or a certificate that TLS has already demanded."""
        mine = self.settings
        return bool(mine.bearer_file or mine.basic_password_file or mine.tls_client_ca)

    def caller(self, authorization: str | None) -> Caller | None:
        """Whose the `Authorization` header is; None when it is nobody's.

        Raises Unavailable(credentials_unreadable) while a secret is being replaced.
        """
        bearer = secret(self.settings.bearer_file)
        password = secret(self.settings.basic_password_file)
        if bearer is None and password is None:
            return ANYONE
        scheme, _, shown = (authorization or "").partition(" ")
        match scheme.lower():
            case "bearer" if bearer and _same(shown.strip(), bearer):
                return Caller("bearer", _EVERYTHING)
            case "basic" if password:
                expected = f"{self.settings.basic_user}:{password}"
                if _same(_decoded(shown), expected):
                    return Caller(self.settings.basic_user or "basic", _EVERYTHING)
        return None

    def admits(self, authorization: str | None, role: Role = Role.READ) -> bool:
        """Whether the header is somebody's who has the role. Raises as `caller` does."""
        found = self.caller(authorization)
        return found is not None and role in found.roles


def _decoded(shown: str) -> str:
    try:
        return base64.b64decode(shown.strip(), validate=True).decode()
    except ValueError:  # not base64, not ASCII, or no text inside
        return ""


def _same(shown: str, expected: str) -> bool:
    # aiohttp hands bytes of a header that are not UTF-8 over as surrogates, which a plain encode() refuses.
    return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), expected.encode())
