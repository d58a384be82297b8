"""The object store in a folder: what S3 promises too, so that nothing above it has to know which it is."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import GenericError
from obstore.store import S3Store

from audit_pipeline.errors import RawChangedError, SettingsError, StoreError
from audit_pipeline.store import objects
from audit_pipeline.store.objects import Listing, ObjectInfo, Store, open_store
from tests.support.crash_child import PROCESSES
from tests.support.lake import DAY1, Lake, event, key, zipped
from tests.support.waiting import HANGS_SECONDS

ODD_KEYS = [
    "source=my-app/a b.parquet",
    "a%20b",
    "a%2Fb",
    "100%",
    "é",
    "e\u0301",
    "日本語/😀",
    "a+b&c=d",
    "a'b\"c",
    "{a}[b](c)",
    "q?x=1",
    "star*",
    "tilde~",
    "back\\slash",
    "a:b",
    "#hash",
    "x#y",
    ".hidden",
    "...",
    "a..b",
    "UPPER/lower",
    "year=2026/month=05/day=01/hour=00/audit-logs-1-2026-05-01-00-00-06-0a1b.gz",
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"), create=True)


def keys(store: Store, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


def check_is_one_line(error: pytest.ExceptionInfo[Exception], *parts: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 500
    for part in parts:
        assert part in text


# -- put


def test_what_was_put_is_read_back(store: Store, tmp_path: Path) -> None:
    store.put("a/b", b"bytes")
    (tmp_path / "file").write_bytes(b"of a file")
    store.put("a/c", tmp_path / "file")
    store.put("a/empty", b"")
    assert [store.get(k) for k in ("a/b", "a/c", "a/empty")] == [b"bytes", b"of a file", b""]
    assert [(info.key, info.size) for info in store.list()] == [("a/b", 5), ("a/c", 9), ("a/empty", 0)]
    assert (tmp_path / "file").exists()


def overwrite(url: str, ready: Any, stop: Any) -> None:
    store = open_store(url)
    ready.set()
    number = 0
    while not stop.is_set():
        number += 1
        store.put("a", bytes([number % 256]) * (4 << 20))


def test_a_reader_never_sees_a_part_of_an_object_while_it_is_overwritten(store: Store) -> None:
    ready, stop = PROCESSES.Event(), PROCESSES.Event()
    store.put("a", bytes(4 << 20))
    writer = PROCESSES.Process(target=overwrite, args=(store.url, ready, stop))
    writer.start()
    assert ready.wait(HANGS_SECONDS)
    seen = set()
    while len(seen) < 20:
        assert writer.is_alive()
        for data in (store.get("a"), (store.root / "a").read_bytes()):  # type: ignore[operator]
            assert len(data) == 4 << 20
            assert data == data[:1] * len(data)
            seen.add(data[0])
        assert keys(store)[0] == "a"
    stop.set()
    writer.join()


def test_a_put_leaves_nothing_but_the_object(store: Store) -> None:
    for data in (b"1", b"2"):
        store.put("a/b", data)
    assert [p for p in store.root.rglob("*") if p.is_file()] == [store.root / "a/b"]  # type: ignore[union-attr]


def put_large(url: str, data: Path, ready: Any) -> None:
    store = open_store(url)
    ready.set()
    store.put("a", data)


def test_what_a_put_that_was_killed_in_the_middle_left_is_gone_after_the_next_one(store: Store, tmp_path: Path) -> None:
    data = tmp_path / "large"
    with data.open("wb") as file:
        file.truncate(300 << 20)
    assert store.root is not None
    ready = PROCESSES.Event()
    writer = PROCESSES.Process(target=put_large, args=(store.url, data, ready))
    writer.start()
    assert ready.wait(HANGS_SECONDS)
    wait_for(lambda: any(p.is_file() for p in (store.root or tmp_path).rglob("*")))
    writer.kill()
    writer.join()
    assert keys(store, "a") == []
    assert any(p.is_file() for p in store.root.rglob("*"))
    store.put("a", b"small")
    assert [p.relative_to(store.root) for p in store.root.rglob("*") if p.is_file()] == [Path("a")]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANGS_SECONDS
    while not condition():
        assert time.monotonic() < deadline


# -- create


def test_create_writes_only_where_nothing_is(store: Store) -> None:
    assert store.create("a/b", b"1")
    assert not store.create("a/b", b"2")
    assert store.get("a/b") == b"1"
    store.put("a/b", b"3")
    assert not store.create("a/b", b"4")
    store.delete(["a/b"])
    assert store.create("a/b", b"5")


def test_of_sixteen_threads_that_create_one_object_one_succeeds(store: Store) -> None:
    with ThreadPoolExecutor(16) as pool:
        for number in range(30):
            barrier = threading.Barrier(16)

            def create(thread: int, number: int = number, barrier: threading.Barrier = barrier) -> bool:
                barrier.wait()
                return store.create(f"race/{number}", str(thread).encode() * 1000)

            won = list(pool.map(create, range(16)))
            assert won.count(True) == 1
            assert store.get(f"race/{number}") == str(won.index(True)).encode() * 1000


def create_all(url: str, begin: Any, won: Any) -> None:
    store = open_store(url)
    begin.wait()
    won.put([number for number in range(200) if store.create(f"race/{number}", b"1")])


def test_of_four_processes_that_create_the_same_objects_one_succeeds_with_each(store: Store) -> None:
    begin, won = PROCESSES.Barrier(4), PROCESSES.Queue()
    processes = [PROCESSES.Process(target=create_all, args=(store.url, begin, won)) for _ in range(4)]
    for process in processes:
        process.start()
    numbers = [number for _ in processes for number in won.get(timeout=60)]
    for process in processes:
        process.join()
    assert sorted(numbers) == list(range(200))


# -- keys and listings


@pytest.mark.parametrize("odd", ODD_KEYS)
def test_an_odd_key_is_written_listed_read_and_deleted_as_it_is(odd: str, store: Store) -> None:
    store.put(f"p/{odd}", b"1")
    (info,) = store.list("p")
    assert info.key == f"p/{odd}"
    assert (store.root / "p" / odd).read_bytes() == b"1"  # type: ignore[operator]
    assert store.get(info.key, if_match=info.e_tag) == b"1"
    assert [data for _, data in store.get_many([info])] == [b"1"]
    assert store.open(info).read() == b"1"
    assert not store.create(f"p/{odd}", b"2")
    store.delete([f"p/{odd}"])
    assert store.list() == []


@pytest.mark.parametrize("odd", ODD_KEYS)
def test_a_file_of_an_odd_name_that_another_program_wrote_is_found(odd: str, store: Store) -> None:
    path = store.root / "p" / odd  # type: ignore[operator]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"1")
    assert [(info.key, store.get(info.key)) for info in store.list("p")] == [(f"p/{odd}", b"1")]


@pytest.mark.parametrize("odd", ["a b%20.gz", "é#x", "日本 *?.gz", "audit-logs 1+2=3"])
def test_a_raw_object_of_an_odd_name_is_read_and_named_in_the_manifest(odd: str, lake: Lake) -> None:
    lake.write(key(DAY1, name=odd), zipped(event()))
    lake.run()
    assert len(lake.rows()) == 1
    assert [one["key"] for one in lake.manifest()["inputs"]] == [key(DAY1, name=odd)]


def test_a_raw_file_that_the_store_cannot_address_is_a_stray_and_the_others_are_read(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    lake.write(key(DAY1, name="a"), zipped(event("e1")))
    odd = [key(DAY1, name=name) for name in ("x#1", "tab\t", os.fsdecode(b"bad\xff"))]
    for name in odd:
        lake.write(name, zipped(event("e2")))
    lake.run()
    assert [row["Id"] for row in lake.rows()] == ["e1"]
    assert lake.manifest()["objects"] == {"read": 1, "unreadable": 0, "skipped": 0, "strays": 3}
    for shown in ("x#1", r"tab\t", r"bad\udcff"):
        assert key(DAY1, name=shown) in caplog.text


def test_a_listing_is_in_the_order_of_code_points(store: Store) -> None:
    names = ["b", "a", "B", "é", "z", "a/b", "a-b", "a=b", "aa", "10", "9", "😀", "\uffee"]
    for name in names:
        if name != "a":  # a name cannot be a file and a folder at once
            store.put(name, b"")
    assert keys(store) == sorted(set(names) - {"a"})


def test_a_prefix_is_whole_path_segments(store: Store) -> None:
    for name in ("hour=1/a", "hour=10/a", "hour=1/b/c", "hour=1x"):
        store.put(name, b"")
    assert keys(store, "hour=1") == ["hour=1/a", "hour=1/b/c"]
    assert keys(store, "hour=2") == []


def test_more_objects_than_a_page_of_a_listing_are_all_listed(store: Store) -> None:
    folder = store.root / "many"  # type: ignore[operator]
    folder.mkdir()
    names = [f"{number:05}" for number in range(2500)]
    for name in names:
        (folder / name).touch()
    assert keys(store, "many") == [f"many/{name}" for name in names]


def test_deleting_what_is_not_there_is_no_error(store: Store) -> None:
    store.put("a", b"1")
    store.delete(["b", "a", "a", "c/d"])
    assert store.list() == []


IMPOSSIBLE_KEYS = {
    "a folder's name too long for a disk": f"source={'a' * 256}/file",
    "a file's name too long for a disk": "b" * 256,
    "a path too long for a disk": "/".join(["folder"] * 700),
    "below a file": "file/below",
    "a NUL": "a\0b",
    "a line break": "a\nb",
    "an empty segment": "a//b",
    "the parent": "../file",
    "half-written": "a#1",
}


@pytest.mark.parametrize("impossible", IMPOSSIBLE_KEYS.values(), ids=IMPOSSIBLE_KEYS)
def test_deleting_what_cannot_exist_is_no_error(impossible: str, store: Store) -> None:
    for name in ("file", "a/b", "c"):
        store.put(name, b"")
    store.delete([impossible, "c"])
    assert keys(store) == ["a/b", "file"]


def test_a_key_too_long_for_s3_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 answers a key of over 1,024 bytes with KeyTooLongError, also where it is asked to delete it."""
    answer = "Client error with status 400 Bad Request: <Error><Code>{}</Code><Message>no</Message></Error>"
    store = Store(url="s3://bucket", _inner=S3Store("bucket", region="eu-west-1"), root=None)

    def refuse(code: str) -> Callable[..., None]:
        def delete(*_: object) -> None:
            raise GenericError(answer.format(code))

        return delete

    monkeypatch.setattr(obstore, "delete", refuse("KeyTooLongError"))
    store.delete(["a" * 1025])
    monkeypatch.setattr(obstore, "delete", refuse("AccessDenied"))
    with pytest.raises(StoreError, match="AccessDenied: no"):
        store.delete(["a"])


