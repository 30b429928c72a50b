"""The Open Inference Protocol (v2) server for one ONNX model: a local process or a container, started as `python -m mcml.serving`."""
