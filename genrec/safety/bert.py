"""The forward pass of a small BERT classifier in numpy, and its files read without torch, transformers or Detoxify: importing those takes longer than all else that a first
answer needs, and for one sentence of 18 tokens through two small layers what they do around the arithmetic took more time than the arithmetic.
tests/test_toxicity.py holds the numbers to those of Detoxify, which loads the same files.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


class FastBert:
    """A `BertForSequenceClassification` with GELU, absolute positions and one segment, in float32. Safe to share between threads."""

    def __init__(
        self, config: Mapping[str, Any], state: Mapping[str, np.ndarray], tokenizer: Any, labels: Sequence[str]
    ):
        """`state` is the module's own, by its names; `tokenizer` one of the package tokenizers that pads and truncates."""
        self.labels = tuple(labels)
        self._tokenizer = tokenizer
        self._heads, self._epsilon = config["num_attention_heads"], config["layer_norm_eps"]
        state = {name.removeprefix("bert."): weight.astype(np.float32) for name, weight in state.items()}
        self._words = state["embeddings.word_embeddings.weight"]  # (num_tokens, hidden)
        segment = state["embeddings.token_type_embeddings.weight"][0]
        self._positions = state["embeddings.position_embeddings.weight"] + segment  # (max_tokens, hidden)
        self._norm = _Norm(state, "embeddings.LayerNorm", self._epsilon)
        self._layers: list[dict[str, Any]] = []
        for number in range(config["num_hidden_layers"]):
            name = f"encoder.layer.{number}."
            query, key, value = (_Linear(state, f"{name}attention.self.{part}") for part in ("query", "key", "value"))
            self._layers.append(
                {
                    "query": query,
                    "key and value": _Linear.joined([key, value]),
                    "mixed": _Linear(state, f"{name}attention.output.dense"),
                    "mixed norm": _Norm(state, f"{name}attention.output.LayerNorm", self._epsilon),
                    "inner": _Linear(state, f"{name}intermediate.dense"),
                    "outer": _Linear(state, f"{name}output.dense"),
                    "outer norm": _Norm(state, f"{name}output.LayerNorm", self._epsilon),
                }
            )
        self._pooler, self._classifier = _Linear(state, "pooler.dense"), _Linear(state, "classifier")

    @classmethod
    def load(cls, folder: Path) -> FastBert:
        """The model that `genrec train toxicity` has written in Detoxify's checkpoint format.

        Raises:
            OSError: a file is missing.
            ValueError: a file has another form.
        """
        from tokenizers import Tokenizer

        config = json.loads((folder / "config.json").read_text("utf-8"))
        checkpoint = read_checkpoint(folder / "toxicity.ckpt")
        tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
        tokenizer.enable_truncation(config["max_position_embeddings"])
        tokenizer.enable_padding(pad_id=config["pad_token_id"])  # to the longest of a batch
        labels = checkpoint["config"]["dataset"]["args"]["classes"]
        return cls(config, checkpoint["state_dict"], tokenizer, labels)

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Log-odds of the labels, float32 (num_texts, num_labels); a text is cut to the model's window."""
        encodings = self._tokenizer.encode_batch(list(texts))
        ids = np.array([encoding.ids for encoding in encodings])  # (B, T)
        unseen = np.array([encoding.attention_mask for encoding in encodings]) == 0
        states = self._norm(self._words[ids] + self._positions[: ids.shape[1]])  # (B, T, hidden)
        mask = np.where(unseen, np.float32(-np.inf), np.float32(0))[:, None, None] if unseen.any() else None
        for layer in self._layers:
            asking = states[:, :1] if layer is self._layers[-1] else states  # of the last layer only [CLS] is read
            attended = self._attended(layer["query"](asking), layer["key and value"](states), mask)
            asking = layer["mixed norm"](asking + layer["mixed"](attended))
            states = layer["outer norm"](asking + layer["outer"](_gelu(layer["inner"](asking))))
        return self._classifier(np.tanh(self._pooler(states[:, 0])))

    def _attended(self, query: np.ndarray, both: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """What the asking tokens see, (B, Q, hidden), from their queries of that shape, keys and values of all side by side (B, T, 2 * hidden) and a mask
        (B, 1, 1, T) that is added."""
        num_texts, num_asking, width = query.shape
        queries = query.reshape(num_texts, num_asking, self._heads, -1).transpose(0, 2, 1, 3)  # (B, heads, Q, D)
        keys, values = both.reshape(num_texts, -1, 2, self._heads, width // self._heads).transpose(2, 0, 3, 1, 4)
        weights = queries @ keys.swapaxes(2, 3) * np.float32(queries.shape[-1] ** -0.5)
        if mask is not None:
            weights += mask
        weights = np.exp(weights - weights.max(3, keepdims=True))
        weights /= weights.sum(3, keepdims=True)
        return (weights @ values).transpose(0, 2, 1, 3).reshape(num_texts, num_asking, width)


class _Linear:
    def __init__(self, state: Mapping[str, np.ndarray], name: str):
        self.weight = np.ascontiguousarray(state[f"{name}.weight"].T)  # (in, out)
        self.bias = state[f"{name}.bias"]

    @classmethod
    def joined(cls, parts: Sequence[_Linear]) -> _Linear:
        """Layers with the same input as one product."""
        one = cls.__new__(cls)
        one.weight = np.concatenate([part.weight for part in parts], 1)
        one.bias = np.concatenate([part.bias for part in parts])
        return one

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        flat = (
            rows.reshape(-1, rows.shape[-1]) @ self.weight
        )  # one product; of a stack numpy would make one for each text
        flat += self.bias
        return flat.reshape(*rows.shape[:-1], -1)


class _Norm:
    def __init__(self, state: Mapping[str, np.ndarray], name: str, epsilon: float):
        self._weight, self._bias, self._epsilon = state[f"{name}.weight"], state[f"{name}.bias"], np.float32(epsilon)

    def __call__(self, states: np.ndarray) -> np.ndarray:
        centred = states - states.mean(-1, keepdims=True)
        centred /= np.sqrt(np.square(centred).mean(-1, keepdims=True) + self._epsilon)
        return centred * self._weight + self._bias


def _gelu(states: np.ndarray) -> np.ndarray:
    """x Φ(x), the error function by formula 7.1.26 of Abramowitz and Stegun (1.5e-7 at most beside it), which saves importing scipy.special."""
    scaled = np.abs(states) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * scaled)
    series = np.full_like(t, 1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series *= t
        series += np.float32(factor)
    erf = np.copysign(1 - series * t * np.exp(-np.square(scaled)), states)
    return np.float32(0.5) * states * (1 + erf)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `torch.save` wrote, tensors as arrays. As with torch's own `weights_only`, nothing but tensors and plain values is unpickled.

    Raises:
        OSError: there is no such file.
        ValueError: it is none of torch's, or holds something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
            with archive.open(f"{root}data.pkl") as file:
                return _Unpickler(file, archive, root).load()
    except (zipfile.BadZipFile, StopIteration, pickle.UnpicklingError, KeyError) as error:
        raise ValueError(f"{path} is no checkpoint of torch: {error}") from error


class _Unpickler(pickle.Unpickler):
    _STORAGES = {"HalfStorage": "<f2", "FloatStorage": "<f4", "LongStorage": "<i8"}

    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str):
        super().__init__(file)
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor_v2":
                return _tensor
            case "torch", name if name in self._STORAGES:
                return self._STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")

    def persistent_load(self, saved: Any) -> np.ndarray:
        _, dtype, key, _, _ = saved
        return np.frombuffer(self._archive.read(f"{self._root}data/{key}"), dtype)


def _tensor(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> np.ndarray:
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides)
