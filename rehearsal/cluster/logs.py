"""What containers wrote, and GET pods/NAME/log with its refusals.

Never here: when a container starts or dies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rehearsal.cluster import refusal
from rehearsal.cluster.objects import Object, name_of, parse_stamp, uid_of
from rehearsal.cluster.refusal import Cause
from rehearsal.cluster.routing import flag, number

Line = tuple[datetime, str]


@dataclass(slots=True)
class _Book:
    current: list[Line] = field(default_factory=list)
    previous: list[Line] | None = None
    dead: bool = False  # the current run is over and no new one has begun


class Logs:
    """By pod uid and container name."""

    def __init__(self) -> None:
        self._books: dict[tuple[str, str], _Book] = {}

    def add(self, pod: Object, container: str, at: datetime, text: str) -> None:
        self._book(pod, container).current.append((at, text))

    def ended(self, pod: Object, container: str) -> None:
        """From now on `previous` is this run too: in a crash loop both give the same text."""
        book = self._book(pod, container)
        book.previous, book.dead = book.current, True

    def began(self, pod: Object, container: str) -> None:
        book = self._book(pod, container)
        if book.dead:
            book.current, book.dead = [], False

    def forget(self, pod: Object) -> None:
        for key in [key for key in self._books if key[0] == uid_of(pod)]:
            del self._books[key]

    def _book(self, pod: Object, container: str) -> _Book:
        return self._books.setdefault((uid_of(pod), container), _Book())

    def read(self, pod: Object, query: Mapping[str, str], now: datetime) -> bytes | None:
        """Text, or None where the server says 204: a pod that is on no node."""
        if flag(query.get("follow", "")):
            raise refusal.not_emulated("following a log")
        for name in ("tailLines", "limitBytes", "sinceSeconds"):
            asked = number(query, name)
            if asked is not None and asked < 0:
                why = f"Invalid value: {asked}: must be greater than or equal to 0"
                raise refusal.invalid(
                    "PodLogOptions", "", name_of(pod), [Cause("FieldValueInvalid", name, why)]
                )
        container = _container(pod, query.get("container", ""))
        if not pod["spec"].get("nodeName"):
            return None
        previous = flag(query.get("previous", ""))
        lines = self._lines(pod, container, previous=previous)
        return _text(lines, query, now)

    def _lines(self, pod: Object, container: str, *, previous: bool) -> list[Line]:
        status: Object = next(
            (
                entry
                for entry in pod.get("status", {}).get("containerStatuses", [])
                if entry["name"] == container
            ),
            {},
        )
        book = self._book(pod, container)
        waiting = status.get("state", {}).get("waiting")
        if previous:
            if book.previous is None:
                raise refusal.bad_request(
                    f'previous terminated container "{container}" in pod "{name_of(pod)}" not found'
                )
            return book.previous
        if waiting is not None and not status.get("lastState"):
            reason = waiting.get("reason", "")
            why = (
                "trying and failing to pull image"
                if reason in {"ErrImagePull", "ImagePullBackOff"}
                else reason
            )
            raise refusal.bad_request(
                f'container "{container}" in pod "{name_of(pod)}" is waiting to start: {why}'
            )
        return book.current or _first_lines(pod, container, status)


def _first_lines(pod: Object, container: str, status: Object) -> list[Line]:
    """A seeded container that nobody wrote for says at least that it started."""
    started = status.get("state", {}).get("running", {}).get("startedAt")
    return starting_lines(pod, container, parse_stamp(started)) if started else []


def starting_lines(pod: Object, container: str, at: datetime) -> list[Line]:
    image = next(
        (
            entry.get("image", "")
            for entry in pod["spec"]["containers"]
            if entry["name"] == container
        ),
        "",
    )
    version = image.rpartition(":")[2]
    texts = (f"starting version {version}", "configuration loaded", "listening", "ready")
    return [
        line(at + timedelta(milliseconds=90 * index), container, text)
        for index, text in enumerate(texts)
    ]


def line(at: datetime, container: str, text: str) -> Line:
    moment = at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
    return at, f"{moment} INFO  [{container}] {text}"


def _container(pod: Object, asked: str) -> str:
    names = [container["name"] for container in pod["spec"]["containers"]]
    if asked and asked not in names:
        raise refusal.bad_request(f"container {asked} is not valid for pod {name_of(pod)}")
    if not asked and len(names) > 1:
        raise refusal.bad_request(
            f"a container name must be specified for pod {name_of(pod)}, choose one of: [{' '.join(names)}]"
        )
    return asked or names[0]


def _text(lines: list[Line], query: Mapping[str, str], now: datetime) -> bytes:
    if "sinceSeconds" in query:
        lines = [
            entry
            for entry in lines
            if entry[0] >= now - timedelta(seconds=int(query["sinceSeconds"]))
        ]
    if "sinceTime" in query:
        lines = [entry for entry in lines if entry[0] >= parse_stamp(query["sinceTime"])]
    if "tailLines" in query:
        wanted = int(query["tailLines"])
        lines = lines[-wanted:] if wanted else []
    stamped = flag(query.get("timestamps", ""))
    text = "".join(
        f"{at:%Y-%m-%dT%H:%M:%S.%f}000Z {content}\n" if stamped else f"{content}\n"
        for at, content in lines
    ).encode()
    return text[: int(query["limitBytes"])] if "limitBytes" in query else text
