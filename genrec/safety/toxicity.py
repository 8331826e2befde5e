"""How hurtful a text is: Detoxify's six labels from the bundled English and Chinese model or a published one.

Scores belong to sentences; `genrec/text.py` splits a reply into them. A longer text is scored sentence by sentence,
an endless sentence in overlapping pieces, and the highest score counts: in a whole text's score one toxic sentence is
lost.
The bundled model knows English and Chinese only: for another language its answer means nothing.
Detoxify: https://github.com/unitaryai/detoxify. The bundled model is trained by `genrec/train/toxicity.py`.
"""

import io
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genrec.errors import AssetError
from genrec.safety.normalise import normalise

if TYPE_CHECKING:
    from detoxify import Detoxify

LABELS = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
Verdict = Literal["ok", "mask", "block"]

# Chosen on 22 Nov 2026 with the bundled model on ../shared/data/toxicity: the recommendation sentences of suites_dev
# (182 + 118 benign, 62 + 54 toxic, English + Chinese) and labels_dev. Share of benign blocked → of toxic blocked:
#   toxicity, harm   English        Chinese        wrong on labels_dev, English / Chinese
#   .5, .1           .13 → .73      .03 → .80      not measured
#   .5, .3           .10 → .71      .03 → .74      .135 / .139
#   .4, .3           .10 → .76      .04 → .78      .141 / .139
#   .4, .2           .13 → .77      .04 → .81      .142 / .141
#   .4, .4           .07 → .63      .02 → .74
# So .4 with .3: five more toxic sentences caught for one benign one. The benign ones it blocks are mostly titles and
# names with a coarse word in them (Moby-Dick, Kick-Ass), which the catalogue can clear; the missed ones mostly threats.
# Coarse without harm: of the labels_dev texts that .2 masks 70 % are labelled toxic; no benign recommendation is hit.
TOXICITY = 0.4
HARM = 0.3
OBSCENE = 0.2
# Sentences that each passed are only withheld for what they say together where that is plain, measured 25 Nov 2026: at .4 with .3, 3 % of 400 pairs and 7 % of
# 300 triples of benign English sentences would go; at .7 with .5 none, in neither language, and 4 % more of 300 Chinese insults that were cut in two are found
# (English: 0 %; at .4 with .3 they were 10 % and 7 %).
TOGETHER = 0.7
HARM_TOGETHER = 0.5

_WORDS_A_PIECE = 36  # about 50 tokens; the bundled model reads 60
_WORDS_BETWEEN_PIECES = 27
_BATCH_SIZE = 32
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


def hurts_together(scores: Mapping[str, float]) -> bool:
    """Whether several sentences, each of which passed alone, must not stand together."""
    harm = max(scores["insult"], scores["threat"], scores["identity_attack"])
    return scores["toxicity"] >= TOGETHER and harm >= HARM_TOGETHER


class ToxicityScorer:
    """A Detoxify model with one output shape for one text or many; safe to share between threads."""

    def __init__(self, model: "Detoxify") -> None:
        self._model = model
        self._lock = threading.Lock()  # a fast tokenizer must not be used by two threads at once

    @classmethod
    def load(cls, folder: Path | str) -> "ToxicityScorer":
        """The model in `folder` (toxicity.ckpt, config.json, tokenizer), read without contacting the model hub.

        Raises:
            AssetError: the folder lacks a file.
        """
        import torch
        from detoxify import Detoxify

        folder = Path(folder).resolve()
        for name in ("toxicity.ckpt", "config.json", "tokenizer.json", "tokenizer_config.json"):
            if not (folder / name).is_file():
                raise AssetError(f"{folder / name} is not there; run `python -m genrec train toxicity --data FOLDER`")
        checkpoint = torch.load(folder / "toxicity.ckpt", map_location="cpu", weights_only=True)
        # Detoxify asks the hub for the configuration of model_type even when it is given a folder; an address on this
        # machine is not asked for.
        checkpoint["config"]["arch"]["args"]["model_type"] = str(folder)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        buffer.seek(0)
        model = Detoxify(checkpoint=buffer, huggingface_config_path=str(folder))
        model.model.float().eval()  # the fp16 weights compute four times faster as fp32 on a processor
        return cls(model)

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
        pieces = [(number, piece) for number, text in enumerate(texts) for piece in _pieces(normalise(text))]
        pieces.sort(key=lambda entry: len(entry[1]))  # similar lengths together: less padding
        scores = [dict.fromkeys(LABELS, 0.0) for _ in texts]
        for start in range(0, len(pieces), _BATCH_SIZE):
            batch = pieces[start : start + _BATCH_SIZE]
            for (number, _), piece_scores in zip(batch, self._predict([piece for _, piece in batch]), strict=True):
                for label in LABELS:
                    scores[number][label] = max(scores[number][label], piece_scores.get(label, 0.0))
        return scores

    def _predict(self, texts: list[str]) -> list[dict[str, float]]:
        with self._lock:
            columns: dict[str, Any] = self._model.predict(texts)
        if len(texts) == 1:  # Detoxify squeezes a batch of one to a number
            columns = {label: [column] if isinstance(column, float) else column for label, column in columns.items()}
        return [{label: column[row] for label, column in columns.items()} for row in range(len(texts))]


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
