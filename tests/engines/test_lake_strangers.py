"""Names in the lake that no run wrote (docs/design.md, "Strangers"), and what one broken day may not do to others.

interface: which check names a data file that no manifest names is not assumed: some check of the file's date is an
error and has the path, relative to the lake or whole, in what it says.
interface: ``status --json`` has a line for a day whose manifest cannot be read, with the name of the file in ``error``.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from audit_pipeline import AuditLogClient, AuditLogQuery
from audit_pipeline.catalog import open_table
from audit_pipeline.errors import QueryError
from audit_pipeline.orchestration.names import TABLE, UNNAMED_FILES
from audit_pipeline.query.adhoc import run_sql
from audit_pipeline.settings import QuerySettings, Settings
from audit_pipeline.store.manifest import read_manifest
from audit_pipeline.store.objects import open_store
from tests.engines.test_commit import KilledError, kill_at
from tests.support.cli_harness import Commands
from tests.support.dagster_harness import Deployment, Instance, said
from tests.support.lake import DAY1, DAY2, DAY3, Lake, event, ids, key

DETAIL = {"entity_type": '"Order"', "action": '"Create"'}
PARQUET, QUARANTINE, MANIFEST = "auditlog_parquet", "auditlog_quarantine", "auditlog_manifest"
FILE_2 = f"{PARQUET}/dt={DAY2}/source=shop/{DAY2}.parquet"
QUARANTINE_2 = f"{QUARANTINE}/dt={DAY2}/{DAY2}.parquet"


def texts(day: date, count: int) -> str:
    """Good events, and one in quarantine."""
    good = [event(f"{day}/{n}", time=f"{day}T10:00:{n:02}Z", detail=DETAIL) for n in range(count)]
    return "\n".join([*good, "{broken"])


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Of two days: 2 rows on the first, 3 on the second, a record in quarantine each."""
    return filled(Lake(tmp_path))


def filled(lake: Lake) -> Lake:
    for day, count in ((DAY1, 2), (DAY2, 3)):
        lake.write(key(day), texts(day, count))
        lake.run(day)
    return lake


def put(lake: Lake, path: str, content: bytes | str = b"") -> None:
    """A file with this content; with a copy of another file of the lake, where that is a path."""
    target = lake.path / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        shutil.copy(lake.path / content, target)
    else:
        target.write_bytes(content)


# === Who reads the lake =============================================================================================


SPAN = {"from_date": DAY1, "to_date": DAY3 + timedelta(days=1)}


def by_client(lake: Lake, **chosen: Any) -> list[str]:
    with AuditLogClient(QuerySettings(lake_url=str(lake.path), workers=1)) as client:
        query = AuditLogQuery(**SPAN | {"order": "asc"} | chosen)
        return [item.id for item in client.query(query).items]


def by_client_of_a_source(lake: Lake) -> list[str]:
    return by_client(lake, sources=["shop"])


def by_history(lake: Lake) -> list[str]:
    with AuditLogClient(QuerySettings(lake_url=str(lake.path), workers=1)) as client:
        return [entry.item.id for entry in client.history("Order", "1", *SPAN.values())]


def by_sql(lake: Lake, where: str = "") -> list[str]:
    result = run_sql(QuerySettings(lake_url=str(lake.path), workers=1), f'SELECT "Id" FROM auditlog {where} ORDER BY 1')
    found: list[str] = result.table["Id"].to_pylist()
    return found


def by_sql_of_the_quarantine(lake: Lake) -> list[str]:
    sql = "SELECT dt || '/' || \"Reason\" AS r FROM auditlog_quarantine ORDER BY 1"
    found: list[str] = run_sql(QuerySettings(lake_url=str(lake.path), workers=1), sql).table["r"].to_pylist()
    return found


def settings_of(lake: Lake) -> Settings:
    return Settings(raw_url=str(lake.raw), lake_url=str(lake.path), start_date=DAY1, workers=1)


def by_the_catalog(lake: Lake) -> list[str]:
    """The rows of each day in the table, as the asset of the table looks them up."""
    table = open_table(settings_of(lake))
    table.define()
    found = []
    for day in (DAY1, DAY2):
        manifest = read_manifest(open_store(str(lake.path)), day)
        assert manifest
        looked_up = table.look_up(manifest)
        found += [f"{day}: {looked_up.rows_owned} of {looked_up.rows_of_date}"]
    return found


