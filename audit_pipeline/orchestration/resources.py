"""The resources of the assets: the lake and the engine. Nothing is opened or started before an asset uses it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import dagster as dg

from audit_pipeline.catalog import Table, open_table
from audit_pipeline.engines import Engine
from audit_pipeline.settings import Settings
from audit_pipeline.store.objects import Store, open_store

__all__ = ["AuditLake", "EngineResource"]


@dataclass(frozen=True)
class AuditLake:
    """The raw store, the lake and the table that the settings name.

    A plain object, used as ``dg.ResourceParam[AuditLake]``. As configuration of a Dagster resource the settings would
    show in the UI, and some of them are secrets.
    """

    settings: Settings

    def open_raw(self) -> Store:
        return open_store(self.settings.raw_url)

    def open_lake(self) -> Store:
        return open_store(self.settings.lake_url, create=True)

    def open_table(self) -> Table:
        return open_table(self.settings)


class EngineResource(dg.ConfigurableResource, ABC):  # type: ignore[type-arg]
    """Opens the engine of a Dagster run, which serves all days of the run."""

    @abstractmethod
    def open(self) -> Engine: ...
