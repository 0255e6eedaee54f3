"""One module per command; recipes use the engine's parts and never one another."""
