"""Draws a dashboard's panels as SVG from a Prometheus' answers. It resembles Grafana,
and is not a screenshot.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from itertools import pairwise

from rehearsal.dashboards import Dashboard, Panel

CELL_W, CELL_H, GAP, HEAD = 42, 30, 6, 56
COLOURS = (
    "#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#37872d", "#fa6400", "#c0d8ff",
)  # fmt: skip
NOTE = "Drawn by tests/dashboards from the dashboard's own queries over a rehearsed night; no screenshot of Grafana."


@dataclass(frozen=True)
class Series:
    """One line of a panel: (seconds since 1970, value)."""

    name: str
    points: Sequence[tuple[float, float]]


def draw(
    dashboard: Dashboard,
    answers: Mapping[str, Sequence[Series]],
    begin: datetime,
    end: datetime,
) -> str:
    """The whole dashboard over a time; `answers` by the panel's title."""
    span = (begin.timestamp(), end.timestamp())
    placed, height = _places(dashboard.panels)
    width = 24 * CELL_W + 2 * GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#111217"/>',
        _text(12, 24, dashboard.title, 17, "#e0e0e8"),
        _text(12, 44, NOTE, 11, "#9a9aa8"),
    ]
    for panel, x, y in placed:
        parts.append(_panel(panel, x, y, answers.get(panel.title, ()), span))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _places(panels: Sequence[Panel]) -> tuple[list[tuple[Panel, float, float]], float]:
    placed: list[tuple[Panel, float, float]] = []
    x = y = row = 0
    for panel in panels:
        if x + panel.width > 24:
            x, y, row = 0, y + row, 0
        placed.append((panel, GAP + x * CELL_W, HEAD + y * CELL_H))
        x, row = x + panel.width, max(row, panel.height)
    return placed, HEAD + (y + row) * CELL_H + GAP


def _panel(
    panel: Panel, x: float, y: float, series: Sequence[Series], span: tuple[float, float]
) -> str:
    w, h = panel.width * CELL_W - GAP, panel.height * CELL_H - GAP
    if panel.kind == "timeseries":
        inside = _lines(panel, w, h, series, span)
    else:
        inside = (_stat if panel.kind == "stat" else _bars)(panel, w, h, series)
    if not series:
        inside = _text(w / 2, h / 2 + 8, "no data", 13, "#9a9aa8", "middle")
    return (
        f'<g transform="translate({x:.0f} {y:.0f})">'
        f'<rect width="{w}" height="{h}" rx="3" fill="#181b1f" stroke="#2a2d33"/>'
        f"{_text(9, 18, panel.title, 12, '#d0d0d8')}{inside}</g>"
    )


def _stat(panel: Panel, w: float, h: float, series: Sequence[Series]) -> str:
    first = series[0] if series else Series("", [])
    named = "{{" in panel.queries[0].legend
    value = first.points[-1][1] if first.points else float("nan")
    text = first.name if named else shown(value, panel.unit)
    size = 30 if not named else 17 if len(text) < 20 else 13
    return _text(w / 2, h / 2 + 18, text, size, "#73bf69", "middle")


def _bars(panel: Panel, w: float, h: float, series: Sequence[Series]) -> str:
    told = sorted(series, key=lambda s: -s.points[-1][1])[:10]
    most = max((s.points[-1][1] for s in told), default=1.0) or 1.0
    step = min(24.0, (h - 34) / max(1, len(told)))
    parts = []
    for number, one in enumerate(told):
        value, top = one.points[-1][1], 30 + number * step
        bar = max(1.0, (w * 0.42) * value / most)
        parts.append(
            f'<rect x="{w * 0.5:.0f}" y="{top:.1f}" width="{bar:.1f}" height="{step * 0.7:.1f}"'
            f' fill="{COLOURS[number % len(COLOURS)]}"/>'
        )
        parts.append(_text(w * 0.49, top + step * 0.55, one.name[:58], 10, "#c8c8d0", "end"))
        parts.append(
            _text(w * 0.5 + bar + 5, top + step * 0.55, shown(value, panel.unit), 10, "#e0e0e8")
        )
    return "".join(parts)


def _lines(
    panel: Panel, w: float, h: float, series: Sequence[Series], span: tuple[float, float]
) -> str:
    left, right, top, bottom = 46.0, w - 10, 30.0, h - 44
    points = [point for one in series for point in one.points]
    if not points:
        return ""
    begin, end = span
    most = max((value for _, value in points), default=1.0) or 1.0

    def place(at: float, value: float) -> tuple[float, float]:
        along = (at - begin) / ((end - begin) or 1)
        return left + along * (right - left), bottom - value / most * (bottom - top)

    parts = []
    for share in (0.0, 0.5, 1.0):
        _, level = place(begin, most * share)
        parts.append(f'<path d="M{left} {level:.1f}H{right:.1f}" stroke="#2a2d33"/>')
        parts.append(
            _text(left - 5, level + 3, shown(most * share, panel.unit), 9, "#9a9aa8", "end")
        )
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = begin + share * (end - begin)
        told = f"{datetime.fromtimestamp(at, UTC):%H:%M}"
        parts.append(_text(place(at, 0)[0], bottom + 13, told, 9, "#9a9aa8", "middle"))
    columns = 3 if max(len(one.name) for one in series) < w / 20 else 2
    for number, one in enumerate(series[:10]):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(
            f'<path d="{_path(one, place)}" fill="none" stroke="{colour}" stroke-width="1.4"/>'
        )
        x, y = 12 + (number % columns) * (w - 20) / columns, h - 24 + (number // columns) * 11
        if number < 2 * columns:
            parts.append(
                f'<rect x="{x:.0f}" y="{y - 6:.0f}" width="9" height="3" fill="{colour}"/>'
            )
            parts.append(_text(x + 13, y, one.name[: int(w / columns / 5.4)], 9, "#c8c8d0"))
    return "".join(parts)


def _path(one: Series, place: Callable[[float, float], tuple[float, float]]) -> str:
    """A line that breaks where samples are missing."""
    steps = [later - sooner for (sooner, _), (later, _) in pairwise(one.points)]
    gap = min(steps, default=0.0) * 1.5
    told: list[str] = []
    before: float | None = None
    for at, value in one.points:
        x, y = place(at, value)
        pen = "M" if before is None or at - before > gap else "L"
        told.append(f"{pen}{x:.1f} {y:.1f}")
        before = at
    return "".join(told)


def shown(value: float, unit: str) -> str:
    """A number as a person reads it."""
    if value != value:
        return "-"
    if unit == "percentunit":
        return f"{value:.0%}"
    if unit == "s" and 0 < value < 1:
        return f"{value * 1000:.3g} ms"
    if unit == "s" and value >= 120:
        return f"{value / 60:.3g} min"
    return f"{value:.3g}" + (" s" if unit == "s" else "/s" if unit == "reqps" else "")


def _text(x: float, y: float, text: str, size: int, colour: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
