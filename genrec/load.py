"""Chooses the implementations from the settings and puts the assistant together. The only wiring.

What cannot be had is replaced where the product stays whole (a hub that cannot be reached, a database that cannot be written), and the
notice says so; a bundled file that is not what its card describes stops the start.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from genrec.engines import stop_telemetry
from genrec.errors import AssetError, EngineError, SettingsError, StoreError
from genrec.settings import ASSETS, HUB_MODEL, Settings

HUB_TIMEOUT_S = 3.0
BUNDLED = "bundled writer"  # its name on the screen


def load_assistant(settings: Settings, *, assets: Path = ASSETS, on_step: Callable[[str], None] = lambda step: None):
    """The assistant for these settings. `on_step` hears what is being loaded.

    Raises:
        AssetError: a bundled file is missing or altered.
        CatalogueError: the catalogue cannot be read.
        EngineError: the model that was asked for by name cannot be loaded.
        SettingsError: a setting names nothing that exists.
    """
    from genrec.assistant import Assistant
    from genrec.catalogue import parse_columns, read_catalogue
    from genrec.safety import identity
    from genrec.vocabulary import Vocabulary

    notices: list[str] = []
    on_step("catalogue")
    vocabulary = Vocabulary.load(assets / "catalogue" / "vocabulary.json")
    if settings.catalogue:
        catalogue = read_catalogue(Path(settings.catalogue), parse_columns(settings.columns)).with_tags(vocabulary.tag)
        vocabulary = vocabulary.with_terms(catalogue.tags(), catalogue.kinds())
        if catalogue.left_out.lines:
            notices.append(
                f"{catalogue.left_out.total:,} rows of the catalogue were left out; the first: {catalogue.left_out.lines[0]}."
            )
    else:
        catalogue = read_catalogue(assets / "catalogue")
    on_step("filter")
    toxicity = load_toxicity(settings, assets, notices)
    identity.patterns()  # compiled here, not at the first message
    on_step("encoder")
    retriever = _load_retriever(settings, assets, catalogue, vocabulary, notices)
    on_step("model")
    engine = _load_engine(settings, assets, notices)
    set_threads(settings.threads)
    store = _open_store(settings, notices)
    if settings.mode not in ("catalogue", "open"):
        raise SettingsError(f"GENREC_MODE must be catalogue or open, but is {settings.mode!r}.")
    is_open = settings.mode == "open" and engine.describe().model != BUNDLED
    if settings.mode == "open" and not is_open:
        notices.append("The bundled writer knows only the catalogue, so open mode is off; it needs a larger model.")
    return Assistant(
        engine=engine,
        catalogue=catalogue,
        vocabulary=vocabulary,
        retriever=retriever,
        toxicity=toxicity,
        store=store,
        notice=" ".join(notices),
        is_open=is_open,
    )


def load_compared(settings: Settings, *, assets: Path = ASSETS):
    """The second engine, whose replies are compared with the first one's. Nothing takes its place where it cannot be had.

    Raises:
        EngineError: it cannot be loaded or reached.
        SettingsError: GENREC_COMPARE names nothing that exists.
    """
    if settings.compare.startswith(("http://", "https://")):
        from genrec.engines.remote import RemoteEngine

        return RemoteEngine.connect(settings.compare, key=settings.engine_key)
    engine = _load_named(settings.compare, assets, settings)
    set_threads(settings.threads)  # of torch too, which may be new
    return engine


def check_asset(folder: Path) -> None:
    """Compares every file that the folder's card lists with its sha256.

    Raises:
        AssetError: one is missing or altered, or there is no card.
    """
    try:
        card = json.loads((folder / "card.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise AssetError(
            f"{folder / 'card.json'} cannot be read; the bundled model is incomplete. Clone the repository again."
        ) from error
    listed = card.get("sha256") if isinstance(card, dict) else None
    if not isinstance(listed, dict) or not listed:
        raise AssetError(
            f"{folder / 'card.json'} lists no files; the bundled model is incomplete. Clone the repository again."
        )
    for name, expected in listed.items():
        path = folder / name
        if not path.is_file():
            raise AssetError(
                f"{path} is missing. Clone the repository again, or restore it with `git checkout -- {folder.name}`."
            )
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise AssetError(
                f"{path} is not the file its card describes (wrong sha256). Restore it with `git checkout`."
            )


def set_threads(wanted: int) -> None:
    """How many processor threads the models use; 0 leaves one core to the web server and the checks of what is written.

    A product waits for its slowest thread: when another process took one of two cores, two threads fell to a seventh of their speed, one lost little.
    """
    from threadpoolctl import threadpool_limits

    num_threads = wanted or max(1, min(8, _num_cores() - 1))
    threadpool_limits(num_threads, user_api="blas")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(num_threads)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_toxicity(settings: Settings, assets: Path, notices: list[str]):
    """The toxicity scorer for these settings; a published one that cannot be fetched is replaced, with a notice."""
    from genrec.safety.toxicity import ToxicityScorer

    name = settings.toxicity
    if name == "bundled":
        check_asset(assets / "models" / "toxicity")
        return ToxicityScorer.load(assets / "models" / "toxicity")
    if name != "original" and name != "unbiased" and name != "multilingual":
        raise SettingsError(f"GENREC_TOXICITY must be bundled, original, unbiased or multilingual, but is {name!r}.")
    if not is_hub_reachable():
        notices.append(f"The toxicity model {name!r} cannot be fetched here; the bundled one serves.")
        check_asset(assets / "models" / "toxicity")
        return ToxicityScorer.load(assets / "models" / "toxicity")
    stop_telemetry()
    return ToxicityScorer.published(name)  # type: ignore[arg-type]


def _load_retriever(settings: Settings, assets: Path, catalogue, vocabulary, notices: list[str]):
    from genrec.retrieval import Retriever, SentenceEncoder, read_weights
    from genrec.static_encoder import StaticEncoder
    from genrec.vectors import MAX_EXACT, CachedEncoder, VectorIndex

    if len(catalogue.items) > MAX_EXACT and importlib.util.find_spec("faiss") is None:
        notices.append(
            f"The catalogue has more than {MAX_EXACT:,} items; `pip install faiss-cpu` makes searching it faster."
        )

    def retriever(encoder, name: str) -> Retriever:
        cached = CachedEncoder(encoder, name=name, folder=_cache_folder(settings), track=_progress)
        return Retriever(catalogue, cached, vocabulary, weights, index=VectorIndex)

    check_asset(assets / "models" / "ranker")
    weights = read_weights(assets / "models" / "ranker")
    name = settings.encoder
    if name != "bundled":
        is_folder = Path(name).is_dir()
        is_reachable = not is_folder and is_hub_reachable()
        stop_telemetry()
        try:
            return retriever(SentenceEncoder.load(name, is_local_only=not is_reachable), name)
        except AssetError:
            if is_folder or is_reachable:
                raise
        notices.append(
            f"The encoder {name} is not on this machine, and the model hub cannot be reached; the bundled one serves."
        )
    folder = assets / "models" / "encoder"
    check_asset(folder)
    digest = hashlib.sha256((folder / "card.json").read_bytes()).hexdigest()
    return retriever(StaticEncoder.load(folder), f"{digest}, known words")  # older caches hold vectors of unknown ones


def _cache_folder(settings: Settings) -> Path | None:
    if settings.cache == "off":
        return None
    return Path(settings.cache) if settings.cache else Path.home() / ".cache" / "genrec"


def _progress(batches):
    """The batches with a progress bar on a terminal, once they take longer than two seconds."""
    from tqdm import tqdm

    return tqdm(batches, desc="reading the catalogue's meaning", unit_scale=True, delay=2, leave=False, disable=None)


def _load_engine(settings: Settings, assets: Path, notices: list[str]):
    if settings.engine_url:
        from genrec.engines.remote import RemoteEngine

        is_named = settings.model not in ("auto", "bundled")
        return RemoteEngine.connect(
            settings.engine_url, model=settings.model if is_named else "", key=settings.engine_key
        )
    if settings.quantize not in ("", "int8", "int4"):
        raise SettingsError(f"GENREC_QUANTIZE must be int8 or int4, but is {settings.quantize!r}.")
    if settings.quantize and importlib.util.find_spec("torchao") is None:
        raise SettingsError("GENREC_QUANTIZE needs one more package: pip install torchao")
    name = settings.model
    if name == "auto":
        name = HUB_MODEL if has_cuda() else "bundled"
    if name == "bundled" and settings.quantize:
        notices.append("Fewer bits are for larger models; the bundled writer is left as it is.")
    if name == "bundled" or Path(name).is_dir():
        return _load_named(name, assets, settings)
    try:
        return _load_named(name, assets, settings)
    except EngineError as error:
        notices.append(f"{error} The bundled writer serves.")
        return _load_named("bundled", assets, settings)


def _load_named(name: str, assets: Path, settings: Settings):
    """The engine of `bundled`, a folder or a hub id; the latter two in fewer bits where that is wanted.

    Raises:
        EngineError: it cannot be loaded.
        SettingsError: there is no such folder.
    """
    from genrec.engines.local import LocalEngine

    if name == "bundled":
        check_asset(assets / "models" / "writer")
        has_two_threads = not settings.threads and _num_cores() == 2  # on more, each product has several threads
        return LocalEngine.load_plain(assets / "models" / "writer", name=BUNDLED, has_two_threads=has_two_threads)
    if Path(name).is_dir():
        return LocalEngine.load(name, quantize=settings.quantize)
    if name.startswith((".", "/", "~")) or "/" not in name:
        raise SettingsError(
            f"There is no model folder {name}. Give a folder, a hub id such as {HUB_MODEL}, `bundled` or `auto`."
        )
    return _load_hub(name, settings.quantize)


def has_cuda() -> bool:
    """Whether torch finds a GPU. Importing torch takes longer than all else that a first answer needs, so it is not asked on a Linux machine that has no GPU's device file."""
    files = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/nvmap", "/dev/kfd", "/dev/dxg")  # NVIDIA, its Jetson; AMD; WSL
    if sys.platform == "linux" and "torch" not in sys.modules and not any(map(os.path.exists, files)):
        return False  # torch that is imported already may be one whose GPU is lent by `spaces`
    import torch

    return torch.cuda.is_available()


