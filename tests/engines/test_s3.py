"""Runs, their locks and their queries over a real S3 server, with faults (:mod:`tests.servers.fault_proxy`)."""

import hashlib
import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from audit_pipeline import AuditLogClient, AuditLogQuery
from audit_pipeline.engines import run_partition
from audit_pipeline.errors import AuditPipelineError, RawChangedError, SettingsError, StoreError
from audit_pipeline.quality.unnamed_files import check_unnamed_files
from audit_pipeline.settings import QuerySettings, Settings
from audit_pipeline.store import s3
from audit_pipeline.store.locks import Locks
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.store.objects import Store, open_store
from tests.servers.fault_proxy import FaultProxy, Rule, fault_proxy
from tests.servers.s3 import S3Server, s3_server
from tests.support.crash_child import KILLED, Job, run_to_end, start
from tests.support.lake import DAY1, DAY2, DAY3, Lake, Record, event, key, zipped
from tests.support.paths import RAW_EXAMPLES

pytestmark = pytest.mark.slow

RAW = {p.relative_to(RAW_EXAMPLES).as_posix(): p.read_bytes() for p in RAW_EXAMPLES.rglob("*") if p.is_file()}
DAYS = (DAY1, DAY2, DAY3)
BUCKET = "audit-lake"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        running.client.create_bucket(Bucket=BUCKET)
        running.upload(BUCKET, "examples", RAW)
        yield running


