"""Progress on its way from the job through its log to the one who waits: a line of JSON behind a word."""

from typing import Final

import msgspec

__all__ = ["progress_line", "read_progress"]

_WORD: Final = "progress "


def progress_line(stage: str, done: int, total: int) -> str:
    return _WORD + msgspec.json.encode((stage, done, total)).decode()


def read_progress(line: str) -> tuple[str, int, int] | None:
    """(stage, done, total) of a line of progress, None of any other."""
    if not line.startswith(_WORD):
        return None
    try:
        return msgspec.json.decode(line.removeprefix(_WORD), type=tuple[str, int, int])
    except msgspec.MsgspecError:
        return None
