"""Networks that users bring as ONNX: checked before they run, blended over overlapping tiles."""
