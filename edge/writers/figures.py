"""Numbers as people and messages read them: rounded once, half to even, from whole counts where there are counts."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction


def per_hundred(numerator: int, denominator: int) -> str:
    """Return 100 x numerator / denominator with one decimal, half to even, from the integers themselves.

    No floating point takes part, so that every machine and every reader gets the same digit.
    """
    tenths = round(Fraction(1000 * numerator, denominator))
    return f"{tenths // 10}.{tenths % 10}"


def with_decimals(value: float, decimals: int) -> str:
    """Return a number with a fixed count of decimals, half to even, never with an exponent or a negative zero.

    The shortest decimal text of the float is rounded, which is the number that the JSON record shows.
    """
    rounded = Decimal(repr(value)).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN)
    text = format(rounded, "f")
    return text[1:] if not rounded and text.startswith("-") else text


def shortest(value: float) -> str:
    """Return a number with as many decimals as it needs, never with an exponent."""
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
