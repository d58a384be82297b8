"""docs/operate/cost.md: it shows what the command prints, and every figure on it comes out of the code."""

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from typer.main import get_command

from audit_pipeline.cli.app import app
from audit_pipeline.cost.compute import estimated_seconds, platform_of, start_seconds
from audit_pipeline.cost.lines import Line, Part, bill, compute_line, total
from audit_pipeline.cost.prices import load_prices
from audit_pipeline.cost.workload import DAYS_A_MONTH, Engine, Workload
from tests.support.cli_harness import Commands
from tests.support.paths import DOCS

PAGE = (DOCS / "operate" / "cost.md").read_text(encoding="utf-8")
PRICES = load_prices()
DEFAULT = Workload(100_000)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def lines(workload: Workload = DEFAULT) -> dict[str, Line]:
    return {line.name: line for line in bill(workload, PRICES)}


def path(workload: Workload = DEFAULT) -> Decimal:
    return total(bill(workload, PRICES), Part.PATH)


def sensor(requests_a_day: int) -> Decimal:
    return PRICES.s3_put.rate.cost_of(requests_a_day * DAYS_A_MONTH)


def text() -> str:
    return " ".join(PAGE.split())


def test_the_page_shows_what_the_command_prints() -> None:
    command, *shown = blocks("console")[0].splitlines()
    printed = Commands({"COLUMNS": None}).shows(*command.removeprefix("$ audit-pipeline ").split())
    assert shown == [line.rstrip() for line in printed.splitlines()]


def test_the_page_names_every_option_with_its_default() -> None:
    options = {option.opts[0]: option for option in get_command(app).commands["cost"].params}  # type: ignore[attr-defined]
    defaults = dict(re.findall(r"^\| `(--[\w-]+)` \|.*\| ?(.*?) ?\|$", PAGE, re.MULTILINE))
    assert defaults.keys() | {"--help"} == options.keys() | {"--help"}
    assert defaults["--bytes"].replace(",", "") == str(options["--bytes"].default)
    assert defaults["--buffer-seconds"] == str(options["--buffer-seconds"].default)
    assert defaults["--engine"].strip("`") == options["--engine"].default


def test_the_price_file_of_the_page_can_be_used(tmp_path: Path) -> None:
    (example,) = blocks("yaml")
    file = tmp_path / "eu-west-1.yaml"
    file.write_text(example, encoding="utf-8")
    assert load_prices(file).firehose.dollars == Decimal("0.031")
    Commands({}).shows("cost", "--events-per-day", "100000", "--prices", str(file))


IN_A_MINUTE = replace(DEFAULT, buffer_seconds=60)
SENSOR = "late-file sensor: LIST"


@pytest.mark.parametrize(
    ("sentence", "amount"),
    [
        ("EventBridge {} instead of 3.00", lines(replace(DEFAULT, events_per_day=10_000))["EventBridge"].dollars),
        ("6,000 bytes are {} more", path(replace(DEFAULT, event_bytes=6000)) - path()),
        ("more, {} of it for Firehose", lines(replace(DEFAULT, event_bytes=6000))["Firehose"].dollars / 2),
        ("a buffer of 60 s | {} more", path(IN_A_MINUTE) - path()),
        ("and {} more for the late-file", lines(IN_A_MINUTE)[SENSOR].dollars - lines()[SENSOR].dollars),
        ("`--engine glue` | {} more", path(replace(DEFAULT, engine=Engine.GLUE)) - path()),
        ("late-file sensor | {};", lines()[SENSOR].dollars),
        ("`AUDIT_LATE_DAYS=1` {} |", sensor(288 * (1 * 2 + 1) + 29 * 2)),
        (
            "day more: {} on Fargate",
            compute_line(
                Part.PATH, platform_of(Engine.LOCAL, PRICES), 24 * 30, start_seconds(Engine.LOCAL) + 1
            ).dollars,
        ),
        ("the archive | {};", lines()["EventBridge archive"].dollars + lines()["EventBridge archive: kept"].dollars),
        ("history | {} more", lines()["S3 table: kept"].dollars),
        (
            "one to KMS: {} instead",
            lines()["KMS requests"].dollars / Decimal("0.027"),
        ),
        ("0.04 for each asset and day: {} for a run a day", lines()["Dagster+ credits"].dollars),
        ("A minute a day of 2 GB is ${}.", PRICES.lambda_arm_memory.rate.cost_of(2 * 60 * 30)),
        ("With 10^9 Firehose would be {},", lines()["Firehose"].dollars * 2**30 / 10**9),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_figure_of_the_page_comes_out_of_the_code(sentence: str, amount: Decimal) -> None:
    assert sentence.format(f"{amount:.2f}") in text()


def test_the_pages_shares_are_those_of_the_bill() -> None:
    assert "EventBridge is four fifths of the first part, Firehose a tenth" in text()
    assert round(lines()["EventBridge"].dollars / path(), 1) == Decimal("0.8")
    assert round(lines()["Firehose"].dollars / path(), 1) == Decimal("0.1")


def test_the_hourly_schedule_costs_in_credits_what_the_page_says() -> None:
    assert f"on Dagster+ {24 * lines()['Dagster+ credits'].dollars:.0f} for credits" in text()


def test_what_a_run_is_assumed_to_last_is_on_the_page() -> None:
    assert f"billed for {start_seconds(Engine.LOCAL)} s besides its work" in text()
    assert f"Glue for {start_seconds(Engine.GLUE)} s" in text()
    for engine, unit in ((Engine.LOCAL, "CPU seconds"), (Engine.GLUE, "s (")):
        work = estimated_seconds(engine, 1_000_000) - start_seconds(engine)
        assert f"{work.normalize():f} {unit}" in text()


def test_the_run_book_has_the_same_figures_of_the_late_file_sensor() -> None:
    run_book = " ".join((DOCS / "operate" / "run-book.md").read_text(encoding="utf-8").split())
    few, many = (Workload(100_000, buffer_seconds=60).sensor_lists, Workload(100_000, 128 << 20).sensor_lists)
    assert f"about {round(few, -3):,} requests a day (${sensor(few):.2f} a month)" in run_book
    assert Workload(100_000, 128 << 20).raw_objects == 100_000
    assert f"about {round(many, -3):,} (${sensor(many):.0f};" in run_book
