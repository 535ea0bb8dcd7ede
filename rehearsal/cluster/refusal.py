"""Every way to say no, as the server words it: an HTTP code, a reason, a message, details.

Raised anywhere below the HTTP layer, turned into an answer by `server`.
Never here: the decision to refuse.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rehearsal.cluster.objects import Object
from rehearsal.cluster.resources import Resource


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of details.causes, which is also one clause of the message."""

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class Refusal(Exception):
    """An answer that is not 2xx. `body` is a Status, or plain text where the
    server does not speak JSON.
    """

    def __init__(
        self, code: int, body: Object | str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, body)
        self.code = code
        self.body = body
        self.headers = dict(headers or {})


@dataclass(slots=True)
class _Status:
    code: int
    reason: str | None
    message: str
    details: Object | None = None
    metadata: Object = field(default_factory=dict)

    def refusal(self, headers: Mapping[str, str] | None = None) -> Refusal:
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason is not None:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        return Refusal(self.code, body | {"code": self.code}, headers)


def about(resource: Resource, name: str = "") -> Object:
    """details that name a resource: group is left out for the core group, name when there is
    none.
    """
    details: Object = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    return details | {"kind": resource.plural}


def not_found(resource: Resource, name: str) -> Refusal:
    return _Status(
        404, "NotFound", f'{resource.qualified} "{name}" not found', about(resource, name)
    ).refusal()


def unknown_resource() -> Refusal:
    return _Status(
        404, "NotFound", "the server could not find the requested resource", {}
    ).refusal()


def page_not_found() -> Refusal:
    return Refusal(404, "404 page not found\n")


def already_exists(resource: Resource, name: str) -> Refusal:
    message = f'{resource.qualified} "{name}" already exists'
    return _Status(409, "AlreadyExists", message, about(resource, name)).refusal()


def conflict(resource: Resource, name: str) -> Refusal:
    message = (
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return _Status(409, "Conflict", message, about(resource, name)).refusal()


def apply_conflict(what: str, causes: Sequence[Cause]) -> Refusal:
    """409 of a server-side apply: it names fields and managers, and neither kind nor object."""
    message = f"Apply failed with {what}"
    return _Status(409, "Conflict", message, _with_causes({}, causes)).refusal()


def no_such_uid(resource: Resource, name: str, uid: str) -> Refusal:
    """409: an apply that names a uid does not make a missing object anew."""
    message = (
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": uid mismatch: the provided object '
        f"specified uid {uid}, and no existing object was found"
    )
    return _Status(409, "Conflict", message, about(resource, name)).refusal()


def uid_precondition(
    resource: Resource, name: str, wanted: str, found: str, *, subresource: str = "", key: str = ""
) -> Refusal:
    """409 from the storage: a /scale names the subresource, a replace the key in etcd."""
    plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
    qualified = f"{plural}.{resource.group}" if resource.group else plural
    why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    if key:
        why = (
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: {why}"
        )
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return _Status(409, "Conflict", message, about(resource, name) | {"kind": plural}).refusal()


def precondition_failed(
    resource: Resource, name: str, what: str, wanted: str, found: str
) -> Refusal:
    tail = (
        "The object might have been deleted and then recreated"
        if what == "UID"
        else "The object might have been modified"
    )
    subject = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    message = (
        f'Operation cannot be fulfilled on {subject} "{name}": the {what} in the precondition ({wanted}) '
        f"does not match the {what} in record ({found}). {tail}"
    )
    details = about(resource, name) | {"kind": resource.kind}
    return _Status(409, "Conflict", message, details).refusal()


def bad_request(message: str) -> Refusal:
    return _Status(400, "BadRequest", message).refusal()


def unauthorized() -> Refusal:
    return _Status(401, "Unauthorized", "Unauthorized").refusal()


def forbidden(resource: Resource, name: str, why: str, causes: Sequence[Cause] = ()) -> Refusal:
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    return _Status(
        403,
        "Forbidden",
        f"{subject} is forbidden: {why}",
        _with_causes(about(resource, name), causes),
    ).refusal()


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> Refusal:
    """422: the message has one clause a cause, in brackets when there are
    several; the same words once.
    """
    words = list(dict.fromkeys(map(str, causes)))
    clauses = words[0] if len(words) == 1 else "[" + ", ".join(words) + "]"
    details: Object = {"name": name} if name else {}
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    subject = f"{kind}.{group}" if group else kind
    return _Status(
        422, "Invalid", f'{subject} "{name}" is invalid: {clauses}', _with_causes(details, causes)
    ).refusal()


def invalid_object(resource: Resource, name: str, causes: Sequence[Cause]) -> Refusal:
    return invalid(resource.kind, resource.group, name, causes)


def invalid_patch(quoted: str, problem: str) -> Refusal:
    """422 about the patch itself: the server names neither kind nor object,
    and quotes what it could not read.
    """
    return invalid(
        "", "", "", [Cause("FieldValueInvalid", "patch", f"Invalid value: {quoted}: {problem}")]
    )


def patch_rejected() -> Refusal:
    """Any failure inside a JSON patch: one fixed sentence, no causes."""
    return _Status(
        422, "Invalid", "the server rejected our request due to an error in our request", {}
    ).refusal()


def unsupported_media_type(accepted: Sequence[str] = ()) -> Refusal:
    if accepted:
        message = (
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(accepted)
        )
        return _Status(415, "UnsupportedMediaType", message).refusal()
    return _Status(415, "UnsupportedMediaType", "415: Unsupported Media Type", {}).refusal()


def server_error(message: str) -> Refusal:
    """500 without a reason, as a patch that names no merge key gets."""
    return _Status(500, None, message).refusal()


def expired(message: str, fresh_token: str = "") -> Refusal:
    return _Status(
        410, "Expired", message, metadata={"continue": fresh_token} if fresh_token else {}
    ).refusal()


def too_large_version(asked: int, current: int) -> Refusal:
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return _Status(504, "Timeout", message, details).refusal({"Retry-After": "1"})


def not_emulated(what: str) -> Refusal:
    """501: the honest answer to what the real server can do and this one cannot."""
    return _Status(
        501, "NotImplemented", f"this emulator of Kubernetes does not emulate {what}"
    ).refusal()


def _with_causes(details: Object, causes: Sequence[Cause]) -> Object:
    if causes:
        details["causes"] = [
            {"reason": cause.reason, "message": cause.message, "field": cause.field}
            for cause in causes
        ]
    return details
