"""Which partitions a run is for."""

from datetime import date

import dagster as dg
import pytest

from audit_pipeline.orchestration.partitions import partitions_of


@pytest.mark.parametrize(
    ("tags", "partitions"),
    [
        ({"dagster/partition": "2026-05-01"}, [date(2026, 5, 1)]),
        (
            {"dagster/asset_partition_range_start": "2026-04-30", "dagster/asset_partition_range_end": "2026-05-01"},
            [date(2026, 4, 30), date(2026, 5, 1)],
        ),
        ({}, []),
        ({"dagster/partition": "2026-05-01-13:00"}, []),
        ({"dagster/partition": "2026-05-01|eu"}, []),
    ],
    ids=["one", "a range", "none", "an hour of another pipeline", "a cell of another pipeline"],
)
def test_the_partitions_of_a_run_are_those_of_its_tags(tags: dict[str, str], partitions: list[date]) -> None:
    assert partitions_of(dg.DagsterRun(job_name="any", tags=tags)) == partitions
