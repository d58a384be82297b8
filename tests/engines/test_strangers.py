"""Names in raw that Firehose did not write (docs/design.md, "Strangers"): in a folder and on S3.

interface: ``objects.skipped`` and ``objects.strays`` of the manifest count them. ``status --json`` has the names of up
to 20 strays in ``strays``. The metadata of ``raw_hour_folders`` and a check that warns have the same names; how these
are called is not assumed here: the tests look through all that is said of a day.
interface: an object that lies in an archive fails the day with an ``AuditPipelineError`` that says to restore it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import dagster as dg
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from audit_pipeline.engines import run_partition
from audit_pipeline.errors import AuditPipelineError
from audit_pipeline.orchestration.names import HOUR_COVERAGE, RAW
from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import Manifest
from tests.servers.s3 import AWS_VARIABLES
from tests.support.cli_harness import Commands
from tests.support.dagster_harness import OWN_CHECKS, Deployment, Instance, said
from tests.support.lake import DAY1, DAY2, DAY3, Lake, event, ids, key, zipped
from tests.support.rules import objects

DAY_FOLDER = "year=2026/month=05/day=01"
HOUR_FOLDER = f"{DAY_FOLDER}/hour=10"


def delivered(lake: Lake, *names: str) -> Lake:
    """One good event in the hour folder, and one under each of these keys that must be read, or must not."""
    lake.write(f"{HOUR_FOLDER}/a-good-one", event("good"))
    for name in names:
        lake.write(name, event(name))
    return lake


# === What tools leave in an hour folder =============================================================================


LEFT_BEHIND = [
    *("_SUCCESS", "_started_4823749823", "_committed_4823749823", "_committed_vacuum123", "_started_", "_committed_"),
    *("_temporary/0/part-00000.gz", "_temporary/0/task_2026/part-00000.gz", "_temporary/x", ".DS_Store"),
    *(
        "._a.gz",
        "._.DS_Store",
        "._",
        ".part-00000.gz.crc",
        "._SUCCESS.crc",
        ".a.crc",
        "5_$folder$",
        "minute=00_$folder$",
    ),
    *("sub/_SUCCESS", "sub/.DS_Store", "sub/._a", "sub/.a.crc", "sub/_temporary/a", "sub/b_$folder$"),
]


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_what_tools_are_known_to_leave_is_skipped_and_counted(lake: Lake, name: str) -> None:
    delivered(lake, f"{HOUR_FOLDER}/{name}").run()
    assert ids(lake.rows()) == ["good"]
    assert lake.manifest()["objects"] == objects(1, skipped=1)
    assert [given["key"] for given in lake.manifest()["inputs"]] == [f"{HOUR_FOLDER}/a-good-one"]
    assert lake.quarantine() == []


def test_all_of_them_at_once(lake: Lake) -> None:
    delivered(lake, *(f"{HOUR_FOLDER}/{name}" for name in LEFT_BEHIND)).run()
    assert ids(lake.rows()) == ["good"]
    assert lake.manifest()["objects"] == objects(1, skipped=len(LEFT_BEHIND))


def test_they_are_skipped_whatever_they_hold(lake: Lake) -> None:
    delivered(lake)
    for number, data in enumerate([b"", b"\x1f\x8bno gzip", b"{broken", bytes(4096)]):
        lake.write(f"{HOUR_FOLDER}/._{number}", data)
    lake.run()
    assert lake.manifest()["objects"] == objects(1, skipped=4)
    assert lake.manifest()["events"]["quarantined"] == 0


READ = [
    *("a", "a.tmp", "~a", "ü", "_a", "_metadata", "__a", ".a", ".hidden.gz", "a.crc", "crc", "SUCCESS", "_success"),
    *("_SUCCESS.gz", "x_SUCCESS", "_started", "_committed", "_startedx", "committed_1", "DS_Store", ".DS_Store.gz"),
    *("a._b", "a/b", "minute=00/a.gz", "_temporary_/a", "temporary/a", "_a/b", ".a/b", "$folder$", "a_$folder$_b"),
    *("Thumbs.db", "desktop.ini", "README", "a b", "a%20b", "a&b=c", "part-00000.parquet", "hour=05"),
]


@pytest.mark.parametrize("name", READ)
def test_whatever_else_lies_in_an_hour_folder_is_read(lake: Lake, name: str) -> None:
    path = f"{HOUR_FOLDER}/{name}"
    delivered(lake, path).run()
    assert sorted(ids(lake.rows())) == sorted(["good", path])
    assert lake.manifest()["objects"] == objects(2)


def test_an_empty_file_of_any_other_name_is_an_empty_object(lake: Lake) -> None:
    delivered(lake)
    lake.write(f"{HOUR_FOLDER}/empty", b"")
    lake.run()
    assert lake.manifest()["objects"] == objects(2)


def test_an_empty_folder_is_nothing(lake: Lake) -> None:
    delivered(lake)
    (lake.raw / HOUR_FOLDER / "minute=00").mkdir()
    (lake.raw / DAY_FOLDER / "hour=11").mkdir()
    (lake.raw / DAY_FOLDER / "hour=5").mkdir()
    lake.run()
    assert lake.manifest()["objects"] == objects(1)


@pytest.mark.parametrize(
    "name", ["tab\tname.gz", "new\nline", "bell\x07", "del\x7f", "\u200b", "trailing ", "back\\slash"]
)
def test_an_odd_file_name_is_read_or_it_is_counted(lake: Lake, name: str) -> None:
    delivered(lake, f"{HOUR_FOLDER}/{name}").run()
    found = len(lake.rows())
    assert "good" in ids(lake.rows())
    assert lake.manifest()["objects"] in (objects(2), objects(1, strays=1))
    assert found == lake.manifest()["objects"]["read"]


# === Strays =========================================================================================================


STRAYS = {
    "straight in the day's folder": f"{DAY_FOLDER}/replayed.gz",
    "hour without a zero": f"{DAY_FOLDER}/hour=5/a.gz",
    "hour that does not exist": f"{DAY_FOLDER}/hour=24/a.gz",
    "hour of another length": f"{DAY_FOLDER}/hour=005/a.gz",
    "hour that is no number": f"{DAY_FOLDER}/hour=xx/a.gz",
    "folder of another name": f"{DAY_FOLDER}/hours=05/a.gz",
    "folder between": f"{DAY_FOLDER}/replayed/hour=05/a.gz",
    "month without a zero": "year=2026/month=5/day=01/hour=05/a.gz",
    "day without a zero": "year=2026/month=05/day=1/hour=05/a.gz",
    "both without a zero": "year=2026/month=5/day=1/hour=05/a.gz",
    "all without a zero": "year=2026/month=5/day=1/hour=5/a.gz",
    "Firehose's default prefix": "2026/05/01/05/a.gz",
    "a day of the default prefix": "2026/05/01/a.gz",
}


@pytest.mark.parametrize("name", STRAYS)
def test_an_object_of_the_day_where_no_partition_reads_it_is_a_stray(lake: Lake, name: str) -> None:
    delivered(lake, STRAYS[name]).run()
    assert ids(lake.rows()) == ["good"]
    assert lake.manifest()["objects"] == objects(1, strays=1)
    assert lake.quarantine() == []


def test_all_strays_of_a_day_are_counted(lake: Lake) -> None:
    delivered(lake, *STRAYS.values()).run()
    assert lake.manifest()["objects"] == objects(1, strays=len(STRAYS))


@pytest.mark.parametrize("partition", [date(2026, 10, 12), date(2026, 12, 31)])
def test_of_a_day_and_month_with_two_digits_the_spellings_are_one(lake: Lake, partition: date) -> None:
    folder = f"year=2026/month={partition.month}/day={partition.day}"
    for name in (f"{folder}/a", f"{folder}/hour=5/a", f"2026/{partition.month}/{partition.day}/05/a"):
        lake.write(name, event(name))
    lake.run(partition)
    assert lake.manifest(partition)["objects"] == objects(strays=3)


NOT_OF_THE_DAY = [
    *("year=2026/month=05/day=02/a", "year=2026/month=05/day=02/hour=0/a", "year=2026/month=5/day=2/hour=5/a"),
    *("year=2026/month=05/day=11/hour=5/a", "year=2026/month=05/day=10/a", "year=2026/month=5/day=11/hour=05/a"),
    *("2026/05/02/05/a", "2026/05/011/a", "2026/05/a", "2026/04/01/05/a", "year=2025/month=05/day=01/a"),
    *("year=2026/month=05/a", "year=2026/a", "a", "errors/2026/05/01/a", "year=2026/month=05/day=01.bak/a"),
]


def test_a_run_looks_for_strays_of_its_own_day_only(lake: Lake) -> None:
    delivered(lake, *NOT_OF_THE_DAY).run()
    assert lake.manifest()["objects"] == objects(1)
    assert ids(lake.rows()) == ["good"]


def test_each_day_counts_its_own_strays(lake: Lake) -> None:
    delivered(lake, f"{DAY_FOLDER}/a", "2026/05/02/05/a", "2026/05/02/06/b", "year=2026/month=05/day=3/hour=00/c")
    for day in (DAY1, DAY2, DAY3):
        lake.run(day)
    assert [lake.manifest(day)["objects"]["strays"] for day in (DAY1, DAY2, DAY3)] == [1, 2, 1]


@pytest.mark.parametrize(
    "name",
    [
        "_SUCCESS",
        ".DS_Store",
        "._hour=05",
        "_temporary/0/a",
        "hour=05_$folder$",
        ".a.crc",
        "_committed_1",
        "hour=5/_SUCCESS",
    ],
)
def test_what_tools_leave_in_the_days_folder_is_no_stray(lake: Lake, name: str) -> None:
    delivered(lake, f"{DAY_FOLDER}/{name}").run()
    assert lake.manifest()["objects"]["strays"] == 0
    assert ids(lake.rows()) == ["good"]


def test_strays_alone_do_not_make_a_day_fail_or_hide_its_other_objects(lake: Lake) -> None:
    for name in STRAYS.values():
        lake.write(name, zipped(event(name)))
    lake.run()
    assert lake.manifest()["objects"] == objects(strays=len(STRAYS))
    assert lake.rows() == []
    delivered(lake).run()
    assert ids(lake.rows()) == ["good"]


def test_a_day_that_ran_before_tools_names_were_skipped_runs_again(lake: Lake) -> None:
    """Its manifest has such a name among its inputs: it has not vanished."""
    delivered(lake, f"{HOUR_FOLDER}/b", f"{HOUR_FOLDER}/_SUCCESS").run()
    path = lake.path / f"auditlog_manifest/{DAY1}.json"
    path.write_text(path.read_text().replace("hour=10/b", "hour=10/_SUCCESS"))
    (lake.raw / HOUR_FOLDER / "b").unlink()
    lake.run()
    assert ids(lake.rows()) == ["good"]


# === What Dagster and status say ====================================================================================


FIVE = ("2026-05-01", "2026-05-02", "2026-05-03", "2026-05-04", "2026-05-05")
#: A stray of each day, and how many there are: the hours unpadded, the month unpadded, Firehose's default prefix,
#: straight in the day's folder; and nothing on the fifth.
FIRST_STRAY = {
    FIVE[0]: (f"{DAY_FOLDER}/hour=0/a.gz", 10),
    FIVE[1]: ("year=2026/month=5/day=02/hour=00/a.gz", 24),
    FIVE[2]: ("2026/05/03/00/a.gz", 24),
    FIVE[3]: ("year=2026/month=05/day=04/12.gz", 12),
}


@dataclass(frozen=True)
class Site:
    """Five days that ran together."""

    deployment: Deployment
    instance: Instance
    run: dg.ExecuteInProcessResult
    cli: Commands

    def status(self) -> dict[str, dict[str, Any]]:
        lines = self.cli.shows("status", "--from", FIVE[0], "--to", FIVE[-1], "--json").splitlines()
        return {day["partition"]: day for day in map(json.loads, lines)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    deployment = Deployment(tmp_path_factory.mktemp("strays") / "it").create(with_examples=False)

    def put(name: str, day: int, hour: int) -> None:
        deployment.write(name, event(name, time=f"2026-05-{day:02}T{hour:02}:00:00Z"))

    for hour in range(24):
        put(f"{DAY_FOLDER}/hour={hour}/a.gz", 1, hour)
        put(f"year=2026/month=5/day=02/hour={hour:02}/a.gz", 2, hour)
        put(f"2026/05/03/{hour:02}/a.gz", 3, hour)
        put(f"year=2026/month=05/day=04/{f'hour={hour:02}/a.gz' if hour < 12 else f'{hour}.gz'}", 4, hour)
        put(f"year=2026/month=05/day=05/hour={hour:02}/a.gz", 5, hour)
    put("year=2026/month=05/day=05/hour=07/_SUCCESS", 5, 7)
    environment = deployment.environment()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with deployment.instance() as instance:
            run = instance.run(*FIVE)
            yield Site(deployment, instance, run, Commands(environment))


def test_the_days_run_and_hold_what_lies_in_their_hour_folders(site: Site) -> None:
    assert site.run.success
    status = site.status()
    assert [status[day]["rows"] for day in FIVE] == [14, 0, 0, 12, 24]


@pytest.mark.parametrize("day", FIRST_STRAY)
def test_a_check_warns_of_strays_and_names_them(site: Site, day: str) -> None:
    name, count = FIRST_STRAY[day]
    warned = [e for e in site.instance.failed_checks(day).values() if name in said(e)]
    assert warned
    assert {evaluation.severity for evaluation in warned} == {dg.AssetCheckSeverity.WARN}
    assert any(str(count) in str(evaluation.description) for evaluation in warned)


@pytest.mark.parametrize("day", FIRST_STRAY)
def test_raw_hour_folders_counts_and_names_them(site: Site, day: str) -> None:
    name, count = FIRST_STRAY[day]
    metadata = site.instance.metadata(RAW, day)
    assert count in metadata.values()
    assert any(name in str(value) for value in metadata.values())


@pytest.mark.parametrize("day", FIRST_STRAY)
def test_status_counts_and_names_them(site: Site, day: str) -> None:
    name, count = FIRST_STRAY[day]
    status = site.status()[day]
    assert status["objects"]["strays"] == count
    assert status["strays"][0] == name
    assert len(status["strays"]) == min(count, 20)


def test_no_more_than_20_are_named(site: Site) -> None:
    day = FIVE[1]
    names = [f"year=2026/month=5/day=02/hour={hour:02}/a.gz" for hour in range(24)]
    for text in [said(e) for e in site.instance.failed_checks(day).values()] + [str(site.instance.metadata(RAW, day))]:
        assert sum(name in text for name in names) in (0, 20)


def test_status_shows_a_person_that_there_are_strays(site: Site) -> None:
    shown = site.cli.shows("status", "--from", FIVE[0], "--to", FIVE[-1])
    assert "24 strays" in shown


@pytest.mark.parametrize("day", FIRST_STRAY)
def test_that_an_hour_is_empty_is_not_said_where_its_objects_are(site: Site, day: str) -> None:
    assert "no object in the hours" not in str(site.instance.evaluation(HOUR_COVERAGE, day).description)


def test_a_day_without_strays_has_no_warning_of_them(site: Site) -> None:
    day = FIVE[4]
    assert not any("stray" in said(e) for e in site.instance.failed_checks(day).values())
    status = site.status()[day]
    assert status["objects"] == objects(24, skipped=1)
    assert status["strays"] == []


def test_strays_and_skipped_names_are_in_dagsters_own_event_log(site: Site) -> None:
    """Python's log as Dagster keeps it, where a person looks at the run: not on stderr alone."""
    said_in_the_log = "\n".join(entry.user_message for entry in site.instance.dagster.all_logs(site.run.run_id))
    for name, _ in FIRST_STRAY.values():
        assert name in said_in_the_log
    assert "year=2026/month=05/day=05/hour=07/_SUCCESS" in said_in_the_log


