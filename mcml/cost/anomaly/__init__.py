"""What is unusual: a detector for streams of measurements, and one for what each day costs."""
