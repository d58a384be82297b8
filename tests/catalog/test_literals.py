"""Literals for Athena and Trino: whatever text goes in, one literal that means just this text comes out."""

import re
from datetime import date
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import pytest
import sqlglot
from hypothesis import example, given
from hypothesis import strategies as st
from sqlglot import exp
from sqlglot.tokens import TokenType

from audit_pipeline.catalog.literals import (
    MAX_PARAMETER_CHARACTERS,
    ParameterTooLongError,
    execution_parameter,
    sql_literal,
)
from audit_pipeline.catalog.trino import Trino, parse_trino_url
from tests.servers.trino import TrinoServer
from tests.support.lanes import examples

#: Anything at all, and thick with what means something in a literal.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text("'\\0027+U&\n\x00a", max_size=30)
#: Texts that have broken other clients, or would.
HOSTILE = (
    "",
    "'",
    "''",
    "O'Brien",
    "' OR 1=1 --",
    "'; DROP TABLE auditlog; --",
    "\\",
    "\\'",
    "\\' OR 1=1 --",
    "\n' OR 1=1 --",
    "\\0027 OR 1=1",
    "U&'\\0027'",
    "\\0027 OR 1=1\n",
    "\\+000027 OR 1=1\n",
    "\\\n\\",
    "' UESCAPE '+",
    "\x00",
    "a\x00' OR 1=1",
    "\r\n\t\x1b[31m",
    "?",
    "? ?",
    "%s {0} ${x}",
    "/* */ -- ;",
    "\u2028\u2029\u00a0\u3000",
    "\u202e\u200b\ufeff",
    "\ufdd0\uffff",
    "\U0001f600\U0010ffff",
    "\u02bc\uff07\u2018\u2019\u2032",
    "e\u0301é",
)


def meaning_of(text: str) -> str:
    """What a literal means, by the rules of the SQL standard; an error for what is not exactly one literal."""
    if found := re.fullmatch("'((?:[^']|'')*)'", text, re.DOTALL):
        return found[1].replace("''", "'")
    found = re.fullmatch("U&'((?:[^']|'')*)'", text, re.DOTALL)
    assert found, f"not a single literal: {text}"
    inner = found[1].replace("''", "'")
    parts = re.findall(r"\\\\|\\\+[0-9A-F]{6}|\\[0-9A-F]{4}|[^\\]", inner, re.DOTALL)
    assert "".join(parts) == inner, f"not an escape: {text}"
    return "".join(_unescaped(part) for part in parts)


def _unescaped(part: str) -> str:
    if len(part) == 1:
        return part
    return "\\" if part == "\\\\" else chr(int(part.lstrip("\\+"), 16))


@given(TEXT)
def test_any_text_becomes_one_literal_of_just_this_meaning(value: str) -> None:
    assert meaning_of(sql_literal(value)) == value


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_text_becomes_one_literal_of_just_this_meaning(value: str) -> None:
    assert meaning_of(sql_literal(value)) == value


@given(TEXT)
@example("\\0027")
def test_a_parser_sees_one_literal_and_the_statement_keeps_its_shape(value: str) -> None:
    (token,) = sqlglot.tokenize(sql_literal(value), read="trino")
    assert token.token_type in (TokenType.STRING, TokenType.UNICODE_STRING)
    tree = sqlglot.parse_one(f"SELECT a FROM t WHERE b = {sql_literal(value)} AND c = 1", read="trino")
    condition = tree.find(exp.EQ)
    assert condition is not None
    assert isinstance(condition.expression, exp.Literal | exp.UnicodeString)
    condition.set("expression", exp.Placeholder())
    assert tree.sql("trino") == "SELECT a FROM t WHERE b = ? AND c = 1"


@given(TEXT)
def test_what_is_sent_shows_every_character_and_stays_on_one_line(value: str) -> None:
    assert sql_literal(value).isprintable()


@given(st.integers())
def test_a_number_becomes_its_digits(value: int) -> None:
    assert sql_literal(value) == str(value)


def test_members_of_enums_are_taken_for_their_values() -> None:
    text, number = StrEnum("Text", {"A": "it's"}).A, IntEnum("Number", {"A": 7}).A
    assert (sql_literal(text), sql_literal(number)) == ("'it''s'", "7")


@pytest.mark.parametrize(
    "value", [True, False, None, 1.5, b"x", Decimal("1.1"), date(2026, 5, 1), ["x"], {"a": 1}], ids=repr
)
def test_nothing_but_texts_and_numbers_is_taken(value: Any) -> None:
    with pytest.raises(TypeError, match=f"not {type(value).__name__}"):
        sql_literal(value)


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb", "\udc80'"])
def test_a_lone_surrogate_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="lone surrogate"):
        sql_literal(value)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("x" * 1022, True),
        ("x" * 1023, False),
        ("'" * 511, True),
        ("'" * 512, False),
        ("😀" * 511, True),
        ("😀" * 512, False),
    ],
)
def test_a_parameter_longer_than_athena_takes_is_refused(value: str, fits: bool) -> None:
    if fits:
        assert execution_parameter(value) == sql_literal(value)
        return
    with pytest.raises(ParameterTooLongError, match=f"at most {MAX_PARAMETER_CHARACTERS} characters"):
        execution_parameter(value)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=120, max_size=120))
@example("\U000e0001" * 120)
def test_120_characters_of_any_kind_fit_into_one_parameter(value: str) -> None:
    assert execution_parameter(value)


@pytest.mark.slow
def test_trino_reads_back_every_text(trino: TrinoServer) -> None:
    server = Trino(parse_trino_url(trino.url), schema="information_schema")

    @examples(25)
    @given(st.lists(TEXT, min_size=1, max_size=40))
    @example(list(HOSTILE))
    def check(texts: list[str]) -> None:
        result = server.run(f"SELECT {', '.join('?' * len(texts))}", texts)
        assert [column[0].as_py() for column in result.table.columns] == texts

    check()