def test_what_exists_and_cannot_be_deleted_is_an_error(store: Store) -> None:
    assert store.root is not None
    (store.root / "a#1").touch()
    with pytest.raises(StoreError) as error:
        store.delete(["a#1"])
    check_is_one_line(error, f"cannot delete {store.url}/a#1")


def test_what_may_be_missing_is_none(store: Store) -> None:
    assert store.get_if_exists("a/b") is None
    store.put("a/b", b"1")
    assert store.get_if_exists("a/b") == b"1"


# -- reading many


def put_all(store: Store, sizes: list[int]) -> list[ObjectInfo]:
    for number, size in enumerate(sizes):
        store.put(f"{number:05}", number.to_bytes(4, "big") * (size // 4))
    return store.list()


def test_many_objects_come_in_the_order_given(store: Store) -> None:
    infos = put_all(store, [400, 40_000, 4] * 100)
    for order in (infos, infos[::-1], infos[::7] + infos[::3]):
        for one in (store, as_on_s3(store)):
            read = list(one.get_many(order))
            assert [info for info, _ in read] == order
            assert all(len(data) == info.size and int(info.key).to_bytes(4, "big") == data[:4] for info, data in read)
    assert list(store.get_many([])) == []


def as_on_s3(store: Store) -> Store:
    """Reads as if every request took its time, as it does on S3; a folder is read without reading ahead."""
    return replace(store, root=None)


def test_no_more_than_a_bounded_amount_is_read_ahead_of_the_caller(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    infos = put_all(store, [1 << 20] * 40)
    monkeypatch.setattr(objects, "_READ_AHEAD_BYTES", 4 << 20)
    get = Store.get
    begun: list[str] = []

    def noted_get(store: Store, path: str, **options: Any) -> bytes:
        begun.append(path)
        return get(store, path, **options)

    monkeypatch.setattr(Store, "get", noted_get)
    for number, _ in enumerate(as_on_s3(store).get_many(infos), 1):
        time.sleep(0.005)
        assert number <= len(begun) <= number + 4
    assert len(begun) == 40


def test_small_objects_are_read_concurrently_but_not_all_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    infos = put_all(store, [4] * 200)
    get = Store.get
    at_once: list[int] = []
    reading = threading.Semaphore(0)

    def slow_get(store: Store, path: str, **options: Any) -> bytes:
        reading.release()
        time.sleep(0.01)
        at_once.append(reading._value)
        reading.acquire()
        return get(store, path, **options)

    monkeypatch.setattr(Store, "get", slow_get)
    began = time.monotonic()
    assert len(list(as_on_s3(store).get_many(infos))) == 200
    assert time.monotonic() - began < 1.5
    assert 4 < max(at_once) <= 40


def test_an_object_larger_than_the_read_ahead_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    infos = put_all(store, [4, 4 << 20, 4, 4 << 20])
    monkeypatch.setattr(objects, "_READ_AHEAD_BYTES", 1 << 20)
    for one in (store, as_on_s3(store)):
        assert [len(data) for _, data in one.get_many(infos)] == [info.size for info in infos]


def test_a_caller_that_stops_early_leaves_no_threads(store: Store) -> None:
    infos = put_all(store, [4] * 100)
    before = threading.active_count()
    for _ in range(5):
        stream = as_on_s3(store).get_many(infos)
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


@pytest.mark.parametrize("change", ["vanishes", "grows", "is replaced by as many bytes"])
def test_an_object_that_changes_after_it_was_listed_is_an_error_that_names_it(change: str, store: Store) -> None:
    infos = put_all(store, [400] * 5)
    assert store.root is not None
    path = store.root / "00003"
    if change == "vanishes":
        path.unlink()
    elif change == "grows":
        path.write_bytes(path.read_bytes() + b"x")
    else:
        time.sleep(0.01)
        path.write_bytes(b"x" * 400)
    for one in (store, as_on_s3(store)):
        with pytest.raises(RawChangedError) as error:
            list(one.get_many(infos))
        check_is_one_line(error, "00003", "run the partition again")
    with pytest.raises(RawChangedError):
        store.get("00003", if_match=infos[3].e_tag)
    with pytest.raises(RawChangedError):
        store.open(infos[3]).read()


@pytest.mark.parametrize("change", ["vanishes", "grows"])
def test_a_raw_object_that_changes_during_a_run_stops_it_and_the_table_stays_as_it_was(
    change: str, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write(key(DAY1), zipped(event("e1")))
    lake.run()
    before = lake.files("auditlog_parquet") | lake.files("auditlog_manifest")
    lake.write(key(DAY1, 11), zipped(event("e2")))
    list_objects = Store.survey

    def list_then_change(store: Store, prefix: str = "", **given: Any) -> Listing:
        found = list_objects(store, prefix, **given)
        if "hour" in str([info.key for info in found.objects]):
            path = lake.raw / key(DAY1, 11)
            if change == "vanishes":
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(zipped(event("e2") + event("e3")))
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Store, "survey", list_then_change)
        with pytest.raises(RawChangedError) as error:
            lake.run()
    check_is_one_line(error, key(DAY1, 11))
    assert lake.files("auditlog_parquet") | lake.files("auditlog_manifest") == before
    lake.run()
    assert len(lake.rows()) == (1 if change == "vanishes" else 3)


def test_an_object_can_be_read_from_any_place_like_a_file(store: Store) -> None:
    store.put("a", bytes(range(256)))
    file = store.open(store.list()[0])
    assert file.read(4) == bytes(range(4))
    assert file.seek(-4, os.SEEK_END) == 252
    assert file.read() == bytes(range(252, 256))
    assert file.read() == b""
    file.seek(250)
    file.seek(1, os.SEEK_CUR)
    assert (file.tell(), file.read(2)) == (251, bytes([251, 252]))
    assert file.read(0) == b""


# -- errors


def test_errors_are_one_line_with_the_url(store: Store) -> None:
    store.put("folder/a", b"")
    for act in (
        lambda: store.put("folder", b""),
        lambda: store.put("folder/a/b", b""),
        lambda: store.create("folder/a/b", b""),
        lambda: store.get_if_exists("folder/a/b"),
        lambda: store.delete(["folder"]),
    ):
        with pytest.raises(StoreError) as error:
            act()
        check_is_one_line(error, f"{store.url}/folder")


def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(store: Store) -> None:
    assert store.root is not None
    (store.root / "auditlog_staging").touch()  # a file where a folder must be stops root too
    with pytest.raises(StoreError) as error:
        store.put("a", b"")
    check_is_one_line(error, store.url)


@pytest.mark.parametrize("name", [b"bad\xff", b"tab\t", b"line\n", b"half-written#1"])
def test_a_name_that_the_store_cannot_address_hides_no_other(store: Store, name: bytes) -> None:
    assert store.root is not None
    store.put("folder/good", b"1")
    (store.root / "folder" / os.fsdecode(name)).touch()
    listing = store.survey("folder")
    assert listing == Listing([store.info("folder/good")], [f"folder/{os.fsdecode(name)}"])
    assert store.list() == listing.objects
    store.put("good", b"1")
    (store.root / os.fsdecode(name)).touch()
    names, found = store.level("")
    assert "folder" in names
    assert set(found) - {os.fsdecode(name)} == {"good"}


# -- opening a store


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/folder",
        "http://host/folder",
        "gs://bucket/prefix",
        "s3a://bucket/prefix",
        "FTP://host/folder",
        "s3://",
        "s3:///prefix",
        "S3:///prefix",
    ],
)
@pytest.mark.parametrize("create", [False, True])
def test_a_url_that_is_no_store_is_a_wrong_setting(url: str, create: bool, tmp_path: Path) -> None:
    os.chdir(tmp_path)
    with pytest.raises(SettingsError) as error:
        open_store(url, create=create)
    check_is_one_line(error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["{}/missing", "file://{}/missing", "{}/file"])
def test_a_folder_that_is_not_there_is_a_wrong_setting_that_names_it(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError) as error:
        open_store(url.format(tmp_path))
    check_is_one_line(error, str(tmp_path))
    assert not (tmp_path / "missing").exists()


def test_a_lake_that_is_a_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for url in (f"{tmp_path}/file", f"{tmp_path}/file/lake"):
        with pytest.raises((SettingsError, StoreError)) as error:
            open_store(url, create=True)
        check_is_one_line(error, f"{tmp_path}/file")


def test_a_missing_lake_folder_is_made(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "a" / "b"), create=True)
    store.put("c", b"1")
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"1"


@pytest.mark.parametrize("name", ["plain", "with space", "é", "100%", "a%20b", "a#b", "a?b", "a+b"])
def test_a_path_of_any_name_is_opened_as_it_is(name: str, tmp_path: Path) -> None:
    open_store(str(tmp_path / name), create=True).put("c", b"1")
    assert (tmp_path / name / "c").read_bytes() == b"1"


@pytest.mark.parametrize(("written", "name"), [("plain", "plain"), ("a%20b", "a b"), ("%C3%A9", "é"), ("a%23b", "a#b")])
def test_a_file_url_is_opened_as_urls_are_read(written: str, name: str, tmp_path: Path) -> None:
    open_store(f"file://{tmp_path}/{written}", create=True).put("c", b"1")
    assert (tmp_path / name / "c").read_bytes() == b"1"


def test_a_relative_path_and_one_from_the_home_folder_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    open_store("a", create=True).put("c", b"1")
    assert open_store("~/a").get("c") == b"1"
    assert open_store("a").url == f"file://{tmp_path}/a"
