"""Measures speed, as ratios within one run; each topic is `python -m genrec bench TOPIC`."""
