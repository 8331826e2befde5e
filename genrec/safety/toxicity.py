"""How hurtful a text is: Detoxify's six labels from the bundled English and Chinese model or a published one.

Scores belong to sentences; `genrec/text.py` splits a reply into them. A longer text is scored sentence by sentence,
an endless sentence in overlapping pieces, and the highest score counts: in a whole text's score one toxic sentence is
lost.
The bundled model knows English and Chinese only: for another language its answer means nothing.
Detoxify: https://github.com/unitaryai/detoxify. The bundled model is trained by `genrec/train/toxicity.py`.
"""

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from genrec.errors import AssetError
from genrec.safety.bert import FastBert
from genrec.safety.ngrams import NgramModel
from genrec.safety.normalise import normalise

if TYPE_CHECKING:
    from detoxify import Detoxify

LABELS = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
Verdict = Literal["ok", "mask", "block"]

# Chosen on 26 Nov 2026 on rows that training kept back (10,700 labelled, 5,200 composed of frames kept back; `measure_rule` of the trainer), none of them
# of a file to measure with: of the triples on a grid of .01 (.2 for the last) that catch at least .91 of the composed hurtful ones and .83 of the labelled,
# the one that flags the fewest others. The floors of .91 and .83 were set with the development suites' figures in view, so those flatter a little. Chosen anew
# when frames of opinions, slurs and denials were added, of which the former triple (.21, .33, .4) catches fewer than the floor.
#   toxicity, harm, obscene   composed caught, flagged   labelled caught, flagged
#   .18, .31, .6              .910  .154                 .837  .110
#   .20, .29, .6              .910  .149                 .851  .115
#   .18, .30, .6              .910  .155                 .845  .114
#   .21, .33, .4              .904  .151                 .835  .103
# The composed harmless ones are adversarial (denied and quoted hate, coarse titles, grief). Figures on other texts: card.json of the model.
TOXICITY = 0.18
HARM = 0.31
OBSCENE = 0.6
# A sentence of the writer's, without the catalogue's titles, that is rather toxic than not is withheld even where no harm is named. (RealToxicityPrompts counts from .5.)
SHOWN = 0.5
# Sentences that each passed are only withheld for what they say together where that is plain, measured 25 Nov 2026: at .4 with .3, 3 % of 400 pairs and 7 % of
# 300 triples of benign English sentences would go; at .7 with .5 none, in neither language, and 4 % more of 300 Chinese insults that were cut in two are found
# (English: 0 %; at .4 with .3 they were 10 % and 7 %).
TOGETHER = 0.7
HARM_TOGETHER = 0.5

_WORDS_A_PIECE = 36  # about 50 tokens; the bundled model reads 60
_WORDS_BETWEEN_PIECES = 27
_BATCH_SIZE = 32
_NUM_REMEMBERED = 4_096  # pieces whose scores are kept: the sentences of some hundred replies
_SENTENCE_END = re.compile(r"(?<=[!?;。])(?![!?;。])|(?<=\.)\s")
_WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\s\u3400-\u9fff\uf900-\ufaff]{1,20}")


def verdict(scores: Mapping[str, float]) -> Verdict:
    """What to do with a sentence: let it pass, mask its coarse words, or withhold it."""
    harm = max(scores["insult"], scores["threat"], scores["identity_attack"])
    if scores["toxicity"] < TOXICITY:
        return "ok"
    if harm >= HARM:
        return "block"
    return "mask" if scores["obscene"] >= OBSCENE else "ok"


def may_be_shown(scores: Mapping[str, float]) -> bool:
    """Whether a sentence of a reply is shown. What the writer says is held to more than what is said to it: where it is likely toxic, whatever its kind, it goes."""
    return verdict(scores) == "ok" and scores["toxicity"] < SHOWN


def hurts_together(scores: Mapping[str, float]) -> bool:
    """Whether several sentences, each of which passed alone, must not stand together."""
    harm = max(scores["insult"], scores["threat"], scores["identity_attack"])
    return scores["toxicity"] >= TOGETHER and harm >= HARM_TOGETHER


