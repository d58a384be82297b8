"""Commands on an empty lake, and on the lake of a shop."""

import os
from pathlib import Path

import pytest

from tests.support import shop
from tests.support.cli_harness import LakeCommands, QueryCommands
from tests.support.lake import Lake


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AUDIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def commands(lake: Lake, no_settings: None, monkeypatch: pytest.MonkeyPatch) -> LakeCommands:
    monkeypatch.chdir(lake.root)
    return LakeCommands(lake)


@pytest.fixture(scope="package")
def shop_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return shop.filled(Lake(tmp_path_factory.mktemp("shop")))


@pytest.fixture
def queries(shop_lake: Lake, no_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> QueryCommands:
    monkeypatch.chdir(tmp_path)
    return QueryCommands(shop_lake.path)
