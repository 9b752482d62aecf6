"""Garnet zoning, inclusions and ages -> pressure, temperature and time."""
