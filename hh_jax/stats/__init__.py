"""Statistics of evaluations, in NumPy: ratings, intervals, calibration."""
