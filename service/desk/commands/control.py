"""`paramedic mode`, `pause`, `resume`, `window`, `approvals`, `approve`, `reject`."""

import json
import urllib.parse
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

import typer

from service.desk.commands.service import URL, AsJson, TokenFile, Url, ask, fail, seconds

app = typer.Typer()
window = typer.Typer(
    help="Maintenance windows: times in which actions wait, and diagnoses and calls for help go on.",
    no_args_is_help=True,
)
app.add_typer(window, name="window")

Json: TypeAlias = Mapping[str, Any]  # Any: JSON of the API
Why = Annotated[str, typer.Option(help="Why; it stands in the record under your name.")]


@app.command(
    epilog="Examples:\n\nparamedic mode\n\n"
    "paramedic mode approve --why 'payday' --token-file ~/.paramedic-token"
)
def mode(
    ceiling: Annotated[
        str | None, typer.Argument(help="observe, dry_run, approve, veto or auto.")
    ] = None,
    why: Why = "",
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Show the ceiling over every playbook, or set it: at once, on every replica."""
    if ceiling is None:
        return _show(ask(url, token_file, "/api/v1/mode"), as_json)
    body = {"mode": ceiling, "why": _given(why)}
    return _show(ask(url, token_file, "/api/v1/mode", body), as_json)


@app.command(epilog="Example: paramedic pause --why 'storage is being moved' --for 2h")
def pause(
    why: Why = "",
    for_: Annotated[
        str | None, typer.Option("--for", help="How long: 30m, 2h, 1d. Without it until resumed.")
    ] = None,
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """The kill switch: no action from now on. Diagnoses and calls for help go on."""
    body: dict[str, Any] = {"why": _given(why)}
    if for_ is not None:
        body["for_s"] = seconds(for_)
    _show(ask(url, token_file, "/api/v1/pause", body), as_json)


@app.command(epilog="Example: paramedic resume --why 'storage is back'")
def resume(
    why: Why = "", url: Url = URL, token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """End the pause. Whatever still fires is looked at again."""
    _show(ask(url, token_file, "/api/v1/resume", {"why": _given(why)}), as_json)


@window.command("list", epilog="Example: paramedic window list --json")
def list_windows(url: Url = URL, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List the windows that are open or to come. Times are UTC."""
    found = ask(url, token_file, "/api/v1/windows")
    if as_json:
        return typer.echo(json.dumps(found, indent=2))
    lines = [_window_line(one) for one in found]
    return typer.echo("\n".join(lines) if lines else "no windows")


@window.command(
    "add",
    epilog="Examples:\n\n"
    "paramedic window add --for 2h --why 'broker upgrade' --match 'playbook=\"kafka\"'\n\n"
    "paramedic window add --from 2026-12-01T22:00:00Z --for 4h --why 'data centre move'\n\n"
    "paramedic window add --cron '0 2 * * 6' --for 2h --zone Europe/Berlin --why 'weekly patches'",
)
def add_window(
    for_: Annotated[str, typer.Option("--for", help="How long it is open: 30m, 2h.")],
    why: Why = "",
    match: Annotated[
        list[str] | None,
        typer.Option(help="A matcher as in Alertmanager; again for several. None: everything."),
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="When it opens, with its zone. Without it: now.")
    ] = None,
    cron: Annotated[
        str | None,
        typer.Option(help="When it opens again and again: MINUTE HOUR DAY MONTH WEEKDAY."),
    ] = None,
    zone: Annotated[str, typer.Option(help="The time zone of --cron.")] = "UTC",
    until: Annotated[
        str | None, typer.Option(help="With --cron: after this instant it opens no more.")
    ] = None,
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Add a maintenance window."""
    if cron is not None and from_ is not None:
        raise fail("--from is for a single window; with --cron leave it out", code=2)
    if cron is None and until is not None:
        raise fail("--until goes with --cron; a single window ends after --for", code=2)
    body: dict[str, Any] = {
        "why": _given(why),
        "match": match or [],
        "lasts_s": seconds(for_),
    }
    body |= {"cron": cron, "zone": zone, "until": until} if cron else {"starts_at": from_}
    added = ask(url, token_file, "/api/v1/windows", body)
    typer.echo(json.dumps(added, indent=2) if as_json else _window_line(added))


@window.command(
    "end", epilog="Example: paramedic window end win-20261124-203412-9f3a1c07 --why done"
)
def end_window(
    window_id: Annotated[str, typer.Argument(help="The window's id.")],
    why: Why = "",
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """End a window before its time. Whatever still fires is looked at again."""
    path = f"/api/v1/windows/{urllib.parse.quote(window_id, safe='')}/end"
    ended = ask(url, token_file, path, {"why": _given(why)})
    typer.echo(json.dumps(ended, indent=2) if as_json else f"{window_id} has ended")


@app.command(epilog="Examples:\n\nparamedic approvals\n\nparamedic approvals --all --json")
def approvals(
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """List the proposals that wait for a person's word, with what they would change."""
    found = ask(url, token_file, f"/api/v1/approvals{'?all=1' if every else ''}")
    if as_json:
        return typer.echo(json.dumps(found, indent=2))
    lines = [line for one in found for line in _proposal_lines(one)]
    return typer.echo("\n".join(lines) if lines else "nothing waits for a word")


@app.command(epilog="Example: paramedic approve app-20261124-203412-9f3a1c07 --why 'seen it, go'")
def approve(
    approval: Annotated[str, typer.Argument(help="The proposal's id.")],
    why: Why = "",
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Say yes. It is looked at once more, and done if it still is what was proposed."""
    _answer("approve", approval, why, url, token_file, as_json)


@app.command(epilog="Example: paramedic reject app-20261124-203412-9f3a1c07 --why 'not on payday'")
def reject(
    approval: Annotated[str, typer.Argument(help="The proposal's id.")],
    why: Why = "",
    url: Url = URL,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Say no. The incident goes to a person."""
    _answer("reject", approval, why, url, token_file, as_json)


def _answer(
    answer: str, approval: str, why: str, url: str, token_file: TokenFile, as_json: bool
) -> None:
    path = f"/api/v1/approvals/{urllib.parse.quote(approval, safe='')}/{answer}"
    said = ask(url, token_file, path, {"why": _given(why)})
    if as_json:
        return typer.echo(json.dumps(said, indent=2))
    if said["state"] == "pending":
        told = f"{approval}: {said['asked_by']} asks for it; a second person has to say yes"
        return typer.echo(told)
    return typer.echo(f"{approval}: {said['state']} by {said['by']}: {said['action']}")


def _given(why: str) -> str:
    if not why.strip():
        raise fail("say why: --why '...'; it stands in the record under your name", code=2)
    return why


def _show(found: Json, as_json: bool) -> None:
    if as_json:
        return typer.echo(json.dumps(found, indent=2))
    ceiling, paused = found["ceiling"], found["paused"]
    mode, setting = found["mode"], found["setting"]
    by = ""
    if ceiling is not None and ceiling["setting"] == setting:
        by = f", set by {_who(ceiling['said'])}; the settings say {setting}"
    lines = [f"mode {mode}{by}"]
    if paused is not None:
        until = f" until {_at(paused['until'])}" if paused["until"] else ""
        lines.append(f"paused{until} by {_who(paused['said'])}")
    lines += [f"window {one} is open" for one in found["windows_open"]]
    return typer.echo(_harmless("\n".join(lines)))


def _window_line(one: Json) -> str:
    when = one["when"]
    times = (
        f"'{when['cron']}' {when['zone']} for {when['lasts_s']:g} s"
        if "cron" in when
        else f"{_at(when['starts_at'])} - {_at(when['ends_at'])}"
    )
    state = "closed"
    if one["open_until"]:
        state = f"OPEN until {_at(one['open_until'])}"
    elif one["opens_at"]:
        state = f"opens {_at(one['opens_at'])}"
    matchers = ", ".join(one["match"]) or "everything"
    return _harmless(f"{one['id']}  {state}  {times}  {matchers}  {one['by']}: {one['why']}")


def _proposal_lines(one: Json) -> list[str]:
    waits = f"{one['state']}"
    if one["state"] == "pending":
        verb = "done unless vetoed" if one["mode"] == "veto" else "expires"
        waits = f"{verb} {_at(one['due_at'])}"
    if one["asked_by"]:
        waits += f", asked for by {one['asked_by']}"
    if one["by"]:
        waits += f" by {one['by']}: {one['why']}"
    return [
        _harmless(f"{one['id']}  {waits}  {one['action']}  ({one['incident_id']})"),
        *(
            _harmless(f"    {c['object']} {c['field']}: {c['was']} -> {c['to']}")
            for c in one["difference"]
        ),
    ]


def _who(said: Json) -> str:
    return f"{said['by']} at {_at(said['at'])}: {said['why']}"


def _at(instant: str) -> str:
    at = datetime.fromisoformat(instant).astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _harmless(text: str) -> str:
    """Without control characters: strangers' texts stand in it, and terminals obey them."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
