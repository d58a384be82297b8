"""docs/operate/settings.md: it is what the settings say today, each under one of the three groups."""

import re

from audit_pipeline.settings import QuerySettings, Settings
from tests.support.paths import DOCS
from tools.settings_page import PAGE, page

TEXT = PAGE.read_text(encoding="utf-8")


def rows() -> dict[str, list[str]]:
    """The cells behind each variable's name."""
    found = re.findall(r"^\| `AUDIT_(\w+)` \| (.*) \|$", TEXT, re.MULTILINE)
    return {name.lower(): re.split(r"(?<!\\) ?\| ?", cells) for name, cells in found}


def test_the_page_is_what_the_generator_makes_of_the_settings() -> None:
    assert PAGE.parent == DOCS / "operate"
    assert page() == TEXT, "the page is stale: run python -m tools.settings_page"


def test_every_setting_stands_there_once_with_what_it_is_for() -> None:
    assert list(rows()) == re.findall(r"^\| `AUDIT_(\w+)`", TEXT.lower().replace("audit_", "AUDIT_"), re.MULTILINE)
    assert rows().keys() == Settings.model_fields.keys()
    for name, (what, *_) in rows().items():
        assert what.replace(r"\|", "|") in (Settings.model_fields[name].description or ""), name


def test_what_the_client_reads_is_marked() -> None:
    assert {name for name, cells in rows().items() if cells[-1] == "client"} == QuerySettings.model_fields.keys()


def test_only_what_has_no_default_is_required() -> None:
    required = TEXT.split("## Required")[1].split("\n## ")[0]
    assert set(re.findall(r"`AUDIT_(\w+)`", required)) == {"LAKE_URL", "RAW_URL", "START_DATE"}