def _load_hub(name: str, quantize: str):
    """A hub model: from the local cache if it is there, else from the hub, which is first asked whether it answers.

    Raises:
        EngineError: it is neither cached nor reachable, or cannot be loaded.
    """
    from genrec.engines.local import LocalEngine

    try:
        return LocalEngine.load(name, quantize=quantize, is_local_only=True)
    except EngineError:
        if not is_hub_reachable():
            raise EngineError(
                f"The model {name} is not on this machine, and the model hub cannot be reached."
            ) from None
    return LocalEngine.load(name, quantize=quantize, is_local_only=False)


def is_hub_reachable() -> bool:
    """Whether the model hub can be connected to, found out within HUB_TIMEOUT_S, name look-up included (transformers itself
    retries for 25 s)."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    address = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = address.port or (80 if address.scheme == "http" else 443)
    reached = threading.Event()

    def connect() -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((address.hostname or "", port), timeout=HUB_TIMEOUT_S),
        ):
            reached.set()

    thread = threading.Thread(target=connect, daemon=True)  # a look-up has no time-out of its own
    thread.start()
    thread.join(HUB_TIMEOUT_S)
    return reached.is_set()


def _open_store(settings: Settings, notices: list[str]):
    from genrec.store import Store

    try:
        return Store(settings.database)
    except StoreError as error:
        notices.append(f"{error} Feedback is kept until the program stops.")
        return Store()
