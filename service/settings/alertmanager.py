"""The Alertmanagers that are asked whether an alert still fires, and told when a person is
needed.
"""

from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import NoDecode
from yarl import URL

from service.settings.fields import File, Group, listed


class AlertmanagerSettings(Group):
    """Every Alertmanager of the pair that sends to Paramedic."""

    urls: Annotated[tuple[str, ...], NoDecode, BeforeValidator(listed)] = Field(
        (),
        description="Base URLs with commas between them, all of an HA pair. Without any, Alertmanager "
        "is neither asked whether an alert still fires nor told that a person is needed.",
    )
    bearer_file: File | None = Field(None, description="File with a bearer token for them.")
    ca_file: File | None = Field(None, description="CA of their certificates (PEM).")
    keep_firing_s: float = Field(
        900.0,
        ge=30,
        description="A call for help that Paramedic does not renew for this long ends; it is renewed "
        "every third of it.",
    )

    @field_validator("urls")
    @classmethod
    def _whole(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for text in urls:
            try:
                url = URL(text)
                good = url.scheme in ("http", "https") and url.host and not url.query_string
            except ValueError:
                good = False
                url = URL()
            if not good or url.user is not None:
                # Not the value: a password may stand in it.
                raise ValueError(
                    "one is not a URL like http://host:9093/prefix, without a user in it"
                )
        return tuple(url.rstrip("/") for url in urls)
