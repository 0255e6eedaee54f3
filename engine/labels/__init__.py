"""Labelled files on a grid: points, polygons, rasters and arrays, to train with or to assess by."""
