"""What it takes to train a fusion network: scenes, crops, augmentation, the loop."""
