"""The audit keys: a file with a secret a line, the newest first.
The first one chains, the others only verify.

A key's id is made from its secret, so no two keys can share one,
and a file needs nothing but secrets.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.model.errors import BadConfig
from service.settings import secret

_SHORTEST = 32


@dataclass(frozen=True, slots=True)
class Key:
    """A secret and its id. Its repr shows no secret."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.id})"


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys, the newest first."""

    keys: Sequence[Key]

    @property
    def current(self) -> Key:
        return self.keys[0]

    def rank(self, key_id: str) -> int | None:
        """How many newer keys there are; None for a key that is not ours."""
        return next((n for n, key in enumerate(self.keys) if key.id == key_id), None)


def read(path: Path) -> Keys:
    """The keys of a file. Raises BadConfig, or Unavailable when the file cannot be read now."""
    secrets = [line.strip() for line in (secret(path) or "").splitlines() if line.strip()]
    if not secrets or any(len(line) < _SHORTEST for line in secrets):
        told = f"audit.key_file {path}: a secret of at least {_SHORTEST} characters a line, the newest first"
        raise BadConfig(f"{told}; make one with `openssl rand -hex 32`")
    return Keys([key_of(line) for line in secrets])


def key_of(line: str) -> Key:
    """The key of one secret."""
    raw = line.encode()
    return Key(hashlib.sha256(b"paramedic audit key " + raw).hexdigest()[:12], raw)
