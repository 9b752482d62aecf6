"""TIFF images that carry their scale: GeoTIFF tags with a local, engineering coordinate system.

x runs to the right and y upwards from the centre of the first pixel, in micrometres where the step
is known, else in pixels: rows further down have negative y, as map viewers expect.

References
----------
OGC GeoTIFF 1.1 (OGC 19-008r4): tags and keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import tifffile

DOUBLE, SHORT, ASCII = 12, 3, 2
PIXEL_SCALE, TIE_POINT = 33550, 33922
KEY_DIRECTORY, KEY_DOUBLES, KEY_TEXTS = 34735, 34736, 34737
GDAL_METADATA, GDAL_NODATA = 42112, 42113
USER_DEFINED, PIXEL_IS_AREA = 32767, 1
Tag = tuple[int, int, int, object, bool]


@dataclass(frozen=True)
class Scale:
    """Distances of pixel centres along x and y and their unit: ``"um"`` or ``"pixel"``."""

    steps: tuple[float, float]
    unit: str


def write_bands(
    path: Path,
    bands: np.ndarray,
    names: Sequence[str],
    scale: Scale,
    *,
    description: str,
    units: str,
) -> None:
    """Write floats, (band, y, x), one band for each name; NaN is "no data"."""
    tags = [*_place_tags(scale), _band_tag(names, units), (GDAL_NODATA, ASCII, 0, "nan", True)]
    tifffile.imwrite(
        path,
        np.ascontiguousarray(bands, dtype=np.float32),
        photometric="minisblack",
        planarconfig="separate" if len(bands) > 1 else None,
        compression="adobe_deflate",
        description=description,
        software="petro_models",
        metadata=None,
        extratags=tags,
        **_resolution(scale),
    )


def write_classes(
    path: Path,
    classes: np.ndarray,
    colours: np.ndarray,
    scale: Scale,
    *,
    description: str,
) -> None:
    """Write class numbers, (y, x), with colours (class, 3) of 0 to 255; class 0 is "no data"."""
    palette = np.zeros((3, 256), dtype=np.uint16)
    palette[:, : len(colours)] = np.asarray(colours, dtype=np.uint16).T * 257
    tifffile.imwrite(
        path,
        np.ascontiguousarray(classes, dtype=np.uint8),
        photometric="palette",
        colormap=palette,
        compression="adobe_deflate",
        description=description,
        software="petro_models",
        metadata=None,
        extratags=[*_place_tags(scale), (GDAL_NODATA, ASCII, 0, "0", True)],
        **_resolution(scale),
    )


def _resolution(scale: Scale) -> dict[str, Any]:
    """Give the plain TIFF resolution, pixels per centimetre, that image programs read."""
    if scale.unit != "um":
        return {}
    across, down = (1e4 / step for step in scale.steps)
    return {"resolution": (across, down), "resolutionunit": "CENTIMETER"}


def _place_tags(scale: Scale) -> list[Tag]:
    """Give the tags that place the image: the outer corner of the first pixel, and the unit."""
    corner = (0.0, 0.0, 0.0, -scale.steps[0] / 2, scale.steps[1] / 2, 0.0)
    micrometres = scale.unit == "um"
    name = "Map in micrometres|" if micrometres else "Map in pixels|"
    unit_name = "micrometre|"
    keys = [
        (1024, 0, 1, USER_DEFINED),  # GTModelType: neither projected nor geographic
        (1025, 0, 1, PIXEL_IS_AREA),  # GTRasterType
        (1026, KEY_TEXTS, len(name), 0),  # GTCitation
    ]
    texts = name
    doubles: tuple[float, ...] = ()
    if micrometres:
        keys += [
            (3073, KEY_TEXTS, len(unit_name), len(name)),  # ProjectedCitation: names the unit
            (3076, 0, 1, USER_DEFINED),  # ProjLinearUnits
            (3077, KEY_DOUBLES, 1, 0),  # ProjLinearUnitSize, metres
        ]
        texts, doubles = name + unit_name, (1e-6,)
    directory = (1, 1, 0, len(keys), *(number for key in keys for number in key))
    tags: list[Tag] = [
        (PIXEL_SCALE, DOUBLE, 3, (*scale.steps, 0.0), True),
        (TIE_POINT, DOUBLE, 6, corner, True),
        (KEY_DIRECTORY, SHORT, len(directory), directory, True),
        (KEY_TEXTS, ASCII, 0, texts, True),
    ]
    if doubles:
        tags.append((KEY_DOUBLES, DOUBLE, len(doubles), doubles, True))
    return tags


def _band_tag(names: Sequence[str], units: str) -> Tag:
    """Name the bands as GDAL does, for QGIS and its like."""
    items = [
        f'<Item name="{key}" sample="{index}" role="{role}">{escape(value)}</Item>'
        for index, name in enumerate(names)
        for key, role, value in (
            ("DESCRIPTION", "description", name),
            ("UNITTYPE", "unittype", units),
        )
    ]
    text = f"<GDALMetadata>{''.join(items)}</GDALMetadata>"
    return (GDAL_METADATA, ASCII, 0, text.encode("ascii", "xmlcharrefreplace").decode(), True)
