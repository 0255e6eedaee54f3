"""What a pair is, what stands in its way and what a run will cost."""
