"""Query texts show no literal and log lines no secret before they are recorded;
the rest stays readable.
"""

import string
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.diagnose.redact import MAX_LINE, MAX_TEXT, redacted, redacted_labels, redacted_line

SECRET = "hunter2"

# Forms in which a query text carries a secret: those that were once let through, and their kin.
LEAKS = [
    "SELECT * FROM t WHERE token IN ('hunter2')",
    "SELECT * FROM t WHERE token NOT IN ('a', 'hunter2')",
    "SELECT * FROM t WHERE password LIKE '%hunter2%'",
    "SELECT * FROM t WHERE \"password\" = 'hunter2'",
    "SELECT * FROM t WHERE `api_key` = 'hunter2'",
    'SELECT * FROM t WHERE password = "hunter2"',
    "SELECT $$hunter2$$",
    "SELECT $doc$ it's hunter2 $doc$ || 'x'",
    "INSERT INTO users VALUES ('ann', 'hunter2')",
    "INSERT INTO users (name, password) VALUES ('ann', 'hunter2'), ('bob', 'x')",
    "INSERT INTO users FORMAT CSV ann,hunter2",
    'INSERT INTO users FORMAT JSONEachRow {"name": "ann", "password": "hunter2"}',
    "SELECT decrypt('aes-256-gcm', column, 'hunter2')",
    "SELECT encrypt('aes-256-gcm', 'text', 'hunter2', 'iv')",
    "SELECT HMAC('sha256', 'hunter2', body)",
    "ATTACH TABLE t ENGINE = S3('https://b/f', 'AKIAXXXXXXXXXXXXXXXX', 'hunter2')",
    "SELECT * FROM s3('https://b/f', 'key', 'hunter2', 'CSV')",
    "SELECT * FROM mysql('h:1', 'd', 't', 'u', 'hun\\'ter2hunter2')",
    "SELECT * FROM url('https://u:hunter2@h/x')",
    "SELECT 1 SETTINGS passphrase = 'hunter2'",
    "CREATE NAMED COLLECTION c AS private_key = 'hunter2', user = 'u'",
    "CREATE USER a IDENTIFIED WITH sha256_password BY 'hunter2'",
    "CREATE USER a IDENTIFIED BY hunter2",
    "ALTER USER a IDENTIFIED WITH ssh_key BY KEY 'hunter2' TYPE 'ssh-rsa'",
    "BACKUP TABLE t TO S3('https://b', 'k', 'hunter2') SETTINGS password='hunter2'",
    "SELECT map('secret', 'hunter2')",
    "SELECT x'hunter2', b'hunter2'",
    "SELECT 'it''s hunter2', 'and \\' hunter2'",
    "SELECT 'cut off hunter2",
    "SELECT 'ends in a backslash hunter2\\",
    "SELECT $a$ cut off hunter2",
    "SELECT 1 -- for ann, password hunter2",
    "SELECT 1 /* hunter2 */ + 2 /* cut hunter2",
    "SELECT 1 # hunter2",
    "SELECT \u2018hunter2\u2019, \u201chunter2\u201d",
    "SELECT 1 WHERE password = hunter2",
    "SELECT 1 WHERE password: hunter2",
    "SELECT 'a' -- it's\n, 'hunter2'",
    "SELECT 'pass\u200bword', 'hunter2'",
    "SELECT `weird ' name`, 'hunter2'",
]


