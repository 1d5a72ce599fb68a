"""A sentence that compares two figures shows that they differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.figures_apart import DECIMALS_MAX, texts_apart

figures = st.floats(-1000, 1000, allow_nan=False)


def test_a_value_beyond_its_limit_does_not_read_like_the_limit():
    assert texts_apart(3.79947, 3.83, decimals=1) == ("3.80", "3.83")
    assert texts_apart(0.716, 0.7157, 0.93, decimals=3) == ("0.7160", "0.7157", "0.9300")
    assert texts_apart(1.365, 1.402, decimals=2) == ("1.36", "1.40")


def test_equal_figures_keep_the_decimals_that_were_asked_for():
    assert texts_apart(0.5, 0.5, 0.25, decimals=2) == ("0.50", "0.50", "0.25")


@given(limit=figures, value=figures)
def test_the_texts_differ_and_stand_in_the_order_of_the_figures(limit, value):
    low, high = texts_apart(limit, value, decimals=1)
    if abs(limit - value) >= 10**-DECIMALS_MAX:
        assert low != high
        assert (float(low) < float(high)) == (limit < value)
    else:
        assert abs(float(low) - float(high)) <= 2 * 10**-DECIMALS_MAX
