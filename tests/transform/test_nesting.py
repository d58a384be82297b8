"""Deep JSON documents: read without recursion, with ``msgspec``'s own verdict on each."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audit_pipeline.transform import nesting

ANY = msgspec.json.Decoder(msgspec.Raw)
SCALARS = [b"1", b"-0", b"01", b"null", b"nul", b'"a"', b'"]}[{"', b'"\\""', b'"\\\\"', b'"\\ud800"', b'"\\x"', b'"\n"']
TOKENS = st.sampled_from([*SCALARS, *b'[ ] { } , : " \\'.split(), b" ", b'{"a":', b"},", b"[]", b"{}"])


def arrays(levels: int, inner: bytes = b"") -> bytes:
    return b"[" * levels + inner + b"]" * levels


@pytest.fixture(params=[1, 2, 3])
def fragment_levels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nesting, "_FRAGMENT_LEVELS", request.param)


def values() -> st.SearchStrategy[bytes]:
    """JSON values, with white space here and there and keys twice."""
    scalar = st.sampled_from([b"1", b"-1.5e3", b"null", b"true", b'"a,b:c"', b'"]}"', b'"\\""', b'"\\\\"', b'""'])
    key = st.sampled_from([b'"a"', b'"b"', b' "a,:{" ', b'"\\u0061"', b'"\\""'])
    return st.recursive(
        scalar,
        lambda value: st.one_of(
            st.lists(value, max_size=4).map(lambda parts: b"[ " + b" , ".join(parts) + b"\n]"),
            st.lists(st.tuples(key, value).map(b":\t".join), max_size=4).map(lambda m: b"{" + b",\r\n".join(m) + b" }"),
        ),
    )


def msgspecs_end(data: bytes) -> int | None:
    for end in range(1, len(data) + 1):
        try:
            ANY.decode(data[:end])
        except msgspec.DecodeError:
            continue
        return end
    return None


@pytest.mark.usefixtures("fragment_levels")
@given(st.lists(TOKENS, max_size=12).map(b"".join), st.sampled_from([b"[", b"{", b'{"a":', b"[[", b"[1,"]))
@example(b"1{}]", b"[")
@example(b"1[]]", b"[")
@example(b'"a"[]}', b"{")
def test_any_bytes_are_json_up_to_the_same_place_as_for_msgspec(rest: bytes, opening: bytes) -> None:
    data = opening + rest
    assert nesting.DeepDocuments(data).end_of(0) == msgspecs_end(data)


@pytest.mark.usefixtures("fragment_levels")
@given(values())
def test_every_json_value_is_json_to_its_end(value: bytes) -> None:
    data = b"[" + value + b"]"
    assert nesting.DeepDocuments(data + b'{"a"').end_of(0) == len(data)


class Recursing:
    def decode(self, text: bytes) -> None:
        raise RecursionError


@given(st.lists(values(), max_size=4))
def test_elements_are_read_alike_with_and_without_recursion(parts: list[bytes]) -> None:
    text = b"[" + b" , ".join(parts) + b"]"
    expected = [bytes(part) for part in nesting.elements(text)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nesting, "_ARRAY", Recursing())
        assert [bytes(part) for part in nesting.elements(text)] == expected


@given(st.lists(st.tuples(st.sampled_from([b'"a"', b'"a,:{"', b'"\\u0061"', b'"\\""']), values()), max_size=4))
def test_members_are_read_alike_with_and_without_recursion(pairs: list[tuple[bytes, bytes]]) -> None:
    text = b"{ " + b" , ".join(b" : ".join(pair) for pair in pairs) + b"\n}"
    expected = {key: bytes(value) for key, value in nesting.members(text).items()}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nesting, "_OBJECT", Recursing())
        assert {key: bytes(value) for key, value in nesting.members(text).items()} == expected


@pytest.mark.parametrize("around", [b"", b"1,", b"[]," * 2_000, b'"' + b"[" * 2_000 + b'",'])
def test_the_depth_is_that_of_the_deepest_value_however_many_brackets_there_are(around: bytes) -> None:
    deepest = b"[" + around + arrays(nesting.MAX_DEPTH - 1) + b"]"
    deeper = b"[" + around + arrays(nesting.MAX_DEPTH) + b"]"
    assert not nesting.is_too_deep(deepest)
    assert nesting.is_too_deep(deeper)
    assert nesting.DeepDocuments(deepest).end_of(0) == len(deepest)
    assert nesting.DeepDocuments(deeper).end_of(0) is None


def test_a_string_of_brackets_has_no_levels() -> None:
    assert not nesting.is_too_deep(b'"' + b"[{" * 2_000 + b'"')


def test_one_scan_is_for_all_starts_within_it() -> None:
    data = arrays(nesting.MAX_DEPTH) + b"[" * 3 + arrays(nesting.MAX_DEPTH + 2) + b"[]"
    documents = nesting.DeepDocuments(data)
    assert documents.end_of(0) == 2 * nesting.MAX_DEPTH
    unclosed = 2 * nesting.MAX_DEPTH
    assert documents.end_of(unclosed) is None
    hopeless = [start for start in range(unclosed, len(data)) if documents.is_hopeless(start)]
    assert hopeless == list(range(unclosed, unclosed + 5))


@pytest.mark.parametrize("flood", [b'{"a":"' + b'\\"' * 200_000, b'{"a":"' + b'\\"' * 200_000 + b"\\", b'{"' * 200_000])
def test_a_string_without_an_end_costs_one_look_at_it(flood: bytes) -> None:
    assert nesting.DeepDocuments(flood).end_of(0) is None
