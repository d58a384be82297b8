"""What the Message of a text that is not JSON says (docs/design.md, "Splitting"): what is wrong, and where.

interface: the Message holds the cause in the words below, "byte N" (N counts from 0 at the text's first byte, and may
have commas between its thousands), and an excerpt of the text around that byte in which a byte that cannot be shown is
written as an escape. The cause is that of the record's own bytes: a text that the next event interrupts is "cut off".
"""

import re

import pytest

from tests.support.formats import gzip_member
from tests.support.lake import DAY1, ENTITY, Lake, entity, event, ids, key
from tests.support.rules import objects, only, read

PAD = "x" * 3_000


def bad(value: bytes | str) -> bytes:
    """An event of some kilobytes with this value in it, between two members that an excerpt must show."""
    encoded = value.encode() if isinstance(value, str) else value
    text = event("bad", entity(before=f'"{PAD}"', after='{"left":@@,"right":1}', channel_code=f'"{PAD}"'))
    return text.encode().replace(b"@@", encoded)


def place(text: bytes) -> int:
    """Of the value in it."""
    return text.index(b'"left":') + len('"left":')


def message(lake: Lake, text: bytes | str) -> str:
    """Of the one record, which lies between ten good events on either side."""
    encoded = text.encode() if isinstance(text, str) else text
    around = "".join(event(f"e{n}") for n in range(10)).encode()
    read(lake, gzip_member(around + encoded + b"\n" + around))
    record = only(lake.quarantine())
    assert (record["Reason"], record["Raw"], record["Offset"]) == ("not_json", encoded, len(around))
    assert len(lake.rows()) == 10
    found: str = record["Message"]
    assert found.isprintable()
    return found


def byte_of(said: str) -> int:
    found = re.search(r"\bbyte ([\d,]*\d)", said)
    assert found, said
    return int(found[1].replace(",", ""))


#: A value, the words that name what is wrong with it, and where in the value that is.
CAUSES: list[tuple[bytes, str, int]] = [
    (b'"Party \\ud83c"', "lone surrogate", 7),
    (b'"\\udc00"', "lone surrogate", 1),
    (b'"a\\ud83c\\ud83c"', "lone surrogate", 2),
    (b'"\\ud83cx\\udf89"', "lone surrogate", 1),
    (b'{"\\uDBFF":1}', "lone surrogate", 2),
    ('"Zoë"'.encode("latin-1"), "UTF-8", 3),
    (b'"\xff"', "UTF-8", 1),
    (b'"a\xc0\xaf"', "UTF-8", 2),
    (b'"\xe2\x82"', "UTF-8", 1),
    (b'"\xed\xa0\x80"', "UTF-8", 1),
    (b'"\xf4\x90\x80\x80"', "UTF-8", 1),
    (b"NaN", "NaN", 0),
    (b"[1,NaN]", "NaN", 3),
    (b"Infinity", "Infinity", 0),
    (b"-Infinity", "Infinity", 0),
    (b'"a\tb"', "control character", 2),
    (b'"a\nb"', "control character", 2),
    (b'"\x00"', "control character", 1),
    (b'"\x1f"', "control character", 1),
]


@pytest.mark.parametrize(("value", "cause", "at"), CAUSES, ids=[repr(c[0]) for c in CAUSES])
def test_the_message_names_what_is_wrong_and_at_which_byte(lake: Lake, value: bytes, cause: str, at: int) -> None:
    text = bad(value)
    said = message(lake, text)
    assert cause in said
    # a minus sign is of the word behind it
    assert byte_of(said) in {place(text) + at, place(text) + at + value.startswith(b"-")}


#: What may as well be seen at the byte itself as right behind it.
ABOUT: list[tuple[bytes, str, int]] = [
    (b"[1,]", "trailing comma", 2),
    (b'{"a":1,}', "trailing comma", 6),
    (b"01", "leading zero", 0),
    (b"-012", "leading zero", 1),
    (b'"\\x41"', "escape", 1),
    (b'"\\u12g4"', "escape", 1),
]


@pytest.mark.parametrize(("value", "cause", "at"), ABOUT, ids=[repr(c[0]) for c in ABOUT])
def test_so_it_does_of_what_is_seen_a_little_later(lake: Lake, value: bytes, cause: str, at: int) -> None:
    text = bad(value)
    said = message(lake, text)
    assert cause in said
    assert place(text) + at <= byte_of(said) <= place(text) + len(value)


#: More that is wrong, for which any words will do.
OTHERS = [b"tru", b"True", b"undefined", b"'a'", b"{a:1}", b'{"a" 1}', b"[1 2]", b"1.", b".5", b"+1", b"0x1F", b"1_0"]


@pytest.mark.parametrize("value", [c[0] for c in CAUSES + ABOUT] + OTHERS, ids=repr)
def test_the_message_shows_what_is_around_that_byte_and_no_more(lake: Lake, value: bytes) -> None:
    text = bad(value)
    said = message(lake, text)
    assert place(text) - 1 <= byte_of(said) <= place(text) + len(value) + 1
    assert "left" in said
    assert len(said) < 400
    assert PAD[:100] not in said


@pytest.mark.parametrize("value", [b"NaN", b"[1,]", b'"\\ud800"', b'"\xff"'], ids=repr)
def test_also_what_comes_after_it(lake: Lake, value: bytes) -> None:
    assert "right" in message(lake, bad(value))


