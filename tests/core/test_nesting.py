"""How deep JSON text is nested, against a reading of it character by character."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from integrity.core.nesting import is_nested_deeper

VALUES = st.recursive(
    st.none() | st.text('a"\\[]{}é\n') | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('k"\\[]{}'), inner),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@example({'"': ["[", "]", '\\"[']})
@example(["[", "[[", '"', "\\"])
@given(VALUES)
def test_the_depth_is_that_of_the_value(value: object) -> None:
    depth = depth_of(value)
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only).encode()
        assert not is_nested_deeper(text, depth)
        if depth:
            assert is_nested_deeper(text, depth - 1)


@given(VALUES, st.integers(64, 70))
def test_what_stands_before_hides_nothing_that_is_deep(value: object, depth: int) -> None:
    text = b"[" + json.dumps(value).encode() + b"," + b"[" * depth
    assert is_nested_deeper(text, 64)
    assert not is_nested_deeper(b'["' + text.replace(b'"', b"'").replace(b"\\", b"/"), 64), (
        "in a string"
    )
