"""Values as SQL literals of Athena and Trino.

Athena's ``ExecutionParameters`` are literals, not values: a text is sent in quotes, and a text that is not escaped
first is an SQL injection. Only this module writes them.
"""

from typing import Final

__all__ = ["MAX_PARAMETER_CHARACTERS", "ParameterTooLongError", "execution_parameter", "sql_literal"]

#: Athena's limit for one parameter, quotes and escapes included.
MAX_PARAMETER_CHARACTERS: Final = 1024


class ParameterTooLongError(ValueError):
    """A value is too long for one parameter of Athena: split it, and join the parts with ``||``."""


def sql_literal(value: str | int) -> str:
    """The literal that means exactly this value.

    A text with a character that is not printable (control characters, bidirectional marks, unusual spaces) is written
    as ``U&'...'`` with escapes, so that the statement is harmless wherever it is shown, logged or split into lines.
    ``TypeError`` for other types, bool among them; ``ValueError`` for a lone surrogate, which is not Unicode text.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"a parameter must be a str or an int, not {type(value).__name__}")
    if isinstance(value, int):
        return str(int(value))
    if value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return "U&'" + "".join(map(_escaped, value)) + "'"


def execution_parameter(value: str | int) -> str:
    """The literal for Athena; :class:`ParameterTooLongError` where it would be refused for its length."""
    text = sql_literal(value)
    length = len(text.encode("utf-16-le")) // 2
    if length > MAX_PARAMETER_CHARACTERS:
        raise ParameterTooLongError(
            f"a parameter of Athena has at most {MAX_PARAMETER_CHARACTERS} characters; {text[:40]}… has {length:,}"
        )
    return text


def _escaped(character: str) -> str:
    if character in "'\\":
        return character * 2
    if character.isprintable():
        return character
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        raise ValueError(f"a lone surrogate (U+{code:04X}) is not Unicode text")
    return f"\\{code:04X}" if code <= 0xFFFF else f"\\+{code:06X}"