def cli(lake: Lake) -> Commands:
    urls = {"AUDIT_RAW_URL": str(lake.raw), "AUDIT_LAKE_URL": str(lake.path), "AUDIT_START_DATE": str(DAY1)}
    return Commands(urls | {"AUDIT_WORKERS": "1"})


def status(lake: Lake) -> dict[str, dict[str, Any]]:
    shown = cli(lake).shows("status", "--from", str(DAY1), "--to", str(DAY3), "--json")
    return {day["partition"]: day for day in map(json.loads, shown.splitlines())}


def by_status(lake: Lake) -> list[str]:
    return [f"{day}: {shown['rows']}" for day, shown in status(lake).items()]


def by_the_command_quarantine(lake: Lake) -> list[str]:
    shown = cli(lake).shows("quarantine", "--from", str(DAY1), "--to", str(DAY3), "--json")
    return [json.loads(line)["reason"] for line in shown.splitlines()]


IDS = [f"{DAY1}/0", f"{DAY1}/1", f"{DAY2}/0", f"{DAY2}/1", f"{DAY2}/2"]
READERS: dict[str, tuple[Callable[[Lake], list[str]], list[str]]] = {
    "query": (by_client, IDS),
    "query of a source": (by_client_of_a_source, IDS),
    "history": (by_history, IDS),
    "sql": (by_sql, IDS),
    "sql of the quarantine": (by_sql_of_the_quarantine, [f"{DAY1}/not_json", f"{DAY2}/not_json"]),
    "the catalog": (by_the_catalog, [f"{DAY1}: 2 of 2", f"{DAY2}: 3 of 3"]),
    "status": (by_status, [f"{DAY1}: 2", f"{DAY2}: 3", f"{DAY3}: None"]),
    "the command quarantine": (by_the_command_quarantine, ["not_json", "not_json"]),
}


#: Those that read files, and the one that reads manifests, by ways of their own.
QUICK = ("query", "sql of the quarantine", "status")


def assert_as_before(lake: Lake, names: Iterable[str] = tuple(READERS)) -> None:
    assert {name: READERS[name][0](lake) for name in names} == {name: READERS[name][1] for name in names}


def test_the_readers_read_what_the_days_hold(lake: Lake) -> None:
    assert_as_before(lake)


# === Names that begin with a dot or an underscore ===================================================================


APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(50)
SOURCE_2 = f"{PARQUET}/dt={DAY2}/source=shop"
HIDDEN: list[tuple[str, bytes | str]] = [
    (f"{SOURCE_2}/._{DAY2}.parquet", APPLE_DOUBLE),
    (f"{SOURCE_2}/.{DAY2}.parquet.crc", b"crc\0"),
    (f"{SOURCE_2}/.{DAY2}.parquet", FILE_2),
    (f"{SOURCE_2}/_{DAY2}.parquet", FILE_2),
    (f"{SOURCE_2}/_SUCCESS", b""),
    (f"{SOURCE_2}/_metadata", b"junk"),
    (f"{SOURCE_2}/.DS_Store", b"junk"),
    (f"{SOURCE_2}/_temporary/0/{DAY2}.parquet", FILE_2),
    (f"{PARQUET}/dt={DAY2}/_SUCCESS", b""),
    (f"{PARQUET}/dt={DAY2}/._source=shop", APPLE_DOUBLE),
    (f"{PARQUET}/dt={DAY2}/.hidden/{DAY2}.parquet", FILE_2),
    (f"{PARQUET}/_delta_log/00000.json", b"{}"),
    (f"{PARQUET}/.DS_Store", b"junk"),
    (f"{PARQUET}/_SUCCESS", b""),
    (f"{QUARANTINE}/dt={DAY2}/._{DAY2}.parquet", APPLE_DOUBLE),
    (f"{QUARANTINE}/dt={DAY2}/_{DAY2}.parquet", QUARANTINE_2),
    (f"{QUARANTINE}/.DS_Store", b"junk"),
]


@pytest.mark.parametrize(("path", "content"), HIDDEN, ids=[path for path, _ in HIDDEN])
def test_names_that_begin_with_a_dot_or_an_underscore_are_never_read_as_data(
    lake: Lake, path: str, content: bytes | str
) -> None:
    put(lake, path, content)
    assert_as_before(lake, QUICK)


