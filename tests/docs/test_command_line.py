"""docs/ask/command-line.md: it has every command and every exit code."""

import re

from typer.main import get_command

from audit_pipeline.cli.app import app
from audit_pipeline.cli.exits import MEANINGS
from tests.support.paths import DOCS

PAGE = (DOCS / "ask" / "command-line.md").read_text(encoding="utf-8")


def test_every_command_is_on_the_page_with_what_it_needs() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| .+ \| .+ \|$", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(get_command(app).commands)  # type: ignore[attr-defined]


def test_every_exit_code_is_on_the_page() -> None:
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == list(MEANINGS)
