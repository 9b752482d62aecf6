"""Phase maps to other programs: XMapTools' text matrices, GeoTIFF and PNG; all files or none."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.colors import Normalize, to_rgb
from PIL import Image, PngImagePlugin
from scipy.ndimage import distance_transform_edt

from petro_models.io import geotiff
from petro_models.io.staging import staged
from petro_models.phase_maps.map_answers import answers_of, data_of, grid_of, labels_of
from petro_models.phase_maps.plot_parts import QUANTITY_MAP, UNKNOWN_COLOUR, phase_colours

CLIPPED_PERCENT = (0.5, 99.5)
"""Percentiles that stand at the ends of a picture's colours."""


def write_xmaptools(fit: xr.DataTree, folder: str | Path) -> Path:
    """Write composition maps and phase masks as the text matrices that XMapTools imports.

    One tab-separated matrix per file, no header, first line of the map on top. XMapTools knows a
    map by its file's name and takes 0 for "nothing here", so unknown pixels are 0.

    - ``<oxide>.txt``: wt%, to be imported into the category "Merged";
    - ``sd/<oxide>_sd.txt``: its standard deviation (apart, for XMapTools would take it for the
      oxide);
    - ``masks/<phase>.txt``: 1 where the phase is the most probable one;
    - ``fractions/<phase>.txt``: the fraction of the phase;
    - ``Classification.txt``: a pixel deep inside each phase, counted from 1, and the densities
      where all are known: seeds for XMapTools' own classification.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    folder
        Made if it is not there; older files of the same names are replaced.

    Raises
    ------
    FitError
        If the folder cannot be written, or the fit holds no maps.
    """
    answers = _maps_of(fit)
    known = answers["phase_map"] >= 0
    oxides, phases = labels_of(answers, "oxide"), labels_of(answers, "phase")
    with staged(folder) as stage:
        for name in ("sd", "masks", "fractions"):
            (stage / name).mkdir()
        for oxide, name in zip(oxides, _file_names(oxides), strict=True):
            for variable, path in (
                ("composition", stage / f"{name}.txt"),
                ("composition_sd", stage / "sd" / f"{name}_sd.txt"),
            ):
                values = answers[variable].sel(oxide=oxide).where(known).fillna(0.0)
                _write_matrix(values, path, "%.4f")
        for index, name in enumerate(_file_names(phases)):
            mask = answers["phase_map"] == index
            _write_matrix(mask.astype(int), stage / "masks" / f"{name}.txt", "%d")
            fraction = answers["phase_fraction"].isel(phase=index).where(known).fillna(0.0)
            _write_matrix(fraction, stage / "fractions" / f"{name}.txt", "%.4f")
        seeds = _classification(fit, answers, _file_names(phases))
        (stage / "Classification.txt").write_text(seeds, encoding="utf-8")
    return Path(folder)


def write_geotiff(fit: xr.DataTree, folder: str | Path) -> Path:
    """Write the maps as TIFF with their scale, for map viewers (QGIS) and image programs.

    Coordinates: see `petro_models.io.geotiff`. Unknown pixels are "no data".

    - ``phase_map.tif``: 8 bit with colours; 0 unknown, then 1, 2, ... in the order of the phases,
      which the description names;
    - ``composition.tif``, ``composition_sd.tif``: 32-bit floats in wt%, one band per oxide;
    - ``phase_fraction.tif``, ``phase_fraction_sd.tif``: one band per phase;
    - ``evidence.tif``.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    folder
        Made if it is not there; older files of the same names are replaced.

    Raises
    ------
    FitError
        If the folder cannot be written, or the fit holds no maps.
    """
    answers = _maps_of(fit)
    grid = grid_of(answers)
    scale = geotiff.Scale(grid.steps, grid.unit)
    known = answers["phase_map"] >= 0
    phases = labels_of(answers, "phase")
    with staged(folder) as stage:
        classes = answers["phase_map"].transpose("y", "x").to_numpy().astype(int) + 1
        numbers = "; ".join(f"{number} {name}" for number, name in enumerate(phases, start=1))
        geotiff.write_classes(
            stage / "phase_map.tif",
            classes,
            _palette(len(phases)),
            scale,
            description=_ascii(f"Most probable phase: 0 unknown; {numbers}"),
        )
        for name, dim in (
            ("composition", "oxide"),
            ("composition_sd", "oxide"),
            ("phase_fraction", "phase"),
            ("phase_fraction_sd", "phase"),
        ):
            geotiff.write_bands(
                stage / f"{name}.tif",
                answers[name].where(known).transpose(dim, "y", "x").to_numpy(),
                labels_of(answers, dim),
                scale,
                description=_ascii(f"{_meaning(answers[name])}; bands: {_listed(answers, dim)}"),
                units=_ascii(str(answers[name].attrs.get("units", "1"))),
            )
        geotiff.write_bands(
            stage / "evidence.tif",
            answers["evidence"].transpose("y", "x").to_numpy()[None],
            ["evidence"],
            scale,
            description=_ascii(_meaning(answers["evidence"])),
            units="nat",
        )
    return Path(folder)