def test_nor_are_all_of_them_at_once_by_any_reader_or_run(lake: Lake) -> None:
    for path, content in HIDDEN:
        put(lake, path, content)
    assert_as_before(lake)
    for day in (DAY1, DAY2):
        lake.run(day)
    assert_as_before(lake)


def test_nor_by_a_run_that_looks_for_copies(lake: Lake) -> None:
    """A late event of which only a hidden file has a copy is kept."""
    other = filled_elsewhere(lake)
    put(lake, f"{PARQUET}/dt={DAY1}/source=shop/_{DAY3}.parquet", other)
    put(lake, f"{PARQUET}/dt={DAY1}/source=shop/._{DAY1}.parquet", APPLE_DOUBLE)
    lake.write(key(DAY3), event("late", time=f"{DAY1}T12:00:00Z"))
    assert lake.run(DAY3).events.kept == 1
    assert by_client(lake) == sorted([*IDS[:2], "late"]) + IDS[2:]


def filled_elsewhere(lake: Lake) -> bytes:
    """The bytes of a data file with the row of a late event."""
    other = Lake(lake.root / "elsewhere")
    other.write(key(DAY3), event("late", time=f"{DAY1}T12:00:00Z"))
    other.run(DAY3)
    (data,) = other.files().values()
    return data


# === Data files that no manifest names ==============================================================================


UNNAMED: list[tuple[str, bytes | str]] = [
    (f"{SOURCE_2}/part-00000.snappy.parquet", FILE_2),
    (f"{SOURCE_2}/{DAY2} (1).parquet", FILE_2),
    (f"{SOURCE_2}/{DAY2}.parquet.bak", FILE_2),
    (f"{SOURCE_2}/{DAY2}", FILE_2),
    (f"{SOURCE_2}/{DAY2}.PARQUET", FILE_2),
    (f"{SOURCE_2}/2026-05-09.parquet", FILE_2),
    (f"{SOURCE_2}/{DAY1}.parquet", FILE_2),
    (f"{SOURCE_2}/sub/{DAY2}.parquet", FILE_2),
    (f"{SOURCE_2}/junk.parquet", b"junk"),
    (f"{SOURCE_2}/empty.parquet", b""),
    (f"{SOURCE_2}/export.csv", b"Id\n1\n"),
    (f"{PARQUET}/dt={DAY2}/source=other/{DAY2}.parquet", FILE_2),
    (f"{PARQUET}/dt={DAY2}/{DAY2}.parquet", FILE_2),
    (f"{QUARANTINE}/dt={DAY2}/part-0.parquet", QUARANTINE_2),
    (f"{QUARANTINE}/dt={DAY2}/junk.parquet", b"junk"),
]
#: Under no date that has run.
ELSEWHERE: list[tuple[str, bytes | str]] = [
    (f"{PARQUET}/dt=2026-04-01/source=shop/{DAY2}.parquet", FILE_2),
    (f"{PARQUET}/dt={DAY3}/source=shop/copy.parquet", FILE_2),
    (f"{PARQUET}/dt=tomorrow/source=shop/x.parquet", FILE_2),
    (f"{PARQUET}/copy.parquet", FILE_2),
    (f"{PARQUET}/backup/dt={DAY2}/source=shop/{DAY2}.parquet", FILE_2),
    (f"{QUARANTINE}/dt={DAY3}/{DAY3}.parquet", QUARANTINE_2),
]


@pytest.mark.parametrize(("path", "content"), UNNAMED + ELSEWHERE, ids=[path for path, _ in UNNAMED + ELSEWHERE])
def test_no_query_counts_a_data_file_that_no_manifest_names(lake: Lake, path: str, content: bytes | str) -> None:
    put(lake, path, content)
    assert_as_before(lake, QUICK)


def test_no_reader_counts_any_of_them(lake: Lake) -> None:
    for path, content in UNNAMED + ELSEWHERE:
        put(lake, path, content)
    assert_as_before(lake)


@pytest.mark.parametrize(("path", "content"), [UNNAMED[0], UNNAMED[8], ELSEWHERE[1]])
def test_it_stops_no_run_and_no_run_takes_it_away(lake: Lake, path: str, content: bytes | str) -> None:
    put(lake, path, content)
    for day in (DAY1, DAY2, DAY3):
        lake.run(day)
    assert (lake.path / path).exists()
    assert by_client(lake) == IDS


