"""The embedded engine writes the same whatever it has of the machine."""

from pathlib import Path

from tests.support.lake import DAY1, Lake, counts_of, event, key, zipped


def test_a_day_gives_the_same_bytes_whatever_the_workers_and_the_memory(tmp_path: Path) -> None:
    """The rows of one source come from many objects, with copies and broken texts among them."""
    found = []
    for number, given in enumerate(({"workers": 1}, {"workers": 2, "memory_mb": 256})):
        lake = Lake(tmp_path / str(number))
        for part in range(40):
            numbers = range(part * 75, part * 75 + 100)
            texts = [event(f"e{n % 1500}", time=f"2026-05-0{1 + n % 2}T10:00:{n % 60:02}Z") for n in numbers]
            lake.write(key(DAY1, part % 24, f"{part:02}"), zipped("".join(texts) + "{broken"))
        lake.run(**given)
        found.append((lake.files("auditlog_parquet"), lake.files("auditlog_quarantine"), counts_of(lake.manifest())))
    assert found[0] == found[1]
    assert found[0][2]["kept"] == 1500
    assert found[0][2]["duplicate"] == 2500
