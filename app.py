"""Serves the browser app and loads the models behind it: `python app.py`."""

import os
import sys
from concurrent.futures import Future

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported: nothing calls home
os.environ.setdefault(
    "FORWARDED_ALLOW_IPS", ""
)  # uvicorn would believe X-Forwarded-For from any program of this machine

from genrec.errors import GenrecError  # noqa: E402
from genrec.settings import Settings, from_env  # noqa: E402


def main() -> int:
    """Serves until interrupted; returns the exit status."""
    try:
        return _serve(from_env(os.environ))
    except GenrecError as error:
        print(f"genrec: {error}", file=sys.stderr)
        return 2


def _serve(settings: Settings) -> int:
    from genrec.ui import gpu
    from genrec.ui.waiting import WaitingPage

    loading: Future = Future()  # of the assistant: the page is there at once, the models some seconds later
    waiting = None
    is_lent = gpu.is_present()
    if is_lent:  # then it is the other way round: what the GPU is to hold must be there before the app is launched
        import spaces  # noqa: F401  before torch, whose CUDA it stands in for

        loading.set_result(gpu.GpuAssistant(_load(settings)))
    try:
        if not is_lent:  # importing what the app needs takes seconds
            waiting = WaitingPage(settings.host, settings.port)
        from genrec.ui.app import launch

        app = launch(loading, settings, waiting)
    except (OSError, ValueError, OverflowError) as error:
        print(f"genrec: The app cannot be served at {settings.host}:{settings.port}: {error}", file=sys.stderr)
        return 2
    if not is_lent:
        loading.set_result(_load(settings))
    print("Ready.", flush=True)
    app.block_thread()
    return 0


def _load(settings: Settings):
    from genrec.load import load_assistant

    return load_assistant(settings, on_step=lambda step: print(f"Loading the {step} …", flush=True))


if __name__ == "__main__":
    sys.exit(main())
