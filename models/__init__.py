"""Fusion networks and the one-file models (weights with their card) that they are loaded from."""
