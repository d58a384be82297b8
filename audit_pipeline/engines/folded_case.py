"""Sources that differ in case only, on a disk that takes their folders for one, as macOS and Windows do by default."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

from audit_pipeline.errors import StoreError
from audit_pipeline.store.layout import LAKE_SETTINGS_PATH, TABLE_PREFIX, dt_prefix
from audit_pipeline.store.manifest import OutputFile
from audit_pipeline.store.objects import Store

__all__ = ["refuse_folded_sources"]

_SHOWN: Final = 5


def refuse_folded_sources(lake: Store, partition: date, outputs: Iterable[OutputFile]) -> None:
    """:class:`StoreError` where a source of a ``dt`` would lie in the folder of another one there."""
    by_date: dict[date, set[str]] = defaultdict(set)
    for output in outputs:
        by_date[output.dt].add(output.source)
    for dt, sources in sorted(by_date.items()):
        alike = _alike(sources, lake.folders(dt_prefix(dt)))
        if alike and lake.folds_case([dt_prefix(dt), TABLE_PREFIX, LAKE_SETTINGS_PATH]):
            pairs = "; ".join(", ".join(names) for names in alike[:_SHOWN])
            more = f" and {len(alike) - _SHOWN:,} more" if len(alike) > _SHOWN else ""
            raise StoreError(
                f"partition {partition}: sources of dt={dt} differ in case only ({pairs}{more}), and the disk of "
                f"{lake.url} takes their folders for one, so nothing was written. Put the lake on a disk that keeps "
                f"case apart, or in S3. If one of them is a mistake, correct its producer; a folder of the table that "
                f"holds no files can be removed"
            )


def _alike(sources: Iterable[str], folders: Iterable[str]) -> Sequence[Sequence[str]]:
    """The sources that differ from another one, or from a folder that is there, in case only; with those."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        spellings[source.lower()].add(source)
    for folder in folders:
        source = folder.removeprefix("source=")
        if source.lower() in spellings:
            spellings[source.lower()].add(source)
    return sorted(sorted(names) for names in spellings.values() if len(names) > 1)
