"""A made-up Landsat pair with known land cover, for the demo and the tests."""