def write_png(fit: xr.DataTree, folder: str | Path) -> Path:
    """Write the maps as pictures, one pixel of the picture for one of the map.

    They suit painting regions over (see `petro_models.phase_maps.regions.mask_image`); for figures
    with legend and scale bar save those of `petro_models.phase_maps.plots`.

    - ``phase_map.png``, ``<oxide>.png``;
    - ``legend.csv``: the colour of every phase and the values at the ends of every oxide's colours.

    Parameters
    ----------
    fit
        A fit of `PhaseMaps`.
    folder
        Made if it is not there; older files of the same names are replaced.

    Raises
    ------
    FitError
        If the folder cannot be written, or the fit holds no maps.
    """
    answers = _maps_of(fit)
    grid = grid_of(answers)
    known = answers["phase_map"].transpose("y", "x").to_numpy() >= 0
    phases, oxides = labels_of(answers, "phase"), labels_of(answers, "oxide")
    palette = _palette(len(phases))
    legend = ["picture,what,red,green,blue,value"]
    with staged(folder) as stage:
        classes = answers["phase_map"].transpose("y", "x").to_numpy().astype(int) + 1
        text = {"Step": f"{grid.steps[0]:g} x {grid.steps[1]:g} {grid.unit}"}
        _write_picture(palette[classes], stage / "phase_map.png", text)
        legend += [
            f'phase_map.png,"{name}",{",".join(map(str, colour))},'
            for name, colour in zip(["unknown", *phases], palette, strict=True)
        ]
        for oxide, name in zip(oxides, _file_names(oxides), strict=True):
            values = answers["composition"].sel(oxide=oxide).transpose("y", "x").to_numpy()
            picture, ends = _coloured(values, known)
            note = f"{ends[0]:.4g} to {ends[1]:.4g} wt%"
            _write_picture(picture, stage / f"{name}.png", text | {"Range": note})
            legend += [
                f"{name}.png,{oxide},{','.join(map(str, colour))},{end:.6g} wt%"
                for end, colour in zip(ends, _end_colours(), strict=True)
            ]
        (stage / "legend.csv").write_text("\n".join(legend) + "\n", encoding="utf-8")
    return Path(folder)


def _maps_of(fit: xr.DataTree) -> xr.Dataset:
    return answers_of(
        fit,
        "phase_map",
        "phase_fraction",
        "phase_fraction_sd",
        "composition",
        "composition_sd",
        "evidence",
        "pure_probability",
    )


def _file_names(labels: Sequence[str]) -> Iterator[str]:
    """Make labels fit for files: other signs become ``_``; those that then agree are numbered."""
    taken: set[str] = set()
    for label in labels:
        plain = re.sub(r"[^\w.+-]+", "_", label, flags=re.ASCII).strip("._") or "phase"
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name.casefold())
        yield name


def _write_matrix(values: xr.DataArray, path: Path, style: str) -> None:
    np.savetxt(path, values.transpose("y", "x").to_numpy(), fmt=style, delimiter="\t")


def _classification(fit: xr.DataTree, answers: xr.Dataset, names: Iterator[str]) -> str:
    """Give the text of XMapTools' Classification.txt."""
    phase_map = answers["phase_map"].transpose("y", "x").to_numpy()
    lines = ["Phases of a map fitted with petro_models", "", ">1 Mask_Name | X | Y"]
    for index, name in enumerate(names):
        inside = np.pad(phase_map == index, 1)
        if inside.any():
            depth = distance_transform_edt(inside)[1:-1, 1:-1]
            row, column = np.unravel_index(depth.argmax(), depth.shape)
            lines.append(f"{name}\t{column + 1}\t{row + 1}")
    density = data_of(fit).get("density_kg_m3")
    seen = [index for index in range(answers.sizes["phase"]) if (phase_map == index).any()]
    if density is not None and np.isfinite(density.isel(phase=seen)).all():
        lines += ["", "", ">2 Density of phases"]
        lines += [f"{value:g}" for value in density.isel(phase=seen).to_numpy()]
    return "\n".join([*lines, "", ""])


def _palette(phases: int) -> np.ndarray:
    """Give the colours of unknown and of every phase, 0 to 255 (phases + 1, 3)."""
    colours = [UNKNOWN_COLOUR, *phase_colours(phases)]
    return np.array(
        [[round(255 * part) for part in to_rgb(colour)] for colour in colours], np.uint8
    )


def _coloured(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Colour a map between its percentiles; give the picture and the values at the ends."""
    shown = values[known & np.isfinite(values)]
    low, high = np.percentile(shown, CLIPPED_PERCENT) if shown.size else (0.0, 1.0)
    high = high if high > low else low + 1.0
    picture = mpl.colormaps[QUANTITY_MAP](Normalize(low, high)(np.nan_to_num(values)), bytes=True)
    picture[~known | ~np.isfinite(values), :3] = _palette(0)[0]
    return picture[..., :3], (float(low), float(high))


def _end_colours() -> list[list[int]]:
    ends = mpl.colormaps[QUANTITY_MAP](np.array([0.0, 1.0]), bytes=True)
    return ends[:, :3].tolist()


def _write_picture(picture: np.ndarray, path: Path, text: dict[str, str]) -> None:
    notes = PngImagePlugin.PngInfo()
    for key, value in ({"Software": "petro_models"} | text).items():
        notes.add_text(key, value)
    Image.fromarray(np.ascontiguousarray(picture, dtype=np.uint8)).save(path, pnginfo=notes)


def _meaning(values: xr.DataArray) -> str:
    units = values.attrs.get("units", "1")
    return f"{values.attrs.get('long_name', values.name)} ({units})"


def _listed(answers: xr.Dataset, dim: str) -> str:
    return ", ".join(f"{i} {name}" for i, name in enumerate(labels_of(answers, dim), start=1))


def _ascii(text: str) -> str:
    """Keep to the letters that TIFF tags may hold."""
    return text.encode("ascii", "replace").decode("ascii")
