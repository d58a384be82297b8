"""docs/operate/settings.md from the fields of ``Settings``: ``python -m tools.settings_page`` writes it anew."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from audit_pipeline.settings import QuerySettings, Settings

__all__ = ["PAGE", "page"]

PAGE: Final = Path(__file__).parents[1] / "docs" / "operate" / "settings.md"

_HEAD: Final = """\
<!-- Made by `python -m tools.settings_page` from audit_pipeline/settings.py: change that, not this page. -->

# Settings

Settings are environment variables, or lines of a file `.env` in the working directory. The variable wins where both
are given. A setting that is wrong is refused at the start of a command or a run, in one line with its name, its value
and what it is for.

Every process of a deployment needs the same ones ([on a server](deploy.md)). Those marked *client* are all that the
query client and its commands (`query`, `history`, `sql`) read, and of these only `AUDIT_LAKE_URL` is required.
"""

_GROUPS: Final = {
    "required": "URLs are a path, `file:///folder` or `s3://bucket/prefix`.",
    "usual": """\
What an installation decides: [which engine](scaling.md), [what executes queries](../ask/query.md#backends),
[checks of your own](quality.md), [where alerts go](alerts.md).""",
    "tuning": "The defaults are good until you measure otherwise.",
}

_TAIL: Final = """\
## Besides

| variable | what |
|---|---|
| `AWS_*` | credentials, region, endpoints and profile, as boto3 reads them; a role needs no keys |
| `DAGSTER_HOME` | folder of Dagster's instance: runs, schedules and, by default, the file of alerts |
"""


def page() -> str:
    """The whole page."""
    by_group: dict[str, list[str]] = {name: [] for name in _GROUPS}
    for name, field in Settings.model_fields.items():
        by_group[_group(field)].append(_row(name, field))
    return "\n".join([_HEAD, *(_section(name, rows) for name, rows in by_group.items()), _TAIL])


def _section(name: str, rows: list[str]) -> str:
    head = ["| variable | what | values | default | |", "|---|---|---|---|---|"]
    return "\n".join([f"## {name.capitalize()}", "", _GROUPS[name], "", *head, *rows, ""])


def _group(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    extra = field.json_schema_extra
    return str(extra["group"]) if isinstance(extra, dict) else "usual"


def _row(name: str, field: FieldInfo) -> str:
    what, default = _described(field)
    cells = f"`AUDIT_{name.upper()}`", what, ", ".join(_values(field)), default
    return f"| {' | '.join(cells)} | {'client' if name in QuerySettings.model_fields else ''} |"


def _described(field: FieldInfo) -> tuple[str, str]:
    """The description, and the default: the field's, or what its description says of it."""
    found = re.fullmatch(r"(.*?)(?: \(default: (.*)\))?", field.description or "")
    assert found
    what = found[1].replace("|", r"\|")
    if found[2]:
        return what, found[2]
    return what, "" if field.is_required() or field.default is None else f"`{field.default}`"


def _values(field: FieldInfo) -> Iterator[str]:
    """What the field takes, where its type and limits say more than "a text"."""
    kind = field.annotation
    if get_origin(kind) is Literal:
        yield from (f"`{value}`" for value in get_args(kind))
    if SecretStr in (kind, *get_args(kind)):
        yield "secret: not logged"
    limits = {
        name: value
        for limit in field.metadata
        for name in ("ge", "le")
        if (value := getattr(limit, name, None)) is not None
    }
    if limits:
        yield f"{limits['ge']:,} to {limits['le']:,}" if len(limits) == 2 else f"{limits['ge']:,} at least"


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
