"""TLS of the port, and the certificates that clients have to show."""

import ssl

from service.model.errors import BadConfig
from service.settings import IntakeSettings


def context(settings: IntakeSettings) -> ssl.SSLContext | None:
    """The server's side of TLS; None where it is not configured. Raises BadConfig."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    try:
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=settings.tls_client_ca)
        made.load_cert_chain(settings.tls_cert, settings.tls_key)
    except OSError as error:  # ssl.SSLError is one
        named = (settings.tls_cert, settings.tls_key, settings.tls_client_ca)
        files = ", ".join(str(f) for f in named if f)
        raise BadConfig(
            f"intake: {files}: {error}; each has to be PEM, and the key that of the certificate"
        ) from error
    if settings.tls_client_ca:
        made.verify_mode = ssl.CERT_REQUIRED
    return made