class ToxicityScorer:
    """A Detoxify model with one output shape for one text or many; safe to share between threads. With `ngrams` its log-odds and theirs are
    mixed, label by label. What was scored lately is remembered by its hash, not as text."""

    def __init__(self, model: "FastBert | Detoxify", ngrams: NgramModel | None = None) -> None:
        self._model = model
        self._ngrams = ngrams
        self._known: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()  # a fast tokenizer must not be used by two threads at once

    @classmethod
    def load(cls, folder: Path | str) -> "ToxicityScorer":
        """The model in `folder` (toxicity.ckpt, ngrams.npz, config.json, tokenizer), read without contacting the model hub.

        Raises:
            AssetError: the folder lacks a file, or one has another form.
        """
        folder = Path(folder).resolve()
        for name in ("toxicity.ckpt", "ngrams.npz", "config.json", "tokenizer.json", "tokenizer_config.json"):
            if not (folder / name).is_file():
                raise AssetError(f"{folder / name} is not there; run `python -m genrec train toxicity --data FOLDER`")
        try:
            return cls(FastBert.load(folder), NgramModel.load(folder / "ngrams.npz"))
        except (ValueError, KeyError) as error:
            raise AssetError(f"The toxicity model {folder} cannot be loaded: {error}") from error

    @classmethod
    def published(cls, name: Literal["original", "unbiased", "multilingual"]) -> "ToxicityScorer":
        """One of Detoxify's own models, downloaded from its release page and the hub on first use.

        Raises:
            ValueError: there is no such model.
        """
        if name not in ("original", "unbiased", "multilingual"):
            raise ValueError(f"Detoxify has no model {name!r}; choose original, unbiased or multilingual")
        from detoxify import Detoxify

        return cls(Detoxify(name))

    def score(self, texts: list[str]) -> list[dict[str, float]]:
        """One dictionary a text: label → probability in [0, 1], higher is more toxic. An empty list gives [].

        A text with no words scores 0 on every label.
        """
        pieces = [_pieces(normalise(text)) for text in texts]
        logits = self._remembered([piece for own in pieces for piece in own])
        scores = []
        for own in pieces:
            highest = np.max([logits[piece] for piece in own], axis=0) if own else np.full(len(LABELS), -np.inf)
            scores.append(dict(zip(LABELS, (1 / (1 + np.exp(-highest))).tolist(), strict=True)))
        return scores

    def _remembered(self, pieces: list[str]) -> dict[str, np.ndarray]:
        """The log-odds (6,) of each piece, those lately scored from memory."""
        keys = {piece: hashlib.blake2b(piece.encode(), digest_size=16).digest() for piece in pieces}
        with self._lock:
            found = {piece: self._known[key] for piece, key in keys.items() if key in self._known}
        new = sorted((piece for piece in keys if piece not in found), key=len)  # similar lengths together: less padding
        for start in range(0, len(new), _BATCH_SIZE):
            batch = new[start : start + _BATCH_SIZE]
            found |= zip(batch, self.logits(batch), strict=True)
        with self._lock:
            for piece, key in keys.items():
                self._known[key] = found[piece]
                self._known.move_to_end(key)  # what was asked for longest ago is forgotten first
            while len(self._known) > _NUM_REMEMBERED:
                self._known.popitem(last=False)
        return found

    def logits(self, pieces: list[str]) -> np.ndarray:
        """The log-odds of normalised texts that fit the model's window, float32 (num_pieces, 6)."""
        logits = self.bert_logits(pieces)
        if self._ngrams:
            logits = self._ngrams.mixed(logits, pieces)
        return logits

    def bert_logits(self, pieces: list[str]) -> np.ndarray:
        """The BERT's own log-odds, float32 (num_pieces, 6); -20 for a label that it does not have."""
        if isinstance(self._model, FastBert):
            labels, found = self._model.labels, self._model.logits(pieces)
        else:
            import torch

            with self._lock:
                encoded = self._model.tokenizer(pieces, truncation=True, padding=True, return_tensors="pt")
            with torch.inference_mode():
                labels, found = self._model.class_names, self._model.model(**encoded).logits.float().numpy()
        columns = dict(zip(labels, found.T, strict=True))
        return np.stack([columns.get(label, np.full(len(pieces), -20.0, np.float32)) for label in LABELS], axis=1)


def _pieces(text: str) -> list[str]:
    """`text` whole when it is short, else its sentences, each cut to the model's window; [] when it has no words."""
    if len(_WORD.findall(text)) <= _WORDS_A_PIECE:
        return _windows(text)
    return [window for sentence in _SENTENCE_END.split(text) for window in _windows(sentence)]


def _windows(sentence: str) -> list[str]:
    """Overlapping stretches of `sentence` that the model reads in full; [] when it has no words."""
    words = list(_WORD.finditer(sentence))
    if len(words) <= _WORDS_A_PIECE:
        return [sentence] if words else []
    starts = range(0, len(words) - _WORDS_A_PIECE + _WORDS_BETWEEN_PIECES, _WORDS_BETWEEN_PIECES)
    ends = [words[min(start + _WORDS_A_PIECE, len(words)) - 1].end() for start in starts]
    return [sentence[words[start].start() : end] for start, end in zip(starts, ends, strict=True)]
