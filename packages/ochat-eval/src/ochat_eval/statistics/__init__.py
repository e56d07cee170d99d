"""Intervals, tests and fits by numpy alone; knows arrays of numbers, no files and no models."""
