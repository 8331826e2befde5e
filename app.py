"""Builds the browser app from the settings and launches it: `python app.py`."""

import os
import sys

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported: nothing calls home

from genrec.errors import GenrecError  # noqa: E402
from genrec.settings import from_env  # noqa: E402


def main() -> int:
    """Serves until interrupted; returns the exit status."""
    from genrec.load import load_assistant
    from genrec.ui.app import launch

    try:
        settings = from_env(os.environ)
        assistant = load_assistant(settings, on_step=lambda step: print(f"Loading the {step} …", flush=True))
    except GenrecError as error:
        print(f"genrec: {error}", file=sys.stderr)
        return 2
    try:
        launch(assistant, settings)
    except (OSError, ValueError, OverflowError) as error:
        print(f"genrec: The app cannot be served at {settings.host}:{settings.port}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
