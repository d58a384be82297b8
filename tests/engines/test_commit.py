"""The commit: the manifest comes last, and the next run cleans up after one that was killed."""

import json
import re
from typing import Any, Final

import pytest

from audit_pipeline.errors import StoreError
from audit_pipeline.store.objects import Store
from tests.support.lake import DAY1, DAY3, Lake, event, ids, key
from tests.support.rules import COPY

#: Each test with a lake.
ON_EVERY_ENGINE = True


class KilledError(BaseException):
    """A run that is killed: not an ``Exception``, so that no handler of the product catches it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Let the next run die when it writes ``path``."""
    for name in ("put", "create"):
        original = getattr(Store, name)

        def dying(self: Store, key: str, *args: Any, original: Any = original) -> Any:
            if re.fullmatch(path, key):
                raise KilledError
            return original(self, key, *args)

        monkeypatch.setattr(Store, name, dying)


def test_the_manifest_is_written_last(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write(key(DAY1), event("a") + "broken")
    kill_at(monkeypatch, "auditlog_manifest/2026-05-01.json")
    with pytest.raises(KilledError):
        lake.run()
    assert ids(lake.rows()) == ["a"]
    assert len(lake.quarantine()) == 1


@pytest.mark.parametrize("point", [r"auditlog_manifest/2026-05-01.json", r"auditlog_quarantine/.*"])
def test_the_next_run_cleans_up_after_one_that_left_no_manifest(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    lake.write(key(DAY1), event("a") + event("b", source="gone") + event("c", time="2026-05-02T00:00:00Z") + "broken")
    with monkeypatch.context() as killing:
        kill_at(killing, point)
        with pytest.raises(KilledError):
            lake.run()
    lake.write(key(DAY1), event("a"))
    lake.run()
    assert list(lake.files()) == ["auditlog_parquet/dt=2026-05-01/source=shop/2026-05-01.parquet"]
    assert lake.quarantine() == []


def test_the_next_run_cleans_up_after_a_rerun_that_was_killed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write(key(DAY1), event("a", source="first"))
    lake.run()
    lake.write(key(DAY1), event("a", source="second"))
    with monkeypatch.context() as killing:
        kill_at(killing, "auditlog_manifest/2026-05-01.json")
        with pytest.raises(KilledError):
            lake.run()
    lake.write(key(DAY1), event("a", source="third"))
    lake.run()
    assert list(lake.files()) == ["auditlog_parquet/dt=2026-05-01/source=third/2026-05-01.parquet"]


def test_what_a_killed_run_left_does_not_stand_for_another_partition(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write(key(DAY1), event("a", COPY))
    lake.write(key(DAY3), event("a", COPY))
    with monkeypatch.context() as killing:
        kill_at(killing, "auditlog_manifest/2026-05-01.json")
        with pytest.raises(KilledError):
            lake.run(DAY1)
    lake.run(DAY3)
    lake.run(DAY1)
    assert ids(lake.rows()) == ["a"]


PENDING: Final = "auditlog_pending/2026-05-01.json"
#: Paths of files that no store can hold, or that cannot be there.
IMPOSSIBLE: Final = {
    "a source too long for a disk": f"auditlog_parquet/dt=2026-05-01/source={'a' * 256}/2026-05-01.parquet",
    "a source with a line break": "auditlog_parquet/dt=2026-05-01/source=a\n/2026-05-01.parquet",
    "no source": "auditlog_parquet/dt=2026-05-01//2026-05-01.parquet",
    "no date": "auditlog_parquet/dt=2026-13-45/source=shop/2026-05-01.parquet",
    "below a file": "auditlog_parquet/dt=2026-05-01/source=shop/2026-05-01.parquet/2026-05-01.parquet",
}


@pytest.mark.parametrize("path", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_path_that_cannot_exist_does_not_keep_the_next_run_from_cleaning_up(lake: Lake, path: str) -> None:
    lake.write(key(DAY1), event("a") + event("b", source="gone"))
    lake.run()
    manifest = lake.manifest()
    manifest["outputs"][0]["path"] = path
    (lake.path / "auditlog_manifest/2026-05-01.json").write_text(json.dumps(manifest))
    pending = lake.path / PENDING
    pending.parent.mkdir(exist_ok=True)
    pending.write_text(json.dumps([path, "auditlog_parquet/dt=2026-05-01/source=gone/2026-05-01.parquet"]))
    lake.write(key(DAY1), event("a"))
    lake.run()
    assert list(lake.files()) == ["auditlog_parquet/dt=2026-05-01/source=shop/2026-05-01.parquet"]
    assert not pending.exists()
    assert len(lake.manifest()["outputs"]) == 1


def test_a_broken_list_of_a_killed_run_is_an_error_that_says_what_to_do(lake: Lake) -> None:
    pending = lake.path / PENDING
    pending.parent.mkdir(parents=True)
    pending.write_text("[")
    with pytest.raises(StoreError, match=rf"{PENDING}, cannot be read .*: delete it together with the files"):
        lake.run()
    assert lake.files() == {}