@pytest.fixture(scope="module")
def proxy(server: S3Server) -> Iterator[FaultProxy]:
    with fault_proxy(server.endpoint) as running:
        yield running


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The examples, run in a folder."""
    lake = Lake(tmp_path_factory.mktemp("local"))
    for raw_key, data in RAW.items():
        lake.write(raw_key, data)
    for day in DAYS:
        lake.run(day)
    return lake


@dataclass(frozen=True)
class S3Lake:
    """A lake of one test in the bucket, over the examples or raw objects of its own."""

    server: S3Server
    name: str
    raw: str = "examples"

    @property
    def settings(self) -> Record:
        return {
            "raw_url": f"s3://{BUCKET}/{self.raw}",
            "lake_url": f"s3://{BUCKET}/{self.name}",
            "start_date": DAY1,
            "workers": 1,
        }

    def run(self, partition: date = DAY1, *, accept_vanished_raw: bool = False) -> Manifest:
        return run_partition(Settings(**self.settings), partition, accept_vanished_raw=accept_vanished_raw)

    def files(self, *folders: str) -> dict[str, bytes]:
        found = self.server.objects(BUCKET, self.name)
        return {path: data for path, data in found.items() if not folders or path.startswith(folders)}


@pytest.fixture
def s3_lake(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Lake:
    """A new lake; this process finds the server."""
    use(monkeypatch, server)
    return S3Lake(server, f"lakes/{uuid.uuid4()}")


@pytest.fixture
def own_raw(s3_lake: S3Lake) -> S3Lake:
    """A lake over raw objects of its own: none yet."""
    return S3Lake(s3_lake.server, s3_lake.name, raw=f"raw/{uuid.uuid4()}")


def use(monkeypatch: pytest.MonkeyPatch, server: S3Server, endpoint: str | None = None, **changed: str) -> None:
    for name, value in (server.environment(endpoint) | changed).items():
        monkeypatch.setenv(name, value)


def hashes(files: dict[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}


DATA = ("auditlog_parquet", "auditlog_quarantine")


def data_of(local: Lake, *partitions: date) -> dict[str, str]:
    """The hashes of the data files of these partitions (all by default)."""
    files = local.files("auditlog_parquet") | local.files("auditlog_quarantine")
    wanted = tuple(map(str, partitions or DAYS))
    return hashes({path: data for path, data in files.items() if Path(path).name.startswith(wanted)})


def comparable(manifest: Record) -> Record:
    """A manifest without what differs from store to store and run to run."""
    left = {k: v for k, v in manifest.items() if k not in ("run_id", "started_at", "finished_at")}
    return left | {"inputs": [(one["key"], one["size"]) for one in manifest["inputs"]]}


def check_is_one_line(error: pytest.ExceptionInfo[Exception], *parts: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 600
    for part in parts:
        assert part in text


# -- the same as in a folder


def test_the_examples_make_the_same_files_as_in_a_folder(s3_lake: S3Lake, local: Lake) -> None:
    for day in DAYS:
        s3_lake.run(day)
    files = s3_lake.files()
    data = {path: content for path, content in files.items() if path.startswith(DATA)}
    assert hashes(data) == data_of(local)
    for day in DAYS:
        manifest = json.loads(files[f"auditlog_manifest/{day}.json"])
        assert comparable(manifest) == comparable(local.manifest(day))
        for output in manifest["outputs"]:
            assert output["sha256"] == hashlib.sha256(files[output["path"]]).hexdigest()
    rest = {path.split("/")[0] for path in files}
    assert rest == {"auditlog_parquet", "auditlog_quarantine", "auditlog_manifest", "auditlog_lock"}


def test_a_re_run_makes_the_same_bytes_and_removes_what_is_stale(own_raw: S3Lake) -> None:
    server = own_raw.server
    late = event("late", time="2026-05-02T10:00:00Z", source="crm")
    server.upload(BUCKET, own_raw.raw, {key(DAY1): zipped(event("e1")), key(DAY1, 11): zipped(late)})
    own_raw.run()
    first = own_raw.files(*DATA)
    assert len(first) == 2
    own_raw.run()
    assert own_raw.files(*DATA) == first
    server.client.delete_object(Bucket=BUCKET, Key=f"{own_raw.raw}/{key(DAY1, 11)}")
    own_raw.run(accept_vanished_raw=True)
    assert list(own_raw.files(*DATA)) == ["auditlog_parquet/dt=2026-05-01/source=shop/2026-05-01.parquet"]


def test_raw_in_s3_and_the_lake_in_a_folder_go_together(s3_lake: S3Lake, local: Lake, tmp_path: Path) -> None:
    mixed = Settings(**s3_lake.settings | {"lake_url": str(tmp_path / "lake")})
    run_partition(mixed, DAY1)
    found = Lake(tmp_path).files("auditlog_parquet") | Lake(tmp_path).files("auditlog_quarantine")
    assert hashes(found) == data_of(local, DAY1)


@pytest.mark.parametrize("odd", ["a b", "é 日本", "a%20b", "a+b=c&d", "x#1", "q?x", "a'b"])
def test_an_odd_key_is_written_listed_read_and_deleted_as_it_is(odd: str, s3_lake: S3Lake) -> None:
    store = open_store(f"s3://{BUCKET}/{s3_lake.name}")
    store.put(f"p/{odd}", b"1")
    assert list(s3_lake.files()) == [f"p/{odd}"]
    (info,) = store.list("p")
    assert info.key == f"p/{odd}"
    assert store.get(info.key, if_match=info.e_tag) == b"1"
    assert store.open(info).read() == b"1"
    assert not store.create(f"p/{odd}", b"2")
    store.delete([f"p/{odd}", f"p/{odd}"])
    assert store.list() == []


def test_more_objects_than_a_page_of_a_listing_are_all_listed(s3_lake: S3Lake) -> None:
    store = open_store(f"s3://{BUCKET}/{s3_lake.name}")
    names = [f"p/{number:05}" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.put(name, name.encode()), names))
    infos = store.list("p")
    assert [info.key for info in infos] == names
    assert [data for _, data in store.get_many(infos[::50])] == [name.encode() for name in names[::50]]


def test_a_file_of_several_parts_is_put_whole(s3_lake: S3Lake, tmp_path: Path) -> None:
    store = open_store(f"s3://{BUCKET}/{s3_lake.name}")
    (tmp_path / "large").write_bytes(bytes(range(256)) * (70_000))
    store.put("large", tmp_path / "large")
    (info,) = store.list()
    assert info.size == 256 * 70_000
    assert store.get("large", if_match=info.e_tag) == (tmp_path / "large").read_bytes()


def test_an_object_that_was_replaced_after_it_was_listed_is_an_error_that_names_it(s3_lake: S3Lake) -> None:
    store = open_store(f"s3://{BUCKET}/{s3_lake.name}")
    for name in ("a", "b"):
        store.put(name, b"1")
    infos = store.list()
    store.put("b", b"2")
    with pytest.raises(RawChangedError) as error:
        list(store.get_many(infos))
    check_is_one_line(error, f"s3://{BUCKET}/{s3_lake.name}/b", "run the partition again")
    with pytest.raises(RawChangedError):
        store.open(infos[1]).read()
    store.delete(["b"])
    with pytest.raises(RawChangedError):
        store.get("b")


# -- races


def test_of_sixteen_threads_that_create_one_object_one_succeeds(s3_lake: S3Lake) -> None:
    store = open_store(f"s3://{BUCKET}/{s3_lake.name}")
    with ThreadPoolExecutor(16) as pool:
        for number in range(2):
            barrier = threading.Barrier(16)

            def create(thread: int, number: int = number, barrier: threading.Barrier = barrier) -> bool:
                barrier.wait()
                return store.create(f"race/{number}", str(thread).encode())

            won = list(pool.map(create, range(16)))
            assert won.count(True) == 1
            assert store.get(f"race/{number}") == str(won.index(True)).encode()


def test_of_two_processes_that_run_one_partition_one_commits_and_the_other_changes_nothing(
    s3_lake: S3Lake, local: Lake, tmp_path: Path
) -> None:
    outcomes: Counter[str] = Counter()
    for number in range(3):
        lake = S3Lake(s3_lake.server, f"{s3_lake.name}/{number}")
        files = [tmp_path / f"{number}-{n}" for n in range(2)]
        environment = lake.server.environment()
        processes = [start(Job(lake.settings, (DAY1,), outcomes=f, environment=environment)) for f in files]
        for process in processes:
            process.join(60)
        found = [json.loads(file.read_text())[str(DAY1)] for file in files]
        assert "committed" in found
        outcomes.update(found)
        assert hashes(lake.files(*DATA)) == data_of(local, DAY1)
    assert outcomes["PartitionBusyError"] >= 1
    assert set(outcomes) == {"committed", "PartitionBusyError"}


def test_all_days_at_once_hold_each_event_once(s3_lake: S3Lake, local: Lake) -> None:
    environment = s3_lake.server.environment()
    processes = [start(Job(s3_lake.settings, (day,), environment=environment)) for day in DAYS]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    manifests = [json.loads(s3_lake.files()[f"auditlog_manifest/{day}.json"]) for day in DAYS]
    kept = sum(manifest["events"]["kept"] for manifest in manifests)
    assert kept == sum(local.manifest(day)["events"]["kept"] for day in DAYS)


# -- killed


def test_killed_at_any_change_the_next_run_ends_in_the_same_bytes(s3_lake: S3Lake, local: Lake, tmp_path: Path) -> None:
    environment = s3_lake.server.environment()
    counted = S3Lake(s3_lake.server, f"{s3_lake.name}/counted")
    job = Job(counted.settings, (DAY1,), changes=tmp_path / "changes", environment=environment)
    assert run_to_end(job) == 0
    changes = json.loads((tmp_path / "changes").read_text())
    for number in range(0, len(changes), 2):
        lake = S3Lake(s3_lake.server, f"{s3_lake.name}/{number}")
        assert run_to_end(Job(lake.settings, (DAY1,), fatal=number, environment=environment)) == KILLED
        lake.run()
        assert hashes(lake.files(*DATA)) == data_of(local, DAY1), f"after a kill before {changes[number]}"
        assert not lake.files("auditlog_pending")


# -- faults in between

SLOW_DOWN, UNAVAILABLE, INTERNAL = (503, "SlowDown"), (503, "ServiceUnavailable"), (500, "InternalError")

FAULTS = {
    "SlowDown on every second write": [Rule("PutObject", 0.5, error=SLOW_DOWN)],
    "503 on reads": [Rule("GetObject", 0.4, error=UNAVAILABLE)],
    "500 on reads and writes": [Rule("GetObject", 0.3, error=INTERNAL), Rule("PutObject", 0.3, error=INTERNAL)],
    "resets of reads": [Rule("GetObject", 0.3, reset=True)],
    "resets in the middle of an answer": [Rule("GetObject", 0.3, cut=0.5)],
    "listings that fail": [Rule("ListObjects", 0.3, error=UNAVAILABLE), Rule("ListObjects", 0.2, reset=True)],
    "slow answers": [Rule("GetObject", latency=(0.005, 0.1)), Rule("ListObjects", latency=(0.005, 0.1))],
    "deletes that fail": [Rule("DeleteObject", 0.5, error=SLOW_DOWN)],
    "the first write of all is refused": [Rule("PutObject", times=1, error=SLOW_DOWN)],
    "the first conditional write is answered with a retry": [
        Rule("PutObject", times=1, error=(409, "ConditionalRequestConflict"))
    ],
}


@pytest.mark.parametrize("rules", FAULTS.values(), ids=FAULTS)
def test_a_run_ends_in_the_same_bytes_through(
    rules: list[Rule], s3_lake: S3Lake, local: Lake, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3_lake.server, proxy.endpoint)
    quick_retries(monkeypatch, 12)
    with proxy.faults(*rules):
        s3_lake.run(DAY1)
        s3_lake.run(DAY1)
    assert proxy.fired
    assert hashes(s3_lake.files(*DATA)) == data_of(local, DAY1)
    assert not s3_lake.files("auditlog_pending")


def quick_retries(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setitem(s3._RETRY, "max_retries", count)
    monkeypatch.setitem(s3._RETRY["backoff"], "max_backoff", s3.timedelta(milliseconds=300))


STORMS = {
    "SlowDown on writes": Rule("PutObject", error=SLOW_DOWN),
    "resets of writes": Rule("PutObject", reset=True),
    "writes whose answers are lost": Rule("PutObject", lost_answer=True),
    "503 on reads": Rule("GetObject", error=UNAVAILABLE),
    "SlowDown on listings": Rule("ListObjects", error=SLOW_DOWN),
    "access that is taken away": Rule("PutObject", error=(403, "AccessDenied")),
}


@pytest.mark.parametrize("storm", STORMS.values(), ids=STORMS)
@pytest.mark.parametrize("begins", ["before the run", "with the commit"])
def test_a_storm_that_outlasts_all_retries_is_an_error_of_one_line_and_a_re_run_succeeds(
    begins: str, storm: Rule, s3_lake: S3Lake, local: Lake, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3_lake.server, proxy.endpoint)
    quick_retries(monkeypatch, 2)

    def on_progress(stage: str, _done: int, _total: int) -> None:
        if stage == "commit":
            proxy.begin(storm)

    with proxy.faults(*[storm] if begins == "before the run" else []), pytest.raises(StoreError) as error:
        run_partition(Settings(**s3_lake.settings), DAY1, progress=on_progress)
    assert proxy.fired
    check_is_one_line(error, f"s3://{BUCKET}/")
    assert f"auditlog_manifest/{DAY1}.json" not in s3_lake.files()
    s3_lake.run(DAY1)
    assert hashes(s3_lake.files(*DATA)) == data_of(local, DAY1)
    assert not s3_lake.files("auditlog_pending")


def test_a_raw_object_in_an_archive_is_named_and_is_to_be_restored(
    s3_lake: S3Lake, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3_lake.server, proxy.endpoint)

    def on_progress(stage: str, _done: int, _total: int) -> None:
        if stage == "decode":
            proxy.begin(Rule("GetObject", error=(403, "InvalidObjectState")))

    with proxy.faults(), pytest.raises(StoreError) as error:
        run_partition(Settings(**s3_lake.settings), DAY1, progress=on_progress)
    check_is_one_line(error, f"cannot read s3://{BUCKET}/examples/year=2026/month=05/day=0", "archived", "restore it")
    assert "privileges" not in str(error.value)


def test_a_lock_whose_creation_was_done_but_not_answered_is_ones_own(
    s3_lake: S3Lake, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3_lake.server, proxy.endpoint)
    quick_retries(monkeypatch, 3)
    store = open_store(f"s3://{BUCKET}/{s3_lake.name}")
    with proxy.faults(Rule("PutObject", times=1, lost_answer=True)), Locks(store, "mine") as mine:
        mine.acquire("a")
        mine.check()
    assert proxy.fired
    with Locks(store, "next") as following:
        following.acquire("a")
        following.check()


def test_a_lock_whose_creation_was_done_but_answered_with_an_error_is_ones_own(
    s3_lake: S3Lake, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the request is repeated, and finds the object that it has created itself."""
    use(monkeypatch, s3_lake.server, proxy.endpoint)
    quick_retries(monkeypatch, 3)
    store = open_store(f"s3://{BUCKET}/{s3_lake.name}")
    with proxy.faults(Rule("PutObject", times=1, error=INTERNAL, after=True)), Locks(store, "mine") as mine:
        mine.acquire("a")
        mine.check()
    assert len(proxy.fired) == 1


