"""Write one small map in every format that the EPMA readers know."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import tifffile

ROWS, COLUMNS = 4, 5
COUNTS = {
    "Al": np.arange(20, dtype=np.int64).reshape(ROWS, COLUMNS) * 3,
    "Si": np.arange(20, dtype=np.int64)[::-1].reshape(ROWS, COLUMNS) * 7 + 900,
}

JEOL_SHARED = """\
2\t\t\tNumber of measured elements [1~20]
1.000e-07  1.010e-07  0.990e-07  Probe Current Avg, Before After [A]
S\t\t\tStage[S] or Beam[B] Scan
10.0080\t\t\tMeasurement Center Position X [mm]
10.0000\t\t\tMeasurement Start Position X [mm]
20.0000\t\t\tMeasurement Start Position Y [mm]
5\t\t\tX-axis Step Number [1~1024]
4\t\t\tY-axis Step Number [1~1024]
4.00\t\t\tX Step Size [um], or Beam Dots Width
4.00\t\t\tY Step Size [um], or Beam Dots Width
2\t\t\tData Byte Length [2:16bit / 4:32bit]
50\t\t\tDwell Time [msec]
Guide 1-1 sample
"""
JEOL_ELEMENT = """\
{element}       \t\tElement Name No.{n}-Seq.1 **********
Ka      \t\tX-ray Name
W\t\t\tSignal Name [W:WDS E:EDS I:IMS]
{largest}\t\t\tMax Value
0\t\t\tMin Value
1\t\t\tAccumulation Number [Only Beam Scan]
"""
JXA = """\
$SEM_DATA_VERSION 1
$XM_DATA_COUNT_MAX {largest}.000000
$XM_DATA_PROBE_CURRENT 1.000e-007
$XM_DATA_ACCUM 1
$XM_DATA_PROCESSED_DEAD_TIME 0.000000
$XM_ELEM_NAME%0 {element}
$XM_ELEM_WDS_CRYSTAL_NAME%0 TAP
$XM_AP_SA_PIXELS%0 5 4
$XM_AP_SA_PIXEL_SIZE%0 4.00 4.00 50.00
$XM_AP_SA_DWELL_TIME%0 50.0
$XM_AP_SA_ACCUM%0 1
$XM_AP_SA_ROTATION_ANGLE%0 0.0
$XM_AP_SA_STAGE_POS%0_0 10.0000 20.0000 11.0
$XM_AP_SA_STAGE_POS%0_1 10.0100 19.9920 11.0
"""
CAMECA = """\
Setup : map {element}
Start X (µm) : -1200.0
Start Y (µm) : 3400.0
Step Number : 5
Line Number : 4
Step Size (µm) : 4.0
Dwell Time (ms) : 50.0
Beam Current : 100 nA
Image : {element} Ka, Sp1 TAP
Y Unit : counts
"""
STANDARDS = """\
>1 corners
1000   1020   2016   2000

>2 oxides
SiO2 Al2O3 X Y

>3 analyses
60.1 20.2 1002 2006
99.0 0.1 1018 2014
"""
CLASSIFICATION = """\
! a comment
>1 phases
Mica   2   1
Quartz 5   4

