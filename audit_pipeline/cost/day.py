"""What a day cost that has run: its share, by its manifest."""

from decimal import Decimal

from audit_pipeline.cost.compute import start_seconds
from audit_pipeline.cost.lines import Part, path_lines, total
from audit_pipeline.cost.prices import Prices
from audit_pipeline.cost.workload import (
    GZIP_RATIO,
    LAKE_GETS_A_RUN,
    LAKE_PUTS_A_RUN,
    LISTINGS_A_RUN,
    Amounts,
    Engine,
    pages,
)
from audit_pipeline.store.manifest import Manifest

__all__ = ["cost_of_day"]


def cost_of_day(manifest: Manifest, prices: Prices) -> Decimal | None:
    """Dollars to take the day's events in, to run it once, and to keep its raw for 90 days and its rows for a year.

    Were it in AWS: the manifest does not know. Queries and what guards the pipeline are not in it. Thirty such days are
    what ``audit-pipeline cost`` prints for a month. None for an engine that has no price here.
    """
    if manifest.engine not in [engine.value for engine in Engine]:
        return None
    return total(path_lines(_amounts(manifest), prices), Part.PATH)


def _amounts(manifest: Manifest) -> Amounts:
    # the objects of the grace hours are the next day's to pay for, but for reading them; and so are events
    day = f"year={manifest.partition:%Y}/month={manifest.partition:%m}/day={manifest.partition:%d}/"
    own = [item for item in manifest.inputs if item.key.startswith(day)]
    raw_bytes = sum(item.size for item in own)
    events = manifest.events.read - manifest.events.deferred
    engine = Engine(manifest.engine)
    work = Decimal(str((manifest.finished_at - manifest.started_at).total_seconds()))
    return Amounts(
        events=events,
        # the manifest has the size of the gzip only
        event_bytes=int(raw_bytes * GZIP_RATIO / events) if events else 0,
        raw_bytes=raw_bytes,
        raw_objects=len(own),
        run_puts=LISTINGS_A_RUN * (pages(len(own)) + 1) + LAKE_PUTS_A_RUN,
        run_gets=len(manifest.inputs) + LAKE_GETS_A_RUN,
        parquet_bytes=sum(output.size for output in manifest.outputs),
        runs=1,
        run_seconds=start_seconds(engine) + work,
        engine=engine,
    )
