"""What the assets work on. Nothing is opened before an asset asks for it, so that definitions load without a store."""

import dagster as dg

from audit_pipeline.catalog import Table, open_table
from audit_pipeline.settings import Settings, load_settings
from audit_pipeline.store.objects import Store, open_store

__all__ = ["AuditLake"]


class AuditLake(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The raw store, the lake and the table that the ``AUDIT_*`` variables name."""

    def settings(self) -> Settings:
        return load_settings()

    def open_raw(self) -> Store:
        return open_store(self.settings().raw_url)

    def open_lake(self) -> Store:
        return open_store(self.settings().lake_url, create=True)

    def open_table(self) -> Table:
        return open_table(self.settings())
