"""Polygons and areas of a class map, in one pass from strip to strip."""
