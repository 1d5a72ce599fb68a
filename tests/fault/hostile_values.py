"""Values that attack a format: its delimiters and escapes, markup, formulas, control and direction characters, halves.

hostile_value(chance) -> str     pieces of attacks and of every part of Unicode, from nothing to very long
"""

from __future__ import annotations

import random

ATTACKS = (
    "|", "^", "~", "\\", "&", "\r", "\n", "\r\n", "\t", "\x00", "\x0b", "\x1c\r", "\x1b[31m", "\x7f", "\x85", "\u2028",
    "\\F\\", "\\E\\", "\\X0D\\", "\\.br\\", "&F&", "&R&", "\\H\\", "\rOBX|9|NM|EVIL||1|||||F\r", "\rPID|1||OTHER\r",
    "\rR|9|^^^EVIL|1\r", "L|1|N", "MSH|^~\\&|", "H|\\^&", '"', '""', "'", ",", ";", "\r\nend\r\n", ",,,,", '",EVIL,"',
    "=1+1", "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1",
    "<script>alert(1)</script>", "</style>", "<img src=x>",
    "]]>", "<!--", "-->", "&lt;", "&#0;", "&amp;amp;", "javascript:x", "{{x}}", "${x}", "%s%n", "%0d%0a", "../../x",
    "CON", "NUL.txt", "\u202e", "\u2066", "\u2069", "\u200b", "\ufeff", "\ufffe", "\u00e9", "e\u0301", "\u1e9b\u0323",
    "\u00df", "\u0130", "\ufb01", "\u2075", "\u2260", "\u00bd", "\u6f22\u5b57", "\U0001f9ec", "\U000e0041", "\u0660",
    "\ud800", "\udfff", "null", "true", "NaN", "1e999", "0x1", " ", "  ", "\u00a0", "'", "`", "\x1f", "OBX|1|NM",
)  # fmt: skip
RANGES = ((32, 126), (0, 31), (127, 0x24F), (0x300, 0x36F), (0x2000, 0x206F), (0x3040, 0x30FF), (0xFF00, 0xFFEF))
LENGTHS = (1, 1, 2, 3, 5, 8, 20, 36, 37, 64, 65, 120, 150, 151, 199, 200)
VERY_LONG = 40_000


def hostile_value(chance: random.Random) -> str:
    """Return one value; one in fifty is empty or blank, one in two thousand very long."""
    what = chance.random()
    if what < 0.02:
        return chance.choice(("", " ", "\u00a0", "\t"))
    if what < 0.0205:
        return chance.choice(ATTACKS) * (VERY_LONG // 4)
    if what < 0.5:
        return "".join(piece(chance) for _ in range(chance.choice((1, 2, 3, 5))))
    return "".join(character(chance) for _ in range(chance.choice(LENGTHS)))


def plausible_id(chance: random.Random) -> str:
    """Return an identifier as a laboratory might have it, with one hostile piece in it: such ones are often carried."""
    digits = f"{chance.randrange(10**8):08d}"
    place = chance.randrange(len(digits) + 1)
    return digits[:place] + chance.choice((piece(chance), character(chance))) + digits[place:]


def piece(chance: random.Random) -> str:
    return chance.choice(ATTACKS) if chance.random() < 0.7 else chance.choice(("A0042", "Sato", "x y", "7", "-"))


def character(chance: random.Random) -> str:
    if chance.random() < 0.03:
        return chr(chance.randrange(0x110000))
    low, high = chance.choice(RANGES)
    return chr(chance.randint(low, high))
