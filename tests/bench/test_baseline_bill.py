"""The bill of the baseline design: its own table line by line, what each line comes to, and what ours does."""

import json
from collections.abc import Iterable
from decimal import Decimal

from typer import Typer
from typer.testing import CliRunner

from audit_pipeline.cost.lines import Line, Part, bill, month_lines, total
from audit_pipeline.cost.prices import load_prices
from audit_pipeline.cost.rounding import GB
from audit_pipeline.cost.workload import Workload
from bench.baseline_bill import BASELINE, RUN_SECONDS, compare, print_bill

PRICES = load_prices()
LINES = month_lines(BASELINE.month(RUN_SECONDS), PRICES)
OURS = bill(Workload(100_000), PRICES)


def dollars(lines: Iterable[Line], start: str) -> Decimal:
    """Of the lines of the path whose name starts so; there is one at least."""
    found = [line.dollars for line in lines if line.part is Part.PATH and line.name.startswith(start)]
    assert found, start
    return sum(found, Decimal(0))


def rounded(amount: Decimal, places: int = 3) -> Decimal:
    return round(amount, places)


def test_firehose_is_three_times_what_the_baseline_says() -> None:
    naive = PRICES.firehose.rate.cost_of(Decimal(3_000_000 * 1700) / 10**9)
    assert rounded(naive) == Decimal("0.148")
    # 0.41 with AWS's GB of 2^30 bytes, 0.44 with one of 10^9
    assert rounded(dollars(LINES, "Firehose"), 2) == Decimal("0.41")
    assert rounded(dollars(LINES, "Firehose") * GB / 10**9, 2) == Decimal("0.45")


def test_the_raw_objects_of_a_minute_cost_more_to_write_than_to_keep() -> None:
    assert rounded(dollars(LINES, "S3 raw: written")) == Decimal("0.216")
    # 0.057 with a GB of 10^9
    assert rounded(dollars(LINES, "S3 raw: kept")) == Decimal("0.053")
    assert rounded(dollars(LINES, "S3 raw: kept") * GB / 10**9) == Decimal("0.057")
    assert rounded(dollars(OURS, "S3 raw: written")) == Decimal("0.014")


def test_a_year_of_parquet_is_three_times_what_the_baseline_says() -> None:
    # 0.157 with a GB of 10^9
    assert rounded(dollars(LINES, "S3 table")) == Decimal("0.146")
    assert abs(dollars(LINES, "S3 table") * GB / 10**9 - Decimal("0.157")) < Decimal("0.001")


def test_the_baselines_total_is_right_though_its_parts_are_not() -> None:
    rows = {row.name: row for row in compare(PRICES)}
    stated = [row.says for row in rows.values() if row.says is not None and row.name != "Total"]
    assert rounded(sum(stated, Decimal(0)), 0) == rows["Total"].says == 17
    assert rounded(rows["Total"].costs, 1) == Decimal("17.2")
    assert rows["Total"].ours == total(OURS, Part.PATH)


def test_every_line_of_the_baselines_table_is_answered() -> None:
    says = {row.name: row.says for row in compare(PRICES)}
    assert {name: amount for name, amount in says.items() if amount is not None} == {
        "EventBridge": Decimal(3),
        "Firehose": Decimal("0.15"),
        "S3 (Raw)": Decimal("0.12"),
        "S3 (Parquet)": Decimal("0.05"),
        "Glue": Decimal(13),
        "Athena": Decimal("0.50"),
        "Total": Decimal(17),
    }


def test_every_dollar_of_the_path_stands_in_one_row_of_the_comparison() -> None:
    rows = compare(PRICES)
    assert rows[-2].name == "Total"
    assert rows[-2].costs == total(LINES, Part.PATH)


def test_the_command_prints_each_line_with_what_it_says_and_what_it_is() -> None:
    command = Typer()
    command.command()(print_bill)
    printed = CliRunner().invoke(command, [], env={"COLUMNS": "160"}).stdout
    assert "13    13.200    0.040  right, but it is 2 DPU" in printed
    (glue,) = [
        line
        for line in map(json.loads, CliRunner().invoke(command, ["--json"]).stdout.splitlines())
        if line["line"] == "Glue"
    ]
    assert (glue["baseline_says"], round(glue["baseline_costs"], 2)) == (13, 13.2)