def test_its_rows_are_no_copies_of_what_comes_late(lake: Lake) -> None:
    put(lake, f"{PARQUET}/dt={DAY1}/source=shop/part-00000.parquet", filled_elsewhere(lake))
    lake.write(key(DAY3), event("late", time=f"{DAY1}T12:00:00Z"))
    assert lake.run(DAY3).events.kept == 1
    assert "late" in by_client(lake)


@dataclass(frozen=True)
class Site:
    """A deployment of two days whose lake has strangers of every kind, run again over them."""

    deployment: Deployment
    instance: Instance
    days: tuple[str, str]
    succeeded: bool


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    deployment = Deployment(tmp_path_factory.mktemp("unnamed") / "it").create(with_examples=False)
    days = (str(DAY1), str(DAY2))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in deployment.environment().items():
            patch.setenv(name, value)
        lake = Lake(deployment.root)
        for day, count in ((DAY1, 2), (DAY2, 3)):
            lake.write(key(day), texts(day, count))
        with deployment.instance() as instance:
            assert instance.run(*days).success
            for path, content in [*HIDDEN, *UNNAMED, *ELSEWHERE]:
                put(lake, path, content)
            run = instance.run(*days)
            yield Site(deployment, instance, days, run.success)


@pytest.mark.parametrize("path", [path for path, _ in UNNAMED])
def test_a_check_of_its_date_is_an_error_and_names_it(site: Site, path: str) -> None:
    naming = [e for e in site.instance.failed_checks(str(DAY2)).values() if path in said(e)]
    assert naming
    assert {evaluation.severity for evaluation in naming} == {dg.AssetCheckSeverity.ERROR}
    assert not site.succeeded


@pytest.mark.parametrize("path", [path for path, _ in ELSEWHERE])
def test_one_under_a_date_that_has_not_run_is_named_by_a_check_of_some_day(site: Site, path: str) -> None:
    evaluations = [e for day in site.days for e in site.instance.failed_checks(day).values()]
    assert any(path in said(e) and e.severity == dg.AssetCheckSeverity.ERROR for e in evaluations)


@pytest.mark.parametrize("path", [path for path, _ in HIDDEN])
def test_no_check_names_a_hidden_one(site: Site, path: str) -> None:
    evaluations = [e for day in site.days for e in site.instance.failed_checks(day).values()]
    # the path of another stranger may begin like this one
    words = {word.strip("`',;|\"()[]") for e in evaluations for word in said(e).split()}
    assert not any(word.endswith(path) for word in words)


def test_a_file_of_no_partition_holds_no_day_back(site: Site) -> None:
    assert site.instance.statuses(TABLE, site.days)[str(DAY1)] == "MATERIALIZED"
    assert not site.instance.failed_checks(str(DAY1))[UNNAMED_FILES].passed


def test_when_they_are_taken_away_the_checks_pass_again(site: Site) -> None:
    for path, _ in [*UNNAMED, *ELSEWHERE]:
        (site.deployment.lake / path).unlink()
    assert site.instance.run(*site.days).success
    for day in site.days:
        failed = site.instance.failed_checks(day)
        assert {name for name, e in failed.items() if e.severity == dg.AssetCheckSeverity.ERROR} == set()


# === Names beside the manifests =====================================================================================


BESIDE: list[tuple[str, bytes | str]] = [
    (f"{MANIFEST}/{DAY2}.json.bak", f"{MANIFEST}/{DAY2}.json"),
    (f"{MANIFEST}/{DAY2} (1).json", f"{MANIFEST}/{DAY2}.json"),
    (f"{MANIFEST}/{DAY2}.json~", b"{"),
    (f"{MANIFEST}/{DAY2}.json.tmp", b""),
    (f"{MANIFEST}/{DAY2}", b"{}"),
    (f"{MANIFEST}/2026-5-2.json", b"{}"),
    (f"{MANIFEST}/2026-05-99.json", b"{}"),
    (f"{MANIFEST}/20260502.json", b"{}"),
    (f"{MANIFEST}/notes.txt", b"who wrote this?"),
    (f"{MANIFEST}/latest.json", b"{}"),
    (f"{MANIFEST}/.{DAY2}.json.swp", b"junk"),
    (f"{MANIFEST}/._{DAY2}.json", APPLE_DOUBLE),
    (f"{MANIFEST}/.DS_Store", b"junk"),
    (f"{MANIFEST}/_SUCCESS", b""),
    (f"{MANIFEST}/_other.json", b"{}"),
    (f"{MANIFEST}/backup/{DAY2}.json", b"{"),
]