# -- settings that are wrong


@pytest.mark.parametrize(
    ("name", "code"), [("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"), ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId")]
)
def test_wrong_credentials_are_one_line_with_the_code_of_s3(
    name: str, code: str, s3_lake: S3Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "wrong")
    with pytest.raises(AuditPipelineError) as error:
        s3_lake.run()
    check_is_one_line(error, f"s3://{BUCKET}/", code)
    assert not s3_lake.files()


def test_the_keys_of_a_profile_serve_as_those_of_the_environment(
    s3_lake: S3Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = s3_lake.server.environment()
    profile = {name.lower(): environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    lines = ["[auditor]", *(f"{name} = {value}" for name, value in profile.items())]
    (tmp_path / "credentials").write_text("\n".join(lines))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "auditor")
    store = open_store(f"s3://{BUCKET}/{s3_lake.name}")
    store.put("a", b"1")
    assert store.get("a") == b"1"


def test_a_profile_that_is_not_there_is_a_wrong_setting(s3_lake: S3Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SettingsError) as error:
        open_store(f"s3://{BUCKET}/{s3_lake.name}")
    check_is_one_line(error, f"s3://{BUCKET}/", "nobody")


def test_half_of_the_credentials_is_a_wrong_setting(s3_lake: S3Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(SettingsError) as error:
        s3_lake.run()
    check_is_one_line(error, f"s3://{BUCKET}/", "AccessKeyId")


@pytest.mark.parametrize("setting", ["raw_url", "lake_url"])
def test_a_missing_bucket_is_one_line_with_the_code_of_s3(setting: str, s3_lake: S3Lake) -> None:
    with pytest.raises(AuditPipelineError) as error:
        run_partition(Settings(**s3_lake.settings | {setting: "s3://no-such-bucket/prefix"}), DAY1)
    check_is_one_line(error, "s3://no-such-bucket/", "NoSuchBucket")


@pytest.mark.parametrize("endpoint", ["not a url", "127.0.0.1:9000", "http://", "ftp://127.0.0.1"])
def test_an_endpoint_that_is_no_url_is_a_wrong_setting(
    endpoint: str, s3_lake: S3Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3_lake.server, endpoint)
    with pytest.raises(SettingsError) as error:
        s3_lake.run()
    check_is_one_line(error, "AWS_ENDPOINT_URL", endpoint)


def test_an_endpoint_where_nobody_answers_is_one_clear_line(s3_lake: S3Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, s3_lake.server, "http://127.0.0.1:9")
    quick_retries(monkeypatch, 1)
    with pytest.raises(StoreError) as error:
        s3_lake.run()
    check_is_one_line(error, f"s3://{BUCKET}/")


def test_an_empty_prefix_is_the_bucket_itself(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, server)
    server.client.create_bucket(Bucket="bare")
    for url in ("s3://bare", "s3://bare/"):
        store = open_store(url)
        store.put("a/b", b"1")
        assert [info.key for info in store.list()] == ["a/b"]
        assert store.url_of("a/b") == "s3://bare/a/b"


def test_a_store_on_s3_has_no_folder(s3_lake: S3Lake) -> None:
    store: Store = open_store(f"s3://{BUCKET}/{s3_lake.name}/")
    assert store.root is None
    assert store.list() == []


def test_a_client_pages_over_s3_as_over_the_folder(s3_lake: S3Lake, local: Lake) -> None:
    for day in DAYS:
        s3_lake.run(day)
    query = AuditLogQuery(from_date=DAY1, to_date=DAY1 + timedelta(days=7), limit=2)
    near_settings = QuerySettings(lake_url=str(local.path))
    with AuditLogClient(Settings(**s3_lake.settings)) as remote, AuditLogClient(near_settings) as near:
        assert list(remote.iterate(query)) == list(near.iterate(query))
        assert remote.to_arrow(query) == near.to_arrow(query)


def test_a_client_never_mixes_a_file_with_what_it_remembers_of_an_earlier_one(
    server: S3Server, s3_lake: S3Lake
) -> None:
    lake = replace(s3_lake, raw=f"raw/{uuid.uuid4()}")
    query = AuditLogQuery(from_date=DAY1, to_date=DAY2)
    with AuditLogClient(Settings(**lake.settings)) as client:
        for attempt in range(8):  # of the same size each, and within a second or two
            server.upload(BUCKET, lake.raw, {key(DAY1): zipped(event(f"e{attempt}") + event(f"f{attempt}"))})
            lake.run()
            assert {item.id for item in client.query(query).items} == {f"e{attempt}", f"f{attempt}"}


# -- names that no run wrote


def test_markers_of_folders_and_odd_keys_stop_no_day_of_a_real_server(own_raw: S3Lake) -> None:
    hour = "year=2026/month=05/day=01/hour=05"
    markers = ["year=2026/month=05/day=01/", f"{hour}/", f"{hour}/minute=00/", "year=2026/month=05/day=01/hour=06/"]
    objects = dict.fromkeys(markers, b"") | {f"{hour}/ok.gz": zipped(event("good", time="2026-05-01T05:00:00Z"))}
    objects |= {f"{hour}/_SUCCESS": b"", f"{hour}/tab\tname.gz": zipped(event("odd")), "2026/05/01/05/a.gz": b"{}"}
    own_raw.server.upload(BUCKET, own_raw.raw, objects)
    for _ in range(2):
        manifest = own_raw.run()
        assert [given.key for given in manifest.inputs] == [f"{hour}/ok.gz"]
        assert (manifest.objects.read, manifest.objects.skipped, manifest.objects.strays) == (1, 1, 2)
        assert manifest.rows == 1


def test_markers_of_folders_in_the_lake_are_no_strangers(s3_lake: S3Lake) -> None:
    manifest = s3_lake.run()
    store = open_store(s3_lake.settings["lake_url"])
    path = manifest.outputs[0].path.rsplit("/", 1)[0]
    strangers = {f"{path}/": b"", "auditlog_parquet/": b"", f"{path}/copy.parquet": b"any"}
    s3_lake.server.upload(BUCKET, s3_lake.name, strangers)
    verdict, _ = check_unnamed_files(store, manifest)
    assert verdict.metadata["files"] == [f"{path}/copy.parquet"]
