"""Estimators of entropy production: one estimator and its frozen result per file."""
