"""No data and no message can drive the terminal."""

import json
import re
from pathlib import Path

import pytest

from tests.support import shop
from tests.support.cli_harness import DANGEROUS, HOSTILE, QueryCommands
from tests.support.lake import DAY1, Lake, key, zipped

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hostile_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = Lake(tmp_path_factory.mktemp("hostile"))
    texts = {"a": HOSTILE, HOSTILE: "b"}
    lake.write(
        key(DAY1),
        zipped(
            shop.change(
                HOSTILE, f"{DAY1}T10:00:00Z", (HOSTILE, HOSTILE), HOSTILE, None, texts, who=HOSTILE, name=HOSTILE
            )
            + shop.change("child", f"{DAY1}T10:00:00Z", ("x", "y"), "z", texts, json.dumps(HOSTILE), parent="500")
            + shop.change("e1", f"{DAY1}T10:00:00Z", ("Order", "500"), HOSTILE, HOSTILE, json.dumps(texts))
        ),
    )
    assert lake.run(DAY1).rows >= 2
    return lake.path


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", "--from", str(DAY1)),
        ("query", "--from", str(DAY1), "--full"),
        ("query", "--from", str(DAY1), "--format", "json"),
        ("query", "--from", str(DAY1), "--format", "csv"),
        ("history", "Order", "500", "--from", str(DAY1)),
        ("history", "Order", "500", "--from", str(DAY1), "--full"),
        ("history", "Order", "500", "--from", str(DAY1), "--format", "json"),
        ("sql", "SELECT * FROM auditlog"),
        ("sql", "SELECT * FROM auditlog", "--full"),
        ("sql", "SELECT ActorName, After FROM auditlog"),
        ("sql", "SELECT * FROM auditlog", "--format", "csv"),
        ("sql", f'SELECT 1 AS "{HOSTILE}"'),
    ],
    ids=" ".join,
)
def test_data_cannot_drive_the_terminal(hostile_lake: Path, arguments: tuple[str, ...]) -> None:
    shown = QueryCommands(hostile_lake).on_a_terminal(*arguments)
    left = re.sub(r"\x1b\[[\d;]*m", "", shown)  # rich's own colours
    assert not set(left) & DANGEROUS
    assert "owned" in left
    if "--full" in arguments or "--format" in arguments:
        assert "[red]" in left.replace("\r\n", "")


def test_a_message_cannot_drive_the_terminal(queries: QueryCommands) -> None:
    for arguments in (
        ["sql", f'SELECT * FROM "{HOSTILE}"'],
        ["sql", f"{HOSTILE}"],
        ["sql", f'SELECT "{HOSTILE}" FROM auditlog'],
        ["query", "--cursor", HOSTILE],
        ["history", HOSTILE, "1"],
    ):
        result = queries(*arguments)
        assert result.exit_code in (1, 2), arguments
        assert result.stderr
        assert not set(result.output) & DANGEROUS, arguments
