"""Trains the bundled models. Never imported by the app; needs `requirements-dev.txt` only for the progress bar and logs."""
