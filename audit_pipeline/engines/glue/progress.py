"""Progress of the job, passed to the engine through the job's log: lines of a keyword and JSON."""

from typing import Final

import msgspec

__all__ = ["progress_line", "read_progress"]

_KEYWORD: Final = "progress "


def progress_line(stage: str, done: int, total: int) -> str:
    return _KEYWORD + msgspec.json.encode((stage, done, total)).decode()


def read_progress(line: str) -> tuple[str, int, int] | None:
    """(stage, done, total) of a line of progress; None for any other line."""
    if not line.startswith(_KEYWORD):
        return None
    try:
        return msgspec.json.decode(line.removeprefix(_KEYWORD), type=tuple[str, int, int])
    except msgspec.MsgspecError:
        return None
