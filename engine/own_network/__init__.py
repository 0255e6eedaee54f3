"""Networks that users bring as ONNX: checked before they run, then blended over overlapping tiles."""