def test_the_lone_surrogate_itself_is_shown(lake: Lake) -> None:
    assert "\\ud83c" in message(lake, bad(b'"Party \\ud83c"'))


@pytest.mark.parametrize("size", [1, 2, 50, 200, 1_000])
def test_a_text_that_ends_too_early_is_cut_off_at_its_end(lake: Lake, size: int) -> None:
    text = event("a", entity(after=f'"{PAD}"')).encode()[:size]
    said = message(lake, text)
    assert "cut off" in said
    assert size - 1 <= byte_of(said) <= size


@pytest.mark.parametrize("behind", ["", "\n", " "])
@pytest.mark.parametrize(
    "cut", ['{"id":"x","deta', '{"id":"x",', '{"id":', '{"id":"x"', '{"a":[1,2', '{"a":tr', '{"a":-', '{"a":"\\u00']
)
def test_the_event_that_follows_does_not_hide_that_it_is_cut_off(lake: Lake, cut: str, behind: str) -> None:
    if not behind and cut.endswith((":", ",")):
        behind = "\n"  # right behind these no event starts
    read(lake, f"{event('a')}{cut}{behind}{event('b')}")
    record = only(lake.quarantine())
    assert record["Raw"] == cut.encode()
    assert "cut off" in record["Message"]
    assert len(cut) - 6 <= byte_of(record["Message"]) <= len(cut)
    assert ids(lake.rows()) == ["a", "b"]


def test_too_deep_nesting_is_named(lake: Lake) -> None:
    said = message(lake, event("a", entity(after="[" * 1_500 + "]" * 1_500)))
    assert "nest" in said
    assert "1,000" in said or "1000" in said


@pytest.mark.parametrize("text", ["garbage", "<html>", "id,source,time", "# no", "}", ":"])
def test_what_does_not_even_begin_as_json_is_shown_from_its_first_byte(lake: Lake, text: str) -> None:
    said = message(lake, text)
    assert byte_of(said) == 0
    assert text in said


def test_the_byte_counts_from_the_texts_own_beginning(lake: Lake) -> None:
    """Its Offset tells where in the object that is."""
    texts = [event("a"), '{"a":NaN}', event("b"), '{"long":"é","a":NaN}']
    read(lake, "\n".join(texts))
    assert [byte_of(r["Message"]) for r in lake.quarantine()] == [5, len('{"long":"é","a":'.encode())]


def test_a_message_is_one_line_that_can_be_shown_whatever_the_bytes(lake: Lake) -> None:
    texts = [
        b'{"\x00\x01\x1b[2J":1}',
        b'{"a":\x80\x90}',
        b'{"a":"\xe2\x80\xae" x}',
        b'{"a"\x7f:1}',
        b"\x9b\x0c",
        b'{"a":\r\n\x1b]0;owned\x07}',
    ]
    read(lake, b"\n".join(event(f"e{n}").encode() + b"\n" + text for n, text in enumerate(texts)))
    assert [r["Raw"] for r in lake.quarantine()] == texts
    assert all(r["Message"].isprintable() for r in lake.quarantine())


# === The day of one message for five causes =========================================================================


def test_five_causes_have_five_messages(lake: Lake) -> None:
    """As they came out of one day: each said "3519 bytes that are no JSON text", and looked perfect."""
    good = "".join(event(f"g{n}") for n in range(10))
    around = good.encode()
    broken = {
        "cut-emoji.gz": (around + bad(b'"Party \\ud83c"') + around, "lone surrogate"),
        "nan.gz": (around + bad(b"NaN") + around, "NaN"),
        "latin1.gz": (around + bad('"Zoë"'.encode("latin-1")) + around, "UTF-8"),
        "utf16.gz": (good.encode("utf-16"), "UTF-16"),
        "error.gz": (b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>", "XML"),
    }
    for name, (text, _) in broken.items():
        lake.write(key(DAY1, 1, name), text if name == "error.gz" else gzip_member(text))
    lake.run()
    said = {r["RawKey"].rsplit("/", 1)[1]: (r["Reason"], r["Message"]) for r in lake.quarantine()}
    assert {name: reason for name, (reason, _) in said.items()} == {
        "cut-emoji.gz": "not_json",
        "nan.gz": "not_json",
        "latin1.gz": "not_json",
        "utf16.gz": "unreadable_object",
        "error.gz": "unreadable_object",
    }
    for name, (_, cause) in broken.items():
        assert cause in said[name][1]
    assert len(set(said.values())) == 5
    assert lake.manifest()["objects"] == objects(5, unreadable=2)
    assert sorted(ids(lake.rows())) == sorted(f"g{n}" for n in range(10))


# === A message of another reason ====================================================================================


@pytest.mark.parametrize("time", ["2026-05-01T23:59:60Z", "2016-12-31T23:59:60.5Z", "2017-01-01T00:59:60+01:00"])
def test_a_leap_second_is_named_as_one(lake: Lake, time: str) -> None:
    read(lake, event("a", ENTITY, time=time))
    record = only(lake.quarantine())
    assert record["Reason"] == "bad_time"
    assert "leap second" in record["Message"]


@pytest.mark.parametrize("time", ["2026-05-01T23:59:61Z", "2026-05-01T10:60:00Z", "yesterday"])
def test_another_bad_time_is_none(lake: Lake, time: str) -> None:
    read(lake, event("a", ENTITY, time=time))
    assert "leap second" not in only(lake.quarantine())["Message"]
