"""The engine: from two rasters to a land-cover map, in a process of its own."""
