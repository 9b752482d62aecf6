"""Long work in items that survive faults: on this machine, on Slurm, or as a job array.

`work` says what is to be computed and `records` what became of each item; `perform` computes one;
`local`, `slurm` and `array` are the engines that call it; `regions` writes Zarr stores piece by
piece; `fits` is the work of one problem an item. Nothing here knows any petrology.
"""
