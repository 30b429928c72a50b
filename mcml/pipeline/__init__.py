"""From data to a model package: train, evaluate, prove that the ONNX file says what the trained model says, and write it."""