>2 densities
2820
2650
"""
SIDECAR = """\
elements = ["Al", "Si"]
dwell_s = 0.05
dead_time_ns = {Al = 1100, Si = 1200}
probe_current_nA = 100
step_um = 4.0
[stage_to_pixel]
unit = "mm"
column = [-250.0, 0.0, 2504.0]
row = [0.0, 250.0, -5000.0]
"""


def matrix(values: np.ndarray, separator: str = "\t", number: str = "{}") -> str:
    """Write a matrix as text."""
    return "".join(separator.join(number.format(v) for v in row) + "\n" for row in values)


def replace_in(file: Path, old: str, new: str, encoding: str | None = None) -> None:
    """Damage a file: put another text in the place of one that must be there."""
    text = file.read_text(encoding=encoding)
    assert old in text
    file.write_text(text.replace(old, new), encoding=encoding)


def jeol_text(folder: Path) -> Path:
    (folder / "0.cnd").write_text(JEOL_SHARED)
    for n, (element, image) in enumerate(COUNTS.items(), start=1):
        # Rows of the file follow stage x, and columns of the image run towards smaller x.
        (folder / f"{n}_map.txt").write_text(matrix(np.rot90(image), " "))
        (folder / f"{n}.cnd").write_text(f"$XM_ELEMENT   {element}\n$XM_DWELL_TIME  50 msec\n")
    return folder


def jeol_native(folder: Path) -> Path:
    blocks = [
        JEOL_ELEMENT.format(element=element, n=n, largest=image.max())
        for n, (element, image) in enumerate(COUNTS.items(), start=1)
    ]
    (folder / "0.cnd").write_text(JEOL_SHARED + "".join(blocks))
    for n, image in enumerate(COUNTS.values(), start=1):
        (folder / f"{n}.map").write_bytes(np.rot90(image).astype(">u2").tobytes())
    return folder


def jxa(folder: Path) -> Path:
    for n, (element, image) in enumerate(COUNTS.items(), start=1):
        conditions = JXA.format(element=element, largest=image.max())
        (folder / f"data00{n}.cnd").write_text(conditions.replace("\n", "\r\n"), newline="")
        (folder / f"data00{n}.csv").write_text(matrix(image, ","))
    return folder


def cameca(folder: Path) -> Path:
    for element, image in COUNTS.items():
        text = CAMECA.format(element=element) + matrix(image)
        (folder / f"{element}_map.txt").write_text(text, encoding="cp1252")
    return folder


def cameca_numbered(folder: Path) -> Path:
    for element, image in COUNTS.items():
        numbered = np.column_stack([np.arange(1, ROWS + 1), image])
        head = "\t".join(["", *map(str, range(1, COLUMNS + 1))]) + "\n"
        text = CAMECA.format(element=element) + "\n" + head + matrix(numbered)
        (folder / f"{element}_map.txt").write_text(text, encoding="cp1252")
    return folder


def xmaptools(folder: Path) -> Path:
    for element, image in COUNTS.items():
        (folder / f"{element}.txt").write_text(matrix(image, "   ", "{:.7e}"))
    (folder / "Standards.txt").write_text(STANDARDS)
    (folder / "Classification.txt").write_text(CLASSIFICATION)
    return folder


def xmaptools_zip(folder: Path) -> Path:
    inside = folder / "inside"
    inside.mkdir()
    xmaptools(inside)
    with zipfile.ZipFile(folder / "map.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(inside.iterdir()):
            archive.write(file, f"sample/{file.name}")
            file.unlink()
    inside.rmdir()
    return folder / "map.zip"


def calcimage(folder: Path, fields: tuple[str, ...] = ("Al CNTS", "Si CNTS")) -> Path:
    headers = ["NK", "X", "Y", "NX", "NY", "NXY", *fields, "Total"]
    lines = [
        f"{COLUMNS}\t{ROWS}\t{ROWS * COLUMNS}\t{len(headers)}\t",
        "\t".join(f'"{header}"' for header in headers) + "\t",
    ]
    for index in range(ROWS * COLUMNS):
        row, column = divmod(index, COLUMNS)
        values = [image[row, column] for image in COUNTS.values()]
        cells = [0, 1 + 0.004 * column, 2 + 0.004 * row, column + 1, row + 1, index + 1]
        lines.append("\t".join(str(cell) for cell in [*cells, *values, 99.5]) + "\t")
    file = folder / "map.DAT"
    file.write_text("\n".join(lines) + "\n")
    return file


def hdf5(folder: Path) -> Path:
    file = folder / "map.h5"
    with h5py.File(file, "w") as store:
        demo = store.create_group("Demo")
        demo.attrs.update({"pixelsize": 4.0, "pixelunit": "um", "aspect": 1.0})
        for element, image in {**COUNTS, "COMPO": COUNTS["Al"]}.items():
            demo.create_dataset(f"maps/{element}", data=image, compression="gzip")
        clustering = demo.create_group("kmeans/_")
        clustering["clusters"] = np.repeat([0, 1, 2], [5, 5, 10])
        clustering["centers"] = np.array([[0.0, 0.0], [1.0, 0.0], [90.0, 90.0]])
        both = {"Low": {"values": [0]}, "High": {"values": [1]}}
        clustering.attrs.update({"n_clusters": 2, "store": json.dumps(both)})
    return file


def tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "map.tif", np.stack(list(COUNTS.values())).astype(np.uint16))
    (folder / "map.toml").write_text(SIDECAR)
    return folder / "map.tif"


def numpy_array(folder: Path) -> Path:
    np.save(folder / "map.npy", np.stack(list(COUNTS.values())).astype(float))
    (folder / "map.toml").write_text(SIDECAR)
    return folder / "map.npy"


def numpy_archive(folder: Path) -> Path:
    np.savez(folder / "map.npz", **COUNTS)
    (folder / "map.toml").write_text(SIDECAR)
    return folder / "map.npz"


def csv_matrices(folder: Path) -> Path:
    for element, image in COUNTS.items():
        (folder / f"{element.lower()}_counts.csv").write_text(matrix(image, ","))
    files = '[files]\nAl = "al_counts.csv"\nSi = "si_counts.csv"\n'
    (folder / "map.toml").write_text(SIDECAR.partition("\n")[2] + files)
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {
    writer.__name__: writer
    for writer in (
        jeol_text,
        jeol_native,
        jxa,
        cameca,
        cameca_numbered,
        xmaptools,
        xmaptools_zip,
        calcimage,
        hdf5,
        tiff,
        numpy_array,
        numpy_archive,
        csv_matrices,
    )
}
"""Each writes the map `COUNTS` into an empty folder, and gives the path to read."""

QNT = {
    "elem.qnt": "1 2 Al2O3 SiO2\n2 1 SiO2\n",
    "elint.qnt": "1 2 Al Si\n2 1 Si\n",
    "wt.qnt": "1 2 20.2 60.1 80.3\n2 1 99.5 99.5\n",
    "net.qnt": "1 2 200 600 800\n2 1 995 995\n",
    "bgm.qnt": "1 2 10 20 30\n2 1 18 18\n",
    "bgp.qnt": "1 2 13 26 39\n2 1 24 24\n",
    "mes.qnt": "1 1 1e-08\n2 1 1.1e-08\n",
    "stg.qnt": "1 a b 1 10.008 20.004 11 0 0 white  mica\n2 a b 2 10.016 20.012 11 0 0 Qtz\n",
    ".cnd/elemw.cnd": (
        "1 Back +[mm]\n2 Back -[mm]\n10 Peak Meas. Time [sec]\n5 Back Meas. Time [sec]\n" * 2
    ),
}


def jeol_spots(folder: Path) -> Path:
    """Write two spots; the second measured silicon alone."""
    inside = folder / ".qnt"
    (inside / ".cnd").mkdir(parents=True)
    for name, text in QNT.items():
        (inside / name).write_text(text)
    return folder
