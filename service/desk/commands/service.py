"""The running service, asked over HTTP by a command; what goes wrong ends the
command with a sentence.
"""

import http.client
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer

URL = "http://127.0.0.1:9095"
Url = Annotated[str, typer.Option(help="The running service.")]
TokenFile = Annotated[Path | None, typer.Option(help="File with your token.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def fail(sentence: str, code: int = 1) -> typer.Exit:
    """The end of the command; 1: the service said no or is away, 2: what was asked makes no
    sense.
    """
    typer.secho(sentence, fg=typer.colors.RED, err=True)
    return typer.Exit(code)


def ask(
    url: str,
    token_file: Path | None,
    path: str,
    body: dict[str, Any] | None = None,  # Any: JSON
) -> Any:
    """The service's answer to a GET, or, with a body, to a POST.
    Ends the command where there is none.
    """
    whole = url.rstrip("/") + path
    try:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(whole, data)  # noqa: S310 - the operator's own URL
        request.add_header("Content-Type", "application/json")
        if token_file:
            request.add_header("Authorization", f"Bearer {token_file.read_text().strip()}")
        with urllib.request.urlopen(request, timeout=10.0) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise fail(_said(error, whole, token_file)) from error
    except urllib.error.URLError as error:
        told = f"{whole}: no answer ({error.reason}); is `paramedic serve` running there?"
        raise fail(told) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise fail(f"{whole}: {error}; is that the address of a Paramedic?") from error


def _said(error: urllib.error.HTTPError, url: str, token_file: Path | None) -> str:
    raw = error.read().decode(errors="replace")[:2_000]
    try:
        answer = json.loads(raw)
        told = f"{answer['reason']}: {answer['detail']}"
    except (ValueError, KeyError, TypeError):
        told = raw[:300]
    hint = ""
    if error.code in (401, 403) and not token_file:
        hint = "; name the file with your token: --token-file FILE"
    return f"{url}: {error.code} {told}{hint}"


def seconds(text: str) -> float:
    """`90s`, `30m`, `2h`, `1h30m`, `7d`. Ends the command for anything else."""
    if not re.fullmatch(r"(?:[0-9]{1,6}[smhd])+", text):
        raise fail(f"{text!r} is no duration; write 30m, 2h, 1h30m or 7d", code=2)
    return sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)([smhd])", text))
