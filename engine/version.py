"""The version of Panloom, the same as in metadata.txt and pyproject.toml (a test compares them)."""

__version__ = "0.1.0"
