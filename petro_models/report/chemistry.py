"""Chemical names as readers know them."""

import re

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def pretty(text: str) -> str:
    """Write formulas with subscripts: ``Al2O3`` as chemists print it."""
    return re.sub(
        r"(?<=[A-Za-z])\d+", lambda digits: digits.group().translate(SUBSCRIPTS), str(text)
    )