def test_they_are_there_once_where_dagster_captures_the_log_itself(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path / "it").create(with_examples=False)
    deployment.write("2026/05/01/00/a.gz", event("a"))
    with (deployment.home / "dagster.yaml").open("a") as settings:
        settings.write("python_logs:\n  managed_python_loggers: [audit_pipeline]\n")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in deployment.environment().items():
            patch.setenv(name, value)
        with deployment.instance() as instance:
            run = instance.run(FIVE[0], checks=())
            logged = [
                entry.user_message for entry in instance.dagster.all_logs(run.run_id) if not entry.is_dagster_event
            ]
    assert sum("2026/05/01/00/a.gz" in message for message in logged) == 1


def test_each_check_still_has_an_answer_for_each_day(site: Site) -> None:
    for check in OWN_CHECKS:
        for day in FIVE:
            assert site.instance.evaluation(check, day)


# === On S3 ==========================================================================================================


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@dataclass
class Bucket:
    """Raw in a bucket of its own; the lake lies in a folder."""

    name: str
    client: Any
    lake: Lake

    def put(self, raw_key: str, data: bytes | str, **more: str) -> None:
        body = data.encode() if isinstance(data, str) else data
        self.client.put_object(Bucket=self.name, Key=f"raw/{raw_key}", Body=body, **more)

    @property
    def url(self) -> str:
        return f"s3://{self.name}/raw"

    def run(self, partition: date = DAY1) -> Manifest:
        settings = Settings(raw_url=self.url, lake_url=str(self.lake.path), start_date=DAY1, workers=1)
        return run_partition(settings, partition)

    def status(self) -> dict[str, dict[str, Any]]:
        cli = Commands(
            {"AUDIT_RAW_URL": self.url, "AUDIT_LAKE_URL": str(self.lake.path), "AUDIT_START_DATE": str(DAY1)}
        )
        shown = cli.shows("status", "--from", str(DAY1), "--to", str(DAY3), "--json")
        return {day["partition"]: day for day in map(json.loads, shown.splitlines())}


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in (AWS_VARIABLES | {"AWS_ENDPOINT_URL": endpoint}).items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}))
    made = Bucket(f"raw-{uuid4().hex}", client, Lake(tmp_path))
    client.create_bucket(Bucket=made.name)
    for hour in (0, 5, 23):
        made.put(key(DAY1, hour, "ok.gz"), zipped(event(f"good {hour}")))
    return made