@pytest.mark.parametrize("text", LEAKS)
def test_a_secret_in_a_query_text_is_hidden(text: str) -> None:
    assert SECRET in text
    assert SECRET not in redacted(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT 1", "SELECT 1"),
        (
            "SELECT count(), quantile(0.95)(price)\n  FROM\tbronze_raw_trades AS t\n WHERE ts > now() - 3600",
            "SELECT count(), quantile(0.95)(price) FROM bronze_raw_trades AS t WHERE ts > now() - 3600",
        ),
        ("SELECT a FROM t WHERE b = 'fine' AND c < 5", "SELECT a FROM t WHERE b = '***' AND c < 5"),
        ("SELECT `a`.b FROM `d.t`", "SELECT `a`.b FROM `d.t`"),
        ("INSERT INTO t SELECT a FROM u", "INSERT INTO t SELECT a FROM u"),
        ("INSERT INTO t (a) VALUES (1)", "INSERT INTO t (a) VALUES ***"),
        ("SELECT a$b$c, 'x' FROM t", "SELECT a$b$c, '***' FROM t"),
        ("SELECT 0xFF, 0x00112233445566778899", "SELECT 0xFF, ***"),
        ("", ""),
    ],
)
def test_what_a_query_does_stays_readable(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_a_long_text_is_cut() -> None:
    assert len(redacted("SELECT " + "a, " * 10_000)) == MAX_TEXT
    assert len(redacted_line("word " * 10_000)) == MAX_LINE


_hard = st.text(st.sampled_from("ab '\"`$\\-/*#\n(),=;\u2019"), max_size=8)
_plant = st.text(st.sampled_from(string.ascii_letters + string.digits), min_size=8, max_size=12)
_SURROUND: dict[str, Callable[[str], str]] = {
    "single": lambda s: "'" + s.replace("\\", "\\\\").replace("'", "''") + "'",
    "escaped": lambda s: "'" + s.replace("\\", "\\\\").replace("'", "\\'") + "'",
    "double": lambda s: '"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"',
    "heredoc": lambda s: " $k$" + s.replace("$", "") + "$k$",  # a name may hold dollars
    "curly": lambda s: "\u2018" + s.replace("\u2019", "") + "\u2019",
    "comment": lambda s: "/*" + s.replace("*/", "") + "*/",
}
_code = st.sampled_from(
    [
        "SELECT a",
        ", b",
        " FROM t",
        " WHERE x = ",
        " AND y IN (",
        ")",
        " + 1",
        " -- c\n",
        " `n'm` ",
        "\n",
    ]
)


@st.composite
def _sql(draw: st.DrawFn) -> tuple[str, str]:
    """A random statement, and a secret that stands in one of its literals."""
    secret = draw(_plant)
    parts: list[str] = []
    for turn in range(draw(st.integers(1, 6))):
        parts.append(draw(_code))
        content = draw(_hard) + (secret if turn == 0 or draw(st.booleans()) else "") + draw(_hard)
        parts.append(_SURROUND[draw(st.sampled_from(sorted(_SURROUND)))](content) + " ")
    return "".join(parts), f"{secret}"


@given(_sql())
def test_no_planted_secret_survives_in_any_literal_of_any_statement(case: tuple[str, str]) -> None:
    text, secret = case
    assert secret not in redacted(text)


@given(st.text(max_size=300))
def test_any_text_becomes_one_bounded_printable_line(text: str) -> None:
    for shown in (redacted(text), redacted_line(text)):
        assert len(shown) <= MAX_LINE
        assert "\n" not in shown
        assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("started in 5 s", "started in 5 s"),
        ('Error: secret "api-keys" not found', 'Error: secret "api-keys" not found'),
        ("password=hunter2 user=ann", "password=*** user=ann"),
        ("db.password: hunter2, retries: 3", "db.password: ***, retries: 3"),
        ('{"user": "ann", "password": "hun\\"ter2"}', '{"user": "ann", "password": ***}'),
        ('{"msg": "{\\"api_key\\": \\"hunter2\\"}"}', '{"msg": "{\\"api_key\\": ***}"}'),
        ("secret='it''s hunter2' x", "secret=*** x"),
        ("GET /x?access_token=hunter2&b=1", "GET /x?access_token=***&b=1"),
        ("Authorization: Bearer hunter2hunter2", "Authorization: ***"),
        ('curl -H "X-Api-Key: hunter2" /x', 'curl -H "X-Api-Key: ***" /x'),
        ("Cookie: a=1; session=hunter2", "Cookie: ***"),
        ("run --token hunter2 --verbose", "run --token *** --verbose"),
        ("got bearer hunter2hunter2 back", "got bearer *** back"),
        ("connect to postgres://ann:hun@ter2@db:5432/x failed", "connect to postgres://***@db:5432/x failed"),
        ("jwt eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0 end", "jwt *** end"),
        ("key AKIAIOSFODNN7EXAMPLE end", "key *** end"),
        ("ghp_0123456789abcdef0123 end", "*** end"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIhunter2\n-----END RSA PRIVATE KEY----- end", "*** end"),
        ("-----BEGIN PRIVATE KEY----- MIIhunter2 cut", "***"),
        ('sasl.jaas.config=Plain required password="hunter2"', "sasl.jaas.config=*** required password=***"),
        ("pass\u200bword=hunter2", "password=***"),
        ("\x1b[31mpassword\x1b[0m=hunter2", "password=***"),
        ("\x1b]0;title\x07a\x1b]8;;http://evil\x1b\\b", "ab"),
        ("a\x00b\x08c\x7fd\x9b31me", "a b c de"),
        ("left\u202eright\u2028next", "leftright next"),
        ("a\r\nb\tc", "a b c"),
    ],
)  # fmt: skip
def test_a_log_line_loses_its_secrets_and_what_a_terminal_would_obey(line: str, shown: str) -> None:
    assert redacted_line(line) == shown


@pytest.mark.parametrize(
    "piece",
    ["'", '"', "\\", "-", "$", "/*", "a.b-", "x-", "eyJ", "password", '"password": "', "insert values ",
     "by ", "\x1b]", "://@", "a://", "\\\"", "--token ", "-----BEGIN PRIVATE KEY"],
)  # fmt: skip
def test_a_text_made_to_be_slow_is_not(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    started = time.process_time()
    redacted(text)
    redacted_line(text)
    assert time.process_time() - started < 0.5


def test_a_label_is_hidden_by_its_name_and_otherwise_read_as_a_line() -> None:
    labels = {
        "alertname": "ConsumerLagHigh",
        "db_password": SECRET,
        "api_key": "",
        "source": f"http://ann:{SECRET}@prometheus:9090/graph?g0.expr=up",
        "summary": f"login failed, password={SECRET}",
    }
    assert redacted_labels(labels) == {
        "alertname": "ConsumerLagHigh",
        "db_password": "***",
        "api_key": "",
        "source": "http://***@prometheus:9090/graph?g0.expr=up",
        "summary": "login failed, password=***",
    }
