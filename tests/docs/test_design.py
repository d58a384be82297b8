"""docs/design.md and CONTRIBUTING.md: what they say of the code is so, and what the code cites is there."""

import re
from typing import Final

from audit_pipeline.contract.columns import PARTITION_COLUMNS, QUARANTINE_SCHEMA, REASONS, ROW_SCHEMA
from audit_pipeline.store.manifest import Manifest
from tests.support.paths import DOCS, REPOSITORY

DESIGN: Final = (DOCS / "design.md").read_text(encoding="utf-8")
#: What is true of the code today: without the paragraphs that say what is to come.
BUILT: Final = re.sub(r"^>.*\n", "", DESIGN, flags=re.MULTILINE)
CODE: Final = [
    path for name in ("audit_pipeline", "bench", "tests", "tools") for path in (REPOSITORY / name).rglob("*.py")
]


def section(heading: str) -> str:
    """The text below a heading, up to the next one."""
    return re.split(r"^#+ ", re.split(rf"^#+ {re.escape(heading)}$", BUILT, flags=re.MULTILINE)[1], flags=re.MULTILINE)[
        0
    ]


def test_the_columns_of_the_page_are_those_of_the_table() -> None:
    first_cells = re.findall(r"^\| ([A-Zd][\w, ]+?) \|", section("Entity change"), re.MULTILINE)
    names = ", ".join(first_cells).split(", ")
    assert sorted(names) == sorted([*ROW_SCHEMA.names, *PARTITION_COLUMNS])


def test_the_columns_and_reasons_of_the_quarantine_are_those_of_the_code() -> None:
    text = section("Quarantine")
    assert re.findall(r"`([A-Z]\w+)`", text.split("Reasons:")[0]) == QUARANTINE_SCHEMA.names
    assert tuple(re.findall(r"`(\w+)`", text.split("Reasons:")[1].split("\n\n")[0])) == REASONS


def test_the_fields_of_the_manifest_are_those_of_the_code() -> None:
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", section("Runs").split("\n1. ")[0]))))
    assert set(Manifest.__struct_fields__) <= named


def test_every_heading_that_the_code_cites_is_on_the_page() -> None:
    headings = set(re.findall(r"^#+ (.*)$", DESIGN, re.MULTILINE))
    cited: set[str] = set()
    for path in CODE:
        text = re.sub(r"\n\s*(?:#:? )?", " ", path.read_text(encoding="utf-8"))
        for quoted in re.findall(r'docs/design\.md, ((?:"[^"]+"(?:, | and )?)+)', text):
            cited |= set(re.findall(r'"([^"]+)"', quoted))
    assert cited <= headings


def test_what_is_to_come_is_marked_in_one_way() -> None:
    blocks = re.findall(r"(?:^>.*\n)+", DESIGN, re.MULTILINE)
    assert all(block.startswith("> **Not built yet.") for block in blocks)
    assert "Not built yet" not in BUILT


def test_every_part_of_the_package_stands_in_the_house() -> None:
    house = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in sorted((REPOSITORY / "audit_pipeline").iterdir()):
        if path.name.startswith("__") or path.name == "py.typed":
            continue
        name = f"`audit_pipeline/{path.name}{'/' if path.is_dir() else ''}`"
        assert name in house, name
