"""Alertmanager's webhook decoded: every recorded body, and everything that is none."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.intake.payload import (
    COUNT_LIMIT,
    LABEL_LIMIT,
    MAP_LIMIT,
    NAME_LIMIT,
    TEXT_LIMIT,
    Cut,
    check,
    decode,
)
from service.model.alert import Alert
from service.model.errors import BadInput
from service.model.reasons import Reason
from tests.unit.made import BODIES, body, item

RECORDED = sorted(p.name for p in BODIES.glob("*.json") if not p.name.endswith(".headers.json"))


def alerts_in(raw: bytes) -> tuple[Alert, ...]:
    """The good alerts; BadInput when there is none among bad ones."""
    check(raw)
    return tuple(alert for part in decode(raw) for alert in part.alerts)


def taken(*alerts: dict[str, Any], **more: Any) -> tuple[Alert, ...]:
    return alerts_in(json.dumps(body(alerts, **more)).encode())


def refused(raw: bytes) -> BadInput:
    with pytest.raises(BadInput) as caught:
        check(raw)
    return caught.value


def test_bodies_of_a_real_alertmanager_are_recorded() -> None:
    assert len(RECORDED) >= 14


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_body_decodes_to_its_own_alerts(name: str) -> None:
    raw = (BODIES / name).read_bytes()
    told = json.loads(raw)
    alerts = alerts_in(raw)
    assert check(raw).truncated == told["truncatedAlerts"]
    assert check(raw).receiver == told["receiver"]
    assert [a.fingerprint for a in alerts] == [a["fingerprint"] for a in told["alerts"]]
    assert [a.status.value for a in alerts] == [a["status"] for a in told["alerts"]]
    assert [dict(a.labels) for a in alerts] == [a["labels"] for a in told["alerts"]]
    assert [a.starts_at for a in alerts] == [
        datetime.fromisoformat(a["startsAt"]) for a in told["alerts"]
    ]
    for alert, said in zip(alerts, told["alerts"], strict=True):
        over = said["status"] == "resolved"
        assert alert.ends_at == (datetime.fromisoformat(said["endsAt"]) if over else None)


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        pytest.param("am025_grouped_firing.json", ["firing"] * 3, id="all firing"),
        pytest.param(
            "am025_grouped_partial_resolved.json",
            ["resolved", "firing", "firing"],
            id="firing with one resolved",
        ),
        pytest.param("am025_grouped_all_resolved.json", ["resolved"] * 2, id="all resolved"),
        pytest.param(
            "prom242_am025_04_kafka_firing.json", ["resolved", "firing"], id="of prometheus"
        ),
    ],
)
def test_the_status_is_each_alerts_own(name: str, statuses: list[str]) -> None:
    assert [a.status for a in alerts_in((BODIES / name).read_bytes())] == statuses


def test_alerts_cut_off_by_max_alerts_are_counted() -> None:
    assert check((BODIES / "am025_max_alerts_truncated.json").read_bytes()).truncated == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "2026-11-23T17:19:57Z", datetime(2026, 11, 23, 17, 19, 57, tzinfo=UTC), id="no fraction"
        ),
        pytest.param(
            "2026-11-23T17:19:57.123456789Z",
            datetime(2026, 11, 23, 17, 19, 57, 123456, tzinfo=UTC),
            id="nine digits are cut",
        ),
        pytest.param(
            "2026-11-23T17:19:57.999999999Z",
            datetime(2026, 11, 23, 17, 19, 57, 999999, tzinfo=UTC),
            id="and not rounded",
        ),
        pytest.param(
            "2026-11-23T17:19:57.6+05:30",
            datetime(2026, 11, 23, 11, 49, 57, 600000, tzinfo=UTC),
            id="another zone becomes UTC",
        ),
        pytest.param(
            "2026-11-23T17:19:57.123456789-08:00",
            datetime(2026, 11, 24, 1, 19, 57, 123456, tzinfo=UTC),
            id="nine digits in another zone",
        ),
        pytest.param(
            "0001-01-01T00:00:00+14:00",
            datetime(1, 1, 1, tzinfo=UTC),
            id="the zero time east of us",
        ),
        pytest.param(
            "9999-12-31T23:59:59-12:00",
            datetime.max.replace(tzinfo=UTC),
            id="the end of time west of us",
        ),
    ],
)
def test_an_instant_is_read_as_utc(text: str, expected: datetime) -> None:
    (alert,) = taken(item(starts_at=text))
    assert alert.starts_at == expected
    assert alert.starts_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("status", "ends_at", "expected"),
    [
        pytest.param("firing", "0001-01-01T00:00:00Z", None, id="the zero time of one that fires"),
        pytest.param(
            "resolved", "0001-01-01T00:00:00Z", None, id="the zero time of one that is resolved"
        ),
        pytest.param(
            "firing",
            "2026-01-01T00:05:00Z",
            None,
            id="the expected end of one that fires is no end",
        ),
        pytest.param(
            "resolved", "2026-01-01T00:05:00Z", datetime(2026, 1, 1, 0, 5, tzinfo=UTC), id="the end"
        ),
    ],
)
def test_an_end_is_known_only_of_what_has_ended(
    status: str, ends_at: str, expected: datetime | None
) -> None:
    assert taken(item(status=status, ends_at=ends_at))[0].ends_at == expected


def test_unknown_fields_are_ignored_wherever_they_stand() -> None:
    webhook = taken(
        item(silencedBy=["x"], matchers={"a": 1}), notificationReason="repeat", extra={"deep": [1]}
    )
    assert len(webhook) == 1


def test_fields_that_are_not_used_may_be_missing() -> None:
    raw = {
        "version": "4",
        "alerts": [{k: v for k, v in item().items() if k not in ("annotations", "generatorURL")}],
    }
    assert alerts_in(json.dumps(raw).encode())[0].annotations == {}


@pytest.mark.parametrize(
    ("raw", "reason", "told"),
    [
        pytest.param(b"", Reason.NOT_JSON, "JSON", id="empty"),
        pytest.param(b"{", Reason.NOT_JSON, "JSON", id="cut short"),
        pytest.param(b"\xff\xfe", Reason.NOT_JSON, "JSON", id="no text"),
        pytest.param(b"[" * 100_000, Reason.NOT_JSON, "recursion", id="nested without end"),
        pytest.param(b"[]", Reason.WRONG_SHAPE, "body", id="a list"),
        pytest.param(b"null", Reason.WRONG_SHAPE, "body", id="null"),
        pytest.param(b'{"version": "4"}', Reason.WRONG_SHAPE, "alerts", id="no alerts"),
        pytest.param(b'{"version": 4, "alerts": []}', Reason.WRONG_SHAPE, "version", id="a number as version"),
        pytest.param(
            b'{"text": "hello", "channel": "#ops"}', Reason.WRONG_SHAPE, "custom `payload`", id="a custom payload"
        ),
        pytest.param(b'{"version": "5", "alerts": []}', Reason.WRONG_VERSION, "'5'", id="another version"),
        pytest.param(
            json.dumps(body([item(starts_at="yesterday")])).encode(),
            Reason.WRONG_SHAPE,
            "alerts.0.startsAt",
            id="a time that is none",
        ),
        pytest.param(
            json.dumps(body([item(starts_at="2026-01-01T00:00:00")])).encode(),
            Reason.WRONG_SHAPE,
            "alerts.0.startsAt",
            id="a time without a zone",
        ),
        pytest.param(
            json.dumps(body([item(status="pending"), item(status="")])).encode(),
            Reason.WRONG_SHAPE,
            "alerts.0.status",
            id="an unknown status",
        ),
        pytest.param(
            json.dumps(body([item("")])).encode(), Reason.WRONG_SHAPE, "alerts.0.fingerprint", id="no fingerprint"
        ),
        pytest.param(
            json.dumps(body([item(labels={"a": 1})])).encode(),  # type: ignore[dict-item]
            Reason.WRONG_SHAPE,
            "alerts.0.labels.a",
            id="a label that is no text",
        ),
        pytest.param(
            json.dumps(body([], truncatedAlerts=COUNT_LIMIT + 1)).encode(),
            Reason.WRONG_SHAPE,
            "truncatedAlerts",
            id="more cut off than can be counted",
        ),
    ],
)  # fmt: skip
def test_what_is_no_webhook_is_bad_input_with_its_reason(
    raw: bytes, reason: Reason, told: str
) -> None:
    error = refused(raw)
    assert error.reason is reason
    assert told in error.detail


def test_nul_characters_are_replaced_everywhere_since_postgresql_takes_none() -> None:
    labels = {"alert\x00name": "a\x00b"}
    (alert,) = taken(
        item("f\x00", labels=labels, annotations={"s\x00": "\x00"}, generatorURL="u\x00")
    )
    everything = [
        alert.fingerprint, alert.generator_url, *alert.labels, *alert.labels.values(), *alert.annotations,
        *alert.annotations.values(),
    ]  # fmt: skip
    assert not any("\x00" in text for text in everything)
    assert alert.labels == {"alert�name": "a�b"}


def test_nul_characters_are_replaced_in_what_is_told_of_a_bad_body() -> None:
    assert "\x00" not in refused(json.dumps(body([item(labels={"a\x00": 1})])).encode()).detail  # type: ignore[dict-item]


def test_texts_are_bounded_once_for_all_who_read_them() -> None:
    labels = {f"l{n}{'x' * 500}": "y" * 5_000 for n in range(300)}
    (alert,) = taken(
        item(labels=labels, annotations={"a": "z" * 100_000}, generatorURL="u" * 100_000)
    )
    assert len(alert.labels) == MAP_LIMIT
    assert {len(name) for name in alert.labels} == {NAME_LIMIT}
    assert {len(value) for value in alert.labels.values()} == {LABEL_LIMIT}
    assert len(alert.annotations["a"]) == TEXT_LIMIT
    assert len(alert.generator_url) == TEXT_LIMIT


def test_what_is_told_of_a_bad_body_is_bounded() -> None:
    assert len(refused(json.dumps(body([item(labels={"x" * 10**6: 1})])).encode()).detail) < 2_000  # type: ignore[dict-item]


def test_a_body_of_nothing_but_mistakes_is_judged_by_the_first_of_them() -> None:
    # An error a mistake would take 600 bytes for each of the body's: 16 GB for the largest body.
    raw = b'{"version": "4", "alerts": [' + b",".join([b"0"] * 100_000) + b"]}"
    assert "more)" not in refused(raw).detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_raise_nothing_but_bad_input(raw: bytes) -> None:
    assert refused(raw).reason in (Reason.NOT_JSON, Reason.WRONG_SHAPE, Reason.WRONG_VERSION)


@given(
    st.fixed_dictionaries(
        {"version": st.just("4") | JSON, "alerts": JSON | st.lists(st.fixed_dictionaries({}, optional={
            "status": st.sampled_from(["firing", "resolved"]) | JSON,
            "labels": st.dictionaries(st.text(), st.text(), max_size=3) | JSON,
            "annotations": JSON,
            "startsAt": st.datetimes(timezones=st.timezones()).map(str) | st.text("0123456789-:.TZ+", max_size=30)
            | JSON,
            "endsAt": st.datetimes().map(lambda d: d.isoformat() + "Z") | JSON,
            "fingerprint": st.text(max_size=70) | JSON,
            "generatorURL": JSON,
        }), max_size=3)},
        optional={"truncatedAlerts": JSON, "receiver": JSON, "groupKey": JSON},
    )
)  # fmt: skip
def test_anything_that_looks_like_a_webhook_is_decoded_or_bad_input(value: dict[str, Any]) -> None:
    try:
        webhook = alerts_in(json.dumps(value).encode())
    except BadInput:
        return
    for alert in webhook:
        assert alert.starts_at.utcoffset() == timedelta(0)
        assert alert.ends_at is None or alert.ends_at.utcoffset() == timedelta(0)
        assert 0 < len(alert.fingerprint) <= 64


@given(
    st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)),  # noqa: DTZ001
    st.integers(0, 999_999_999),
    st.sampled_from(["Z", "+00:00", "-12:00", "+14:00", "+05:45"]),
)
def test_any_instant_that_go_can_write_is_read(moment: datetime, nanos: int, zone: str) -> None:
    fraction = f"{nanos:09d}".rstrip("0")
    text = f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}{'.' + fraction if fraction else ''}{zone}"
    assert taken(item(starts_at=text))[0].starts_at.utcoffset() == timedelta(0)


# ---------------------------------------- one bad alert among good ones


BAD = {
    "status": "firing",
    "labels": {"a": 1},
    "startsAt": "2026-01-01T00:00:00Z",
    "fingerprint": "b",
}


def test_one_bad_alert_does_not_take_the_good_ones_with_it() -> None:
    raw = json.dumps(body([item("f1"), BAD, item("f2")])).encode()
    assert check(raw)[:2] == (2, 1)
    (part,) = decode(raw)
    assert [alert.fingerprint for alert in part.alerts] == ["f1", "f2"]
    ((text, told, reason),) = part.bad
    assert json.loads(text) == BAD
    assert (told[:17], reason) == ("alerts.1.labels.a", Reason.WRONG_SHAPE)


def test_a_webhook_of_bad_alerts_only_is_bad_input() -> None:
    assert "alerts.0.labels.a" in refused(json.dumps(body([BAD, BAD])).encode()).detail


# ---------------------------------------------------------------------- in parts

SMALL = Cut(whole=0, part=1)  # everything is cut, after each alert
WHOLE = Cut()


def outcome(raw: bytes, cut: Cut = WHOLE) -> tuple[object, ...]:
    """All that decoding says."""
    try:
        checked = check(raw, cut)
        parts = list(decode(raw, 0, cut))
    except BadInput as error:
        return (error.reason,)
    good = [alert for part in parts for alert in part.alerts]
    return checked, good, [json.loads(bad.body) for part in parts for bad in part.bad]


TRICKY = [
    pytest.param(b'{"version":"4","alerts":[{} {}]}', id="no comma"),
    pytest.param(b'{"version":"4","alerts":[{},]}', id="a comma at the end"),
    pytest.param(b'{"version":"4","alerts":[,{}]}', id="a comma at the start"),
    pytest.param(b'{"version":"4","alerts":[{},,{}]}', id="two commas"),
    pytest.param(b'{"version":"4","alerts":[{}, 5, {}]}', id="a number between"),
    pytest.param(b'{"version":"4","alerts":[{}]]}', id="a bracket too many"),
    pytest.param(b'{"version":"4","alerts":[{]}', id="a bracket too few"),
    pytest.param(b'{"version":"4","alerts":[]}', id="none"),
    pytest.param(b'{"version":"4","alerts":[ ] }', id="none and a blank"),
    pytest.param(b'{"version":"4","alerts":[{}]', id="cut short"),
    pytest.param(b'{"version":"4","alerts":[{"a":"]}"}]}', id="brackets in a text"),
    pytest.param(rb'{"version":"4","alerts":[{"a":"\"]}"}]}', id="an escaped quote in a text"),
    pytest.param(rb'{"version":"4","al\u0065rts":[{}]}', id="the key escaped"),
    pytest.param(b'{"version":"4","x":{"alerts":[1]},"alerts":[{}]}', id="another alerts deeper"),
    pytest.param(b'{"version":"4","alerts":{"alerts":[1]}}', id="a map"),
    pytest.param(b'[{"version":"4","alerts":[{}]}]', id="a list around it"),
    pytest.param(b'{"version":"4","alerts":[{}]} {}', id="something behind it"),
]


@pytest.mark.parametrize("raw", TRICKY)
def test_cut_or_whole_the_same_is_json(raw: bytes) -> None:
    assert outcome(raw, SMALL) == outcome(raw)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"status": st.sampled_from(["firing", "resolved", "x"]),
             "labels": st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3),
             "startsAt": st.just("2026-01-01T00:00:00Z"), "fingerprint": st.text(max_size=4)},
            optional={"more": JSON},
        ),
        max_size=6,
    ),
    st.integers(1, 300),
    st.booleans(),
)  # fmt: skip
def test_cut_or_whole_the_same_alerts_are_good(
    alerts: list[dict[str, Any]], part: int, ascii_only: bool
) -> None:
    raw = json.dumps(body(alerts, extra={"alerts": [1]}), ensure_ascii=ascii_only).encode(
        errors="surrogatepass"
    )
    assert outcome(raw, Cut(0, part)) == outcome(raw)


@pytest.mark.parametrize("skip", range(8))
def test_what_is_skipped_is_skipped_wherever_the_cuts_are(skip: int) -> None:
    raw = json.dumps(body([BAD if n == 3 else item(f"f{n}") for n in range(7)])).encode()
    for size in (1, 400, 10_000):
        parts = list(decode(raw, skip, Cut(0, size)))
        names = [alert.fingerprint for part in parts for alert in part.alerts]
        assert names == [f"f{n}" for n in range(skip, 7) if n != 3]
        assert sum(part.count for part in parts) == max(0, 7 - skip)
        assert all(b.detail.startswith("alerts.3.") for part in parts for b in part.bad)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(
            json.dumps(body([item(annotations={"a": "x" * 3_000_000})])).encode(),
            Reason.TOO_LARGE, id="one alert of 3 MB",
        ),
        pytest.param(
            json.dumps(body([item()], more="x" * 3_000_000)).encode(), Reason.TOO_LARGE,
            id="3 MB beside the alerts",
        ),
        pytest.param(
            b'{"version": "4", "alerts": 1, "x": "%s"}' % (b"x" * 3_000_000), Reason.WRONG_SHAPE,
            id="3 MB without an array of alerts",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_small_is_bad_input(raw: bytes, reason: Reason) -> None:
    assert refused(raw).reason is reason