@pytest.mark.parametrize(("path", "content"), BESIDE, ids=[path for path, _ in BESIDE])
def test_any_other_name_beside_the_manifests_is_skipped(lake: Lake, path: str, content: bytes | str) -> None:
    put(lake, path, content)
    assert_as_before(lake, QUICK)
    lake.run(DAY1)


def test_many_of_them_at_once_too(lake: Lake) -> None:
    for path, content in BESIDE:
        put(lake, path, content)
    assert_as_before(lake)
    for day in (DAY1, DAY2, DAY3):
        lake.run(day)
    assert by_status(lake) == [f"{DAY1}: 2", f"{DAY2}: 3", f"{DAY3}: 0"]


# === One broken day =================================================================================================


def of_another_day(lake: Lake) -> bytes:
    return (lake.path / f"{MANIFEST}/{DAY1}.json").read_bytes()


BROKEN: dict[str, Callable[[Lake], bytes]] = {
    "empty": lambda lake: b"",
    "cut": lambda lake: (lake.path / f"{MANIFEST}/{DAY2}.json").read_bytes()[:100],
    "no JSON": lambda lake: b"\xff\xfe",
    "another JSON": lambda lake: b"[]",
    "without fields": lambda lake: b"{}",
    "another day's": of_another_day,
}


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest, lake: Lake) -> Lake:
    """The second day's manifest cannot be read."""
    put(lake, f"{MANIFEST}/{DAY2}.json", BROKEN[request.param](lake))
    return lake


ONLY_DAY_1 = {"from_date": DAY1, "to_date": DAY2}


def test_a_manifest_that_cannot_be_read_does_not_keep_status_from_the_other_days(broken: Lake) -> None:
    days = status(broken)
    assert list(days) == [str(DAY1), str(DAY2), str(DAY3)]
    assert days[str(DAY1)]["rows"] == 2
    assert f"{DAY2}.json" in days[str(DAY2)]["error"]
    assert days[str(DAY2)]["rows"] is None
    shown = cli(broken).shows("status", "--from", str(DAY1), "--to", str(DAY3))
    assert f"{DAY2}.json" in shown.replace("\n", "")


def test_nor_a_query_sql_or_history(broken: Lake) -> None:
    assert by_client(broken, **ONLY_DAY_1) == IDS[:2]
    assert by_sql(broken, f"WHERE dt = '{DAY1}'") == IDS[:2]
    with AuditLogClient(QuerySettings(lake_url=str(broken.path), workers=1)) as client:
        assert [entry.item.id for entry in client.history("Order", "1", *ONLY_DAY_1.values())] == IDS[:2]


def test_nor_the_command_quarantine(broken: Lake) -> None:
    shown = cli(broken).shows("quarantine", "--from", str(DAY1), "--to", str(DAY1), "--json")
    assert [json.loads(line)["reason"] for line in shown.splitlines()] == ["not_json"]
    # of a range that holds it too, the other days' records are shown
    shown = cli(broken)("quarantine", "--from", str(DAY1), "--to", str(DAY3), "--json").stdout
    assert "not_json" in shown


def test_nor_a_run_of_another_day(broken: Lake) -> None:
    broken.write(key(DAY3), event("third", time=f"{DAY3}T10:00:00Z"))
    broken.run(DAY3)
    broken.run(DAY1)
    assert by_client(broken, **ONLY_DAY_1) == IDS[:2]
    assert by_client(broken, from_date=DAY3, to_date=DAY3 + timedelta(days=1)) == ["third"]


DAMAGED: dict[str, Callable[[Path], object]] = {
    "is gone": lambda path: path.unlink(),
    "is junk": lambda path: path.write_bytes(b"junk"),
    "is empty": lambda path: path.write_bytes(b""),
    "is cut": lambda path: path.write_bytes(path.read_bytes()[:-20]),
}


