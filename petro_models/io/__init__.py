"""Reading and writing, one module a format: `mass_tables` (whole-rock tables), `fits`."""