GOOD = ["good 0", "good 23", "good 5"]

MARKERS = [
    *(
        f"{DAY_FOLDER}/hour=05/minute=00/",
        f"{DAY_FOLDER}/hour=05/",
        f"{DAY_FOLDER}/",
        "year=2026/month=05/",
        "year=2026/",
    ),
    *(f"{DAY_FOLDER}/hour=06/", f"{DAY_FOLDER}/hour=6/", "year=2026/month=5/", "2026/05/01/", "2026/05/01/05/", ""),
]


def test_zero_byte_keys_that_end_in_a_slash_are_no_objects(bucket: Bucket) -> None:
    for marker in MARKERS:
        bucket.put(marker, b"")
    bucket.run()
    assert sorted(ids(bucket.lake.rows())) == GOOD
    assert bucket.lake.manifest()["objects"] == objects(3)
    day = bucket.status()[str(DAY1)]
    assert (day["rows"], day["raw_changes"]) == (3, {"new": 0, "changed": 0, "vanished": 0})


@pytest.mark.parametrize("marker", [f"{HOUR_FOLDER}/minute=00/", f"{DAY_FOLDER}/hour=05/x/y/"])
def test_a_marker_below_an_hour_neither_stops_the_day_nor_makes_it_due_again(bucket: Bucket, marker: str) -> None:
    bucket.put(marker, b"")
    bucket.put(f"{marker}inside.gz", zipped(event("inside")))
    bucket.run()
    bucket.run()
    assert sorted(ids(bucket.lake.rows())) == sorted([*GOOD, "inside"])
    assert bucket.status()[str(DAY1)]["raw_changes"] == {"new": 0, "changed": 0, "vanished": 0}


