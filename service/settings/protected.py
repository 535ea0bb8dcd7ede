"""What is never acted on: what is written, and what Paramedic itself stands on."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from service.settings.load import Settings

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_SERVICE = re.compile(r"[a-z0-9-]+\.([a-z0-9-]+)\.svc(\..+)?")


def protected(settings: Settings, account: Path = _ACCOUNT) -> tuple[str, ...]:
    """Patterns `NAMESPACE[/NAME]`: the setting, Paramedic's own namespace, and its store's.

    Its own is the setting's, or what its service account says. A store's host `NAME.NAMESPACE.svc`
    names its namespace; a bare NAME is in Paramedic's own.
    """
    own = settings.guard.own_namespace
    if not own and account.is_file():
        own = account.read_text().strip()
    store = _SERVICE.fullmatch(urlsplit(settings.store.url).hostname or "")
    found = (*settings.guard.protected, own, store[1] if store else "")
    return tuple(dict.fromkeys(pattern for pattern in found if pattern))
