"""Spot: when to run on spot, on demand or not at all so that a job is never late, how often to checkpoint, and jobs that are run so.

Arrays are NumPy's, one entry for each of many runs side by side: 1,200 windows of a trace are judged at once, a real job is a batch of one.
"""
