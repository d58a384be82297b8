"""Values as SQL literals of Athena and Trino.

Athena's ``ExecutionParameters`` are no values but literals: a text stands between quotes, and who leaves the escaping
to Athena has an injection. This is the one place that writes them.
"""

from typing import Final

__all__ = ["MAX_PARAMETER_CHARACTERS", "ParameterTooLongError", "execution_parameter", "literal"]

#: Athena's limit of one parameter, quotes and escapes included.
MAX_PARAMETER_CHARACTERS: Final = 1024


class ParameterTooLongError(ValueError):
    """A value does not fit into one of Athena's parameters: cut it, and join the pieces with ``||``."""


def literal(value: str | int) -> str:
    """The literal that means exactly this value.

    A text with anything in it that does not print (control characters, marks that turn the direction of writing, odd
    blanks) is written as ``U&'...'`` with escapes, so that what is sent is harmless wherever it is shown, logged or cut
    into lines. ``TypeError`` for other types, bool among them; ``ValueError`` for a lone surrogate, which is no text.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"a parameter is a str or an int, not {type(value).__name__}")
    if isinstance(value, int):
        return str(int(value))
    if value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return "U&'" + "".join(map(_escaped, value)) + "'"


def execution_parameter(value: str | int) -> str:
    """As :func:`literal`; :class:`ParameterTooLongError` where Athena would refuse its length."""
    text = literal(value)
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
        raise ValueError(f"a lone surrogate (U+{code:04X}) is no text")
    return f"\\{code:04X}" if code <= 0xFFFF else f"\\+{code:06X}"