ODD_KEYS = [
    f"{DAY_FOLDER}//x.gz",
    f"{DAY_FOLDER}/hour=05//x.gz",
    f"{DAY_FOLDER}/hour=05/a//b.gz",
    f"{DAY_FOLDER}/hour=05/tab\tname.gz",
    f"{DAY_FOLDER}/hour=05/escape\x1b[2J.gz",
    f"{DAY_FOLDER}/hour=05/bell\x07.gz",
    f"{DAY_FOLDER}/hour=05/ends in a slash/",
]


@pytest.mark.parametrize("odd", ODD_KEYS)
def test_a_key_that_cannot_be_addressed_is_named_and_the_rest_goes_on(
    bucket: Bucket, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted as a stray, unless the store can read it after all."""
    bucket.put(odd, zipped(event("odd")))
    bucket.put(key(DAY2, 5), zipped(event("next", time="2026-05-02T05:00:00Z")))
    with caplog.at_level("WARNING"):
        bucket.run()
    found = sorted(ids(bucket.lake.rows()))
    if found != sorted([*GOOD, "odd"]):
        assert found == GOOD
        assert bucket.lake.manifest()["objects"] == objects(3, strays=1)
        warned = "\n".join(record.getMessage() for record in caplog.records if record.levelname == "WARNING")
        # as it is, or with what cannot be shown written as an escape
        assert odd in warned or odd.encode("unicode_escape").decode() in warned
    bucket.run(DAY2)
    assert "next" in ids(bucket.lake.rows())
    status = bucket.status()
    assert [status[str(day)]["rows"] for day in (DAY1, DAY2)] == [len(found), 1]


def test_an_odd_key_of_one_day_is_of_no_other(bucket: Bucket) -> None:
    bucket.put("year=2026/month=05/day=02/hour=05//x.gz", zipped(event("odd")))
    bucket.run(DAY1)
    assert bucket.lake.manifest(DAY1)["objects"] == objects(3)


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_object_fails_its_day_and_says_to_restore_it(bucket: Bucket, storage_class: str) -> None:
    cold = key(DAY1, 5, "cold.gz")
    bucket.put(cold, zipped(event("cold")), StorageClass=storage_class)
    bucket.put(key(DAY2, 5), zipped(event("next", time="2026-05-02T05:00:00Z")))
    with pytest.raises(AuditPipelineError) as failed:
        bucket.run()
    text = str(failed.value)
    assert "\n" not in text
    assert "cold.gz" in text
    assert "restore" in text.lower()
    assert "archive" in text.lower()
    assert "privilege" not in text.lower()
    bucket.run(DAY2)
    assert ids(bucket.lake.rows()) == ["next"]
    status = bucket.status()
    assert [status[str(day)]["has_run"] for day in (DAY1, DAY2)] == [False, True]


def test_a_restored_object_is_read(bucket: Bucket) -> None:
    cold = key(DAY1, 5, "cold.gz")
    bucket.put(cold, zipped(event("cold")), StorageClass="GLACIER")
    bucket.client.restore_object(Bucket=bucket.name, Key=f"raw/{cold}", RestoreRequest={"Days": 1})
    bucket.run()
    assert sorted(ids(bucket.lake.rows())) == sorted([*GOOD, "cold"])


def test_strays_and_left_behind_names_are_found_on_s3_as_in_a_folder(bucket: Bucket) -> None:
    for name in LEFT_BEHIND:
        bucket.put(f"{HOUR_FOLDER}/{name}", event(name))
    for name in STRAYS.values():
        bucket.put(name, event(name))
    for name in NOT_OF_THE_DAY:
        bucket.put(name, event(name))
    bucket.run()
    assert sorted(ids(bucket.lake.rows())) == GOOD
    assert bucket.lake.manifest()["objects"] == objects(3, skipped=len(LEFT_BEHIND), strays=len(STRAYS))
