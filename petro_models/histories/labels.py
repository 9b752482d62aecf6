"""Names of grains, positions, zones and inclusions."""

from collections.abc import Sequence

import pandas as pd


def grain_label(value: object) -> str:
    """Write a grain's name without the ``.0`` that a table reader may have put on numbers."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def grain_labels(frame: pd.DataFrame) -> pd.Series:
    """Name the grain of every row; all are grain 1 where the table names none."""
    if "grain" in frame:
        return frame["grain"].map(grain_label)
    return pd.Series("1", index=frame.index)


def numbered(names: Sequence[str], word: str = "") -> list[str]:
    """Number what bears the same name: ``a:1 a:2 b:1``.

    Parameters
    ----------
    names
        In order.
    word
        Stands before each number.
    """
    counts: dict[str, int] = {}
    labels = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        labels.append(f"{name}:{word}{counts[name]}")
    return labels
