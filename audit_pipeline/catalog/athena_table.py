"""The table in Athena: its definition is in the Glue catalog."""

from functools import cached_property

from audit_pipeline.aws import glue_client
from audit_pipeline.catalog.athena import Athena, athena_of
from audit_pipeline.catalog.definition import definitions_for_lake, definitions_of
from audit_pipeline.catalog.glue import ensure_table
from audit_pipeline.catalog.lookup import look_up_day
from audit_pipeline.catalog.table import DayInTable
from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.store.objects import Store, open_store

__all__ = ["AthenaTable"]


class AthenaTable:
    """The table and its quarantine in Glue and Athena, whose clients are made on first use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def location(self) -> str:
        table, _ = definitions_of(self._settings)
        return f"Athena table {table.full_name} over {table.location}"

    def define(self) -> None:
        glue = glue_client()
        for definition in definitions_for_lake(self._settings, self._lake):
            ensure_table(glue, definition)

    def look_up(self, manifest: Manifest) -> DayInTable:
        return look_up_day(self._athena, self._settings.database, self._settings.table, self._lake, manifest)

    @cached_property
    def _lake(self) -> Store:
        return open_store(self._settings.lake_url)

    @cached_property
    def _athena(self) -> Athena:
        return athena_of(self._settings)
