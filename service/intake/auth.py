"""Credentials of those who post webhooks or read the API: Bearer, Basic, or a client certificate by TLS.

Secrets are read from their files at each request, so a rotated secret is taken up without a restart, and
compared in constant time.
"""

import base64
import hmac

from service.settings import IntakeSettings, secret


def admitted(settings: IntakeSettings, authorization: str | None) -> bool:
    """Whether the `Authorization` header is good. With no credentials configured everyone is admitted."""
    bearer, password = secret(settings.bearer_file), secret(settings.basic_password_file)
    if bearer is None and password is None:
        return True
    scheme, _, shown = (authorization or "").partition(" ")
    match scheme.lower():
        case "bearer":
            return bool(bearer) and _same(shown.strip(), bearer or "")
        case "basic":
            return bool(password) and _same(_decoded(shown), f"{settings.basic_user}:{password}")
        case _:
            return False


def _decoded(shown: str) -> str:
    try:
        return base64.b64decode(shown.strip(), validate=True).decode()
    except ValueError:  # no base64, no ASCII, or no text inside
        return ""


def _same(shown: str, expected: str) -> bool:
    # aiohttp hands bytes of a header that are no UTF-8 over as surrogates, which a plain encode() refuses.
    return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), expected.encode())
