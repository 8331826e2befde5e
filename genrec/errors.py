"""The few errors a caller can act on. Each message is written for the person who will read it."""


class GenrecError(Exception):
    """Base of all errors that GenRec raises on purpose; its text is fit for the screen. `chinese` is the same text where a visitor may read it."""

    def __init__(self, text: str, chinese: str = ""):
        super().__init__(text)
        self.chinese = chinese or text


class SettingsError(GenrecError):
    """A setting has a value that cannot be used."""


class AssetError(GenrecError):
    """A bundled file is missing or is not the file its card describes."""


class CatalogueError(GenrecError):
    """A catalogue cannot be read, or a row or cell of it cannot be used."""


class EngineError(GenrecError):
    """The language model cannot be loaded, or stopped in the middle of a reply."""


class InputError(GenrecError):
    """What was typed, or a line of a batch, cannot be answered."""


class StoreError(GenrecError):
    """Feedback cannot be kept."""
