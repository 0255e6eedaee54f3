"""What computes a map's patches: torch, ONNX Runtime or OpenVINO, behind one protocol."""
