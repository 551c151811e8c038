from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.text.windows import owners, windows


@settings(max_examples=300, deadline=None)
@given(count=st.integers(0, 400), size=st.integers(1, 60), data=st.data())
def test_windows_hold_every_token_and_overlap_by_the_stride(
    count: int, size: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(0, size - 1))
    cut = windows(count, size, stride)
    assert cut[0][0] == 0
    assert cut[-1][1] == count
    if len(cut) > 1:
        assert all(end - start == size for start, end in cut[:-1])
        assert stride < cut[-1][1] - cut[-1][0] <= size
    for (_, end), (start, _) in itertools.pairwise(cut):
        assert end - start == stride
    # No fewer would do.
    assert len(cut) == max(1, -(-(count - stride) // (size - stride)))


@settings(max_examples=300, deadline=None)
@given(count=st.integers(1, 200), size=st.integers(2, 40), data=st.data())
def test_each_token_is_read_where_it_sees_most(count: int, size: int, data: st.DataObject) -> None:
    cut = windows(count, size, data.draw(st.integers(0, size - 1)))
    found = owners(count, cut)
    for token, owner in enumerate(found.tolist()):
        contexts = []
        for start, end in cut:
            left = count if start == 0 else token - start
            right = count if end == count else end - 1 - token
            contexts.append(min(left, right) if start <= token < end else -1)
        assert contexts[owner] == max(contexts) >= 0
    assert (np.diff(found) >= 0).all()


def test_windows_that_never_end_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot overlap by 6"):
        windows(10, 6, 6)