@pytest.mark.parametrize("how", DAMAGED)
@pytest.mark.parametrize("path", [FILE_2, QUARANTINE_2], ids=["a data file", "the quarantine"])
def test_a_file_of_one_day_that_cannot_be_read_keeps_nobody_from_the_other_days(
    lake: Lake, path: str, how: str
) -> None:
    DAMAGED[how](lake.path / path)
    assert by_status(lake)[0] == f"{DAY1}: 2"
    assert by_client(lake, **ONLY_DAY_1) == IDS[:2]
    assert by_sql(lake, f"WHERE dt = '{DAY1}'") == IDS[:2]
    shown = cli(lake).shows("quarantine", "--from", str(DAY1), "--to", str(DAY1), "--json")
    assert len(shown.splitlines()) == 1
    lake.run(DAY1)
    lake.run(DAY3)


def test_the_command_quarantine_fails_and_names_what_it_could_not_show(lake: Lake) -> None:
    put(lake, QUARANTINE_2, b"junk")
    put(lake, f"{MANIFEST}/{DAY3}.json", b"{")
    result = cli(lake)("quarantine", "--from", str(DAY1), "--to", str(DAY3), "--json")
    assert [json.loads(line)["partition"] for line in result.stdout.splitlines()] == [str(DAY1)]
    assert result.exit_code == 1
    assert f"{DAY2}.parquet" in result.stderr
    assert f"{DAY3}.json" in result.stderr


def test_where_no_file_of_the_quarantine_can_be_read_the_table_is_still_queried(lake: Lake) -> None:
    for day in (DAY1, DAY2):
        put(lake, f"{QUARANTINE}/dt={day}/{day}.parquet", b"junk")
    assert by_sql(lake) == IDS
    with pytest.raises(QueryError, match=f"{QUARANTINE}/dt={DAY1}/{DAY1}.parquet.* too small to be a Parquet file"):
        by_sql_of_the_quarantine(lake)


def test_a_damaged_file_of_an_earlier_date_keeps_sql_from_no_other_date(lake: Lake) -> None:
    put(lake, f"{PARQUET}/dt={DAY1}/source=shop/{DAY1}.parquet", b"junk")
    assert by_sql(lake, f"WHERE dt = '{DAY2}'") == IDS[2:]


def test_a_late_copy_in_a_damaged_file_of_another_partition_does_not_stop_the_run(lake: Lake) -> None:
    lake.write(key(DAY3), event("late", time=f"{DAY1}T12:00:00Z"))
    lake.run(DAY3)
    put(lake, f"{PARQUET}/dt={DAY1}/source=shop/{DAY3}.parquet", b"junk")
    assert lake.run(DAY1).rows == 2
    lake.run(DAY3)
    assert "late" in by_client(lake)


@pytest.mark.parametrize("how", DAMAGED)
def test_running_that_day_again_heals_it(lake: Lake, how: str) -> None:
    DAMAGED[how](lake.path / FILE_2)
    lake.run(DAY2)
    assert_as_before(lake)


# === A path that can never have existed =============================================================================


@pytest.mark.parametrize("length", [249, 256, 300])
def test_a_path_that_can_never_have_existed_does_not_wedge_the_clean_up_of_a_day(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """As a run left it that died over a source whose folder no file system takes."""
    lake.write(key(DAY1), event("again", source="another"))
    with monkeypatch.context() as killing:
        kill_at(killing, f"auditlog_manifest/{DAY1}.json")
        with pytest.raises(KilledError):
            lake.run(DAY1)
    (left,) = lake.files("auditlog_pending")
    text = (lake.path / left).read_text()
    assert "another" in text
    (lake.path / left).write_text(text.replace("another", "a" * length))
    shutil.rmtree(lake.path / f"{PARQUET}/dt={DAY1}/source=another")
    lake.write(key(DAY1), event("whole", time=f"{DAY1}T10:00:00Z"))
    lake.run(DAY1)
    assert by_client(lake, **ONLY_DAY_1) == ["whole"]
    assert not lake.files("auditlog_pending")


def test_a_source_that_is_too_long_costs_its_own_event_only(lake: Lake) -> None:
    lake.write(key(DAY3), "\n".join(event(s[:3], time=f"{DAY3}T10:00:00Z", source=s) for s in ("b" * 248, "a" * 256)))
    lake.run(DAY3)
    assert ids(lake.rows(DAY3)) == ["bbb"]
    assert [r["Reason"] for r in lake.quarantine(DAY3)] == ["unsafe_source"]
    assert by_client(lake, sources=["b" * 248]) == ["bbb"]
