"""Measures quality on held-out data; each topic is `python -m genrec evaluate TOPIC`."""
