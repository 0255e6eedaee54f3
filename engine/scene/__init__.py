"""An MS and a PAN raster as one scene: opened, checked, aligned and read."""
