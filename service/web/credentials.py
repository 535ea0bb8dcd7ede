"""Who is asking: a person of the people file, or a machine by Bearer, Basic,
or a client certificate (web/tls.py).

Secrets are read from their files at each request, so a rotated secret is taken up without a
restart, and compared in constant time.
"""

import base64
import hmac
from dataclasses import dataclass

from service.model.errors import BadConfig, Unavailable
from service.model.reasons import Reason
from service.settings import IntakeSettings, secret
from service.web.people import Person, Role, people, who

__all__ = ["ANYONE", "Caller", "Credentials", "Denied", "Role"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was admitted."""

    name: str
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class Denied:
    """Why somebody may not: 401 is nobody that is known, 403 somebody without the role."""

    status: int
    reason: Reason
    detail: str


_MACHINE = frozenset({Role.SEND, Role.READ})
ANYONE = Caller("anyone", _MACHINE)  # while no credentials are configured
_SENDER = Caller("anyone", frozenset({Role.SEND}))  # the same, once people have names


@dataclass(frozen=True, slots=True)
class Credentials:
    """The configured credentials."""

    settings: IntakeSettings

    @property
    def configured(self) -> bool:
        """A sender has to show something: a secret, or a certificate that TLS has already
        demanded.
        """
        mine = self.settings
        return bool(mine.bearer_file or mine.basic_password_file or mine.tls_client_ca)

    def check(self) -> None:
        """Raises BadConfig for what is wrong with the people file now, with its lines."""
        if self.settings.people_file is None:
            return
        everybody = people(self.settings.people_file)
        machine = secret(self.settings.bearer_file)
        twin = who(everybody, machine) if machine else None
        if twin is not None:
            told = f"{twin.name} has the token of `bearer_file`, and would count as a machine"
            raise BadConfig(f"{self.settings.people_file}: {told}; give each an own one")

    def caller(self, authorization: str | None) -> Caller | None:
        """Whose the `Authorization` header is; None when it is nobody's.

        Machines come first: a mistake in the people file keeps no webhook out. Raises
        Unavailable(credentials_unreadable) while a secret is being replaced.
        """
        bearer = secret(self.settings.bearer_file)
        password = secret(self.settings.basic_password_file)
        scheme, _, shown = (authorization or "").partition(" ")
        match scheme.lower():
            case "bearer" if bearer and _same(shown.strip(), bearer):
                return Caller("bearer", _MACHINE)
            case "basic" if password:
                expected = f"{self.settings.basic_user}:{password}"
                if _same(_decoded(shown), expected):
                    return Caller(self.settings.basic_user or "basic", _MACHINE)
        if self.settings.people_file is None:
            return ANYONE if bearer is None and password is None else None
        person = self._person(scheme.lower(), shown.strip())
        if person is not None:
            return Caller(person.name, person.roles)
        if bearer is None and password is None and not authorization:
            return ANYONE if self.settings.tls_client_ca else _SENDER
        return None

    def _person(self, scheme: str, shown: str) -> Person | None:
        """By `Bearer TOKEN`, or, as browsers ask, by `Basic NAME:TOKEN`."""
        name, token = None, shown
        if scheme == "basic":
            name, _, token = _decoded(shown).partition(":")
        if self.settings.people_file is None or not token:
            return None
        try:
            person = who(people(self.settings.people_file), token)
        except BadConfig as error:
            raise Unavailable(Reason.CREDENTIALS_UNREADABLE, str(error)) from error
        return person if person is not None and name in (None, person.name) else None

    def demand(self, authorization: str | None, role: Role) -> Caller | Denied:
        """Who it is, when he has the role, or why he may not. Raises as `caller` does."""
        found = self.caller(authorization)
        if found is None:
            told = "send the configured Bearer or Basic credentials"
            return Denied(401, Reason.BAD_CREDENTIALS, told)
        if role in found.roles:
            return found
        if self.settings.people_file is None:
            told = (
                f"only a named person may {role}, and none is configured: name a file of people "
                "with PARAMEDIC_INTAKE__PEOPLE_FILE"
            )
            return Denied(403, Reason.ROLE_MISSING, told)
        if found is _SENDER:
            told = "show a person's token: Authorization: Bearer TOKEN"
            return Denied(401, Reason.BAD_CREDENTIALS, told)
        told = f"{found.name} has no role `{role}` in PARAMEDIC_INTAKE__PEOPLE_FILE"
        return Denied(403, Reason.ROLE_MISSING, told)

    def admits(self, authorization: str | None, role: Role = Role.READ) -> bool:
        """Whether the header is somebody's who has the role. Raises as `caller` does."""
        return isinstance(self.demand(authorization, role), Caller)


def _decoded(shown: str) -> str:
    try:
        return base64.b64decode(shown.strip(), validate=True).decode()
    except ValueError:  # not base64, not ASCII, or no text inside
        return ""


def _same(shown: str, expected: str) -> bool:
    # aiohttp hands bytes of a header that are not UTF-8 over as surrogates,
    # which a plain encode() refuses.
    return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), expected.encode())
