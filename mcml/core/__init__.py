"""What every room may use and nothing else: values, errors, time, files, processes, settings; stdlib, pydantic and psutil only."""
