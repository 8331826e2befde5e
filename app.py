"""Serves the browser app and loads the models behind it: `python app.py`."""

import os
import sys
from concurrent.futures import Future

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported: nothing calls home

from genrec.errors import GenrecError  # noqa: E402
from genrec.settings import from_env  # noqa: E402


def main() -> int:
    """Serves until interrupted; returns the exit status."""
    loading: Future = Future()  # of the assistant: the page is there at once, the models some seconds later
    try:
        settings = from_env(os.environ)
    except GenrecError as error:
        print(f"genrec: {error}", file=sys.stderr)
        return 2
    from genrec.ui.app import launch

    try:
        app = launch(loading, settings)
    except (OSError, ValueError, OverflowError) as error:
        print(f"genrec: The app cannot be served at {settings.host}:{settings.port}: {error}", file=sys.stderr)
        return 2
    from genrec.load import load_assistant

    try:
        loading.set_result(load_assistant(settings, on_step=lambda step: print(f"Loading the {step} …", flush=True)))
    except GenrecError as error:
        print(f"genrec: {error}", file=sys.stderr)
        return 2
    print("Ready.", flush=True)
    app.block_thread()
    return 0


if __name__ == "__main__":
    sys.exit(main())
