"""Days of which much became nothing: none is green, and what was counted is shown (docs/design.md, "Conservation").

interface: the metadata of ``audit_log_parquet`` has ``objects_unreadable``, ``objects_skipped``, ``objects_strays``,
``text_bytes``, ``text_bytes_quarantined`` and ``unreadable_bytes``; ``status --json`` has ``objects``, ``text_bytes``
and ``unreadable_bytes`` as the manifest has them.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from audit_pipeline.orchestration.names import CHECKS, PARQUET, TABLE
from tests.support.cli_harness import Commands
from tests.support.dagster_harness import Deployment, Instance, order_change, said
from tests.support.formats import firehose_snappy, gzip_member, gzip_members

CHECK = "readable_share"
CORRUPT, HALF, SHAPES, LUMPS, GOOD = (f"2026-05-0{n}" for n in range(1, 6))
DAYS = (CORRUPT, HALF, SHAPES, LUMPS, GOOD)
EVENTS = 5


def texts(day: str, hour: int) -> list[bytes]:
    return [order_change(f"{day}T{hour:02}:{n:02}:00Z").encode() for n in range(EVENTS)]


def corrupt(data: bytes) -> bytes:
    member = bytearray(gzip_member(data))
    member[-8] ^= 1  # its checksum
    return bytes(member)


def good(listed: list[bytes]) -> bytes:
    return gzip_member(b"".join(listed))


#: Whole objects that gave one record each, and no row, before the rules knew them.
SHAPES_OF_THE_AFTERNOON: list[Callable[[list[bytes]], bytes]] = [
    lambda listed: firehose_snappy(b"".join(listed)),
    lambda listed: gzip_member(gzip_member(b"".join(listed))),
    lambda listed: gzip_member(b"[" + b",".join(listed) + b"]"),
    lambda listed: gzip_member(b",".join(listed)),
    lambda listed: gzip_member(b"\\n".join(listed)),
    lambda listed: gzip_members(listed, b"\n"),
]


def packed(day: str, hour: int) -> bytes:
    listed = texts(day, hour)
    if day == CORRUPT or (day == HALF and hour >= 12):
        return corrupt(b"".join(listed))
    if day == SHAPES and hour >= 12:
        return SHAPES_OF_THE_AFTERNOON[hour % len(SHAPES_OF_THE_AFTERNOON)](listed)
    if day == LUMPS and hour >= 12:
        return gzip_member(b"[" + b",".join([*listed, b"NaN"]) + b"]")
    return good(listed)


@dataclass(frozen=True)
class Site:
    instance: Instance
    deployment: Deployment
    cli: Commands

    def status(self) -> dict[str, dict[str, Any]]:
        shown = self.cli.shows("status", "--from", DAYS[0], "--to", DAYS[-1], "--json")
        return {day["partition"]: day for day in map(json.loads, shown.splitlines())}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    deployment = Deployment(tmp_path_factory.mktemp("readable") / "it").create(with_examples=False)
    for day in DAYS:
        for hour in range(24):
            path = deployment.raw / f"year=2026/month=05/day={day[-2:]}/hour={hour:02}/a"
            path.parent.mkdir(parents=True)
            path.write_bytes(packed(day, hour))
    (deployment.raw / "year=2026/month=05/day=05/hour=05/_SUCCESS").touch()
    environment = deployment.environment()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with deployment.instance() as instance:
            instance.run(*DAYS, checks=CHECKS)
            yield Site(instance, deployment, Commands(environment))


def test_a_day_of_whose_objects_none_could_be_read_is_held_back(site: Site) -> None:
    evaluation = site.instance.evaluation(CHECK, CORRUPT)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "24 of 24 objects" in str(evaluation.description)
    assert site.instance.statuses(TABLE, [CORRUPT])[CORRUPT] != "MATERIALIZED"


def test_a_day_of_whose_objects_half_could_not_be_read_warns(site: Site) -> None:
    evaluation = site.instance.evaluation(CHECK, HALF)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "12 of 24 objects" in str(evaluation.description)
    assert site.instance.statuses(TABLE, [HALF])[HALF] == "MATERIALIZED"
    assert site.status()[HALF]["rows"] == 12 * EVENTS


def test_a_day_of_unusual_shapes_has_all_of_its_rows(site: Site) -> None:
    assert site.instance.evaluation(CHECK, SHAPES).passed
    day = site.status()[SHAPES]
    assert (day["rows"], day["quarantined_records"]) == (24 * EVENTS, 0)


def test_a_day_of_whose_bytes_half_became_nothing_is_held_back_though_few_texts_did(site: Site) -> None:
    day = site.status()[LUMPS]
    assert (day["events"]["kept"], day["events"]["quarantined"]) == (12 * EVENTS, 12)
    evaluation = site.instance.evaluation(CHECK, LUMPS)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "bytes" in str(evaluation.description)
    assert "12 not_json" in said(evaluation)


def test_a_good_day_passes_every_check(site: Site) -> None:
    assert {name: said(e) for name, e in site.instance.failed_checks(GOOD).items()} == {}


def test_no_day_is_all_green_where_rows_are_missing(site: Site) -> None:
    status = site.status()
    for day in DAYS:
        is_green = set(status[day]["checks"].values()) == {"passed"}
        assert not is_green or status[day]["rows"] == 24 * EVENTS


def test_the_days_numbers_are_in_its_metadata(site: Site) -> None:
    shown = site.instance.metadata(PARQUET, HALF)
    unreadable = sum(len(packed(HALF, hour)) for hour in range(12, 24))
    read = sum(len(text) for hour in range(12) for text in texts(HALF, hour))
    assert (shown["objects"], shown["objects_unreadable"], shown["unreadable_bytes"]) == (25, 12, unreadable)
    assert (shown["text_bytes"], shown["text_bytes_quarantined"]) == (read, 0)
    shown = site.instance.metadata(PARQUET, GOOD)
    assert (shown["objects"], shown["objects_skipped"], shown["objects_strays"]) == (24, 1, 0)
    shown = site.instance.metadata(PARQUET, LUMPS)
    lumps = sum(len(gzip.decompress(packed(LUMPS, hour))) for hour in range(12, 24))
    assert shown["text_bytes_quarantined"] == lumps


@pytest.mark.parametrize("day", DAYS)
def test_status_has_them_too(site: Site, day: str) -> None:
    manifest = json.loads(site.deployment.manifest_path(day).read_bytes())
    shown = site.status()[day]
    for name in ("objects", "text_bytes", "unreadable_bytes"):
        assert shown[name] == manifest[name]


def test_status_tells_a_person_what_could_not_be_read(site: Site) -> None:
    shown = " ".join(site.cli.shows("status", "--from", DAYS[0], "--to", DAYS[-1]).split())
    assert "24 unreadable" in shown
    assert "12 unreadable" in shown
    assert f"{CHECK} warns" in shown


def test_the_check_stands_among_those_of_the_rows(site: Site) -> None:
    assert CHECKS[CHECK] == PARQUET
    assert "quarantine_share" not in CHECKS
