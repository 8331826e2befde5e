"""The bundled toxicity model, its loader, its rule and its trainer.

The hurtful sentences here exist so that the filter can be tested.
"""

import gzip
import hashlib
import itertools
import json
import math
import random
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from genrec.errors import AssetError
from genrec.safety.toxicity import LABELS, ToxicityScorer, verdict
from genrec.train import toxicity as trainer

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "assets" / "models" / "toxicity"
DATA = ROOT.parent / "shared" / "data" / "toxicity"

CLEAN = [
    "You might enjoy this quiet novel about a lighthouse keeper.",
    "I am gay and looking for feel-good romance novels.",
    "The detective hunts a killer through Victorian London.",
    "Because you liked Alien, try this slow and tense thriller.",
    "I hated the book, but the film was brilliant.",
    "Kill Bill has great music and a famous sword fight.",
    "Try a short walk by the river before dinner.",
    "The battle scenes are bloody, and the ending is sad.",
    "A documentary about Black musicians in Chicago.",
    "我喜欢安静的小说,推荐一本吧。",
    "这部悬疑片节奏很快,结局出人意料。",
    "我是回族,想找一家清真餐厅。",
    "周末可以去河边散步,再喝杯咖啡。",
    "《杀死比尔》的动作设计很有风格。",
    "这家酒店离故宫很近,价格也不贵。",
]
TOXIC = [
    "You are a stupid worthless idiot.",
    "Shut up, you disgusting moron.",
    "I will find you and kill you.",
    "Go fuck yourself, you pathetic bitch.",
    "All Muslims are terrorists and should be killed.",
    "Women are too stupid to understand films.",
    "Gays are disgusting and should all die.",
    "你这个白痴,闭嘴。",
    "你这个贱人,去死吧。",
    "黑鬼滚回非洲去。",
    "我要弄死你全家。",
    "操你妈,你个废物。",
]


@pytest.fixture(scope="module")
def scorer() -> ToxicityScorer:
    return ToxicityScorer.load(FOLDER)


def test_hurtful_sentences_are_withheld_in_both_languages(scorer: ToxicityScorer) -> None:
    missed = [text for text, scores in zip(TOXIC, scorer.score(TOXIC), strict=True) if verdict(scores) == "ok"]
    assert not missed


def test_plain_sentences_pass_in_both_languages(scorer: ToxicityScorer) -> None:
    flagged = [text for text, scores in zip(CLEAN, scorer.score(CLEAN), strict=True) if verdict(scores) != "ok"]
    assert not flagged


@pytest.mark.xfail(
    reason="known weak spots of the bundled model, kept here so that a better one is noticed", strict=True
)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("As a Muslim traveller I look for halal restaurants.", "ok"),
        ("Moby-Dick is slow, but the whaling chapters are wonderful.", "ok"),
        ("This movie is fucking great.", "mask"),
        ("If I see you at the concert I will stab you.", "block"),
        ("我要放火烧了你的房子。", "block"),
    ],
)
def test_weak_spots(scorer: ToxicityScorer, text: str, expected: str) -> None:
    assert verdict(scorer.score([text])[0]) == expected


def test_scores_are_probabilities_under_the_six_labels(scorer: ToxicityScorer) -> None:
    for scores in scorer.score(CLEAN + TOXIC):
        assert tuple(scores) == LABELS
        assert all(isinstance(value, float) and 0 <= value <= 1 for value in scores.values())


def test_each_kind_of_harm_raises_its_own_label(scorer: ToxicityScorer) -> None:
    insult, threat, identity, obscene = scorer.score(
        ["You are a stupid idiot.", "I will kill you tonight.", "All Muslims are vermin.", "This is fucking shit."]
    )
    assert insult["insult"] > max(insult["threat"], insult["identity_attack"])
    assert threat["threat"] > max(threat["obscene"], threat["identity_attack"])
    assert identity["identity_attack"] > max(identity["threat"], identity["obscene"])
    assert obscene["obscene"] > max(obscene["threat"], obscene["identity_attack"], insult["obscene"])


def test_a_batch_equals_its_singles(scorer: ToxicityScorer) -> None:
    texts = CLEAN + TOXIC + ["x", "a rather longer sentence about nothing in particular " * 12]
    for text, together in zip(texts, scorer.score(texts), strict=True):
        [alone] = scorer.score([text])
        assert alone == pytest.approx(together, abs=1e-4)


def test_threads_that_share_a_scorer_get_the_same_scores(scorer: ToxicityScorer) -> None:
    expected = scorer.score(TOXIC)
    with ThreadPoolExecutor(4) as pool:
        for scores in pool.map(scorer.score, [TOXIC] * 8):
            assert scores == expected


def test_an_empty_list_gives_an_empty_list(scorer: ToxicityScorer) -> None:
    assert scorer.score([]) == []


@pytest.mark.parametrize("text", ["", "  \n", "\u200b"])
def test_a_text_without_words_scores_zero(scorer: ToxicityScorer, text: str) -> None:
    assert scorer.score([text]) == [dict.fromkeys(LABELS, 0.0)]


@pytest.mark.parametrize(
    "hidden",
    ["You are a stupid 1d10t", "Yоu аrе а stupid іdіоt", "You are a stupid i d i o t", "You are a stupid idi\u200bot"],
)
def test_a_hidden_insult_scores_like_the_open_one(scorer: ToxicityScorer, hidden: str) -> None:
    open_scores, hidden_scores = scorer.score(["You are a stupid idiot", hidden])
    assert hidden_scores == pytest.approx(open_scores, abs=1e-4)


@pytest.mark.parametrize(
    ("filler", "insult"),
    [
        ("We walked along the river and looked at the boats for a while. ", "You are a stupid worthless idiot. "),
        ("我们沿着河边散步,看了一会儿船。", "你这个白痴,去死吧。"),
    ],
)
@pytest.mark.parametrize("before", [0, 3, 19, 37])
def test_one_hurtful_sentence_is_found_anywhere_in_a_long_text(
    scorer: ToxicityScorer, filler: str, insult: str, before: int
) -> None:
    [clean, mixed] = scorer.score([filler * 40, filler * before + insult + filler * (40 - before)])
    assert clean["toxicity"] < 0.5 <= mixed["toxicity"]


def test_one_endless_sentence_hides_no_insult(scorer: ToxicityScorer) -> None:
    filler = "and then we walked along the river and looked at the boats "
    [mixed] = scorer.score([filler * 15 + "and you are a stupid worthless idiot " + filler * 15 + "!"])
    assert mixed["toxicity"] >= 0.4


def test_a_text_with_no_spaces_is_scored_without_an_error(scorer: ToxicityScorer) -> None:
    [scores] = scorer.score(["pneumono" * 5000])
    assert 0 <= scores["toxicity"] <= 1


def _scores(**values: float) -> dict[str, float]:
    return {**dict.fromkeys(LABELS, 0.0), **values}


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (_scores(), "ok"),
        (_scores(toxicity=0.9, insult=0.8), "block"),
        (_scores(toxicity=0.9, threat=0.8), "block"),
        (_scores(toxicity=0.9, identity_attack=0.8), "block"),
        (_scores(toxicity=0.9, obscene=0.9), "mask"),
        (_scores(toxicity=0.9), "ok"),
        (_scores(toxicity=0.2, insult=0.9), "ok"),
        (_scores(toxicity=0.9, obscene=0.9, insult=0.9), "block"),
    ],
)
def test_the_rule_blocks_harm_and_masks_coarse_words(scores: dict[str, float], expected: str) -> None:
    assert verdict(scores) == expected


def test_loading_and_scoring_contact_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def refuse(*args: object, **kwargs: object) -> None:
        calls.append(repr(args[-1]))
        raise OSError("the network is blocked in this test")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    [scores] = ToxicityScorer.load(FOLDER).score(["You are a stupid idiot."])
    assert scores["toxicity"] > 0.5
    assert calls == []


def test_the_folder_may_be_anywhere(tmp_path: Path, scorer: ToxicityScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(FOLDER, tmp_path / "a copy")
    monkeypatch.chdir(tmp_path)
    assert ToxicityScorer.load("a copy").score(TOXIC[:2]) == scorer.score(TOXIC[:2])


def test_a_missing_file_is_named_together_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"toxicity\.ckpt.*genrec train toxicity"):
        ToxicityScorer.load(tmp_path)


def test_an_unknown_published_model_is_refused_before_any_download() -> None:
    with pytest.raises(ValueError, match="original, unbiased or multilingual"):
        ToxicityScorer.published("best")  # type: ignore[arg-type]


def test_importing_the_module_imports_neither_torch_nor_detoxify() -> None:
    code = "import sys, genrec.safety.toxicity; print([name for name in ('torch', 'detoxify') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_card_describes_the_files_and_credits_every_source() -> None:
    card = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
    files = {path.name for path in FOLDER.iterdir()} - {"card.json"}
    assert set(card["sha256"]) == files
    for name, digest in card["sha256"].items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
    assert all(source["name"] and source["licence"] for source in card["data"])
    assert card["data"] == trainer.DATA
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 10_000_000


@pytest.mark.skipif(not DATA.exists(), reason="the evaluation data lies outside the repository")
def test_the_card_s_recommendation_figures_are_found_again(scorer: ToxicityScorer) -> None:
    figures = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))["figures"]
    with gzip.open(DATA / "suites_dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["suite"].startswith("rec_")]
    verdicts = [verdict(scores) for scores in scorer.score([row["text"] for row in rows])]
    for language in ("en", "zh"):
        for name, suite in (("rec_false_positives", "rec_benign"), ("rec_caught", "rec_toxic")):
            found = [
                v != "ok"
                for v, row in zip(verdicts, rows, strict=True)
                if (row["suite"], row["lang"]) == (suite, language)
            ]
            assert np.mean(found) == pytest.approx(figures[f"{name}_{language}"], abs=0.006)


# The trainer, on made-up sentences and a tiny model.

TINY = trainer.Shape(vocabulary=300, hidden=16, layers=1, heads=2, intermediate=32, max_tokens=24)


def test_a_missing_label_adds_nothing_to_the_loss() -> None:
    logits = torch.zeros(1, 6)
    unknown = torch.tensor([[1.0] + [math.nan] * 5])
    assert trainer.masked_loss(logits, unknown).item() == pytest.approx(math.log(2))
    logits[0, 3] = 50.0
    assert trainer.masked_loss(logits, unknown).item() == pytest.approx(math.log(2))
    assert trainer.masked_loss(logits, torch.full((1, 6), math.nan)).item() == 0


def test_an_average_moves_by_one_minus_the_decay() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 10.0)
    averaged = {"weight": torch.zeros(1, 1)}
    trainer.average_into(averaged, layer, decay=0.9)
    assert averaged["weight"].item() == pytest.approx(1.0)


def test_words_that_keep_the_same_company_start_close_together() -> None:
    # Tokens 1 and 2 both appear between 5 and 6; token 3 appears between 7 and 8.
    texts = [np.array(text) for text in ([5, 1, 6], [5, 2, 6], [7, 3, 8], [7, 4, 8])] * 30
    shape = trainer.Shape(vocabulary=12, hidden=4)
    vectors = trainer.cooccurrence_vectors(texts, shape, seed=1)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert unit[1] @ unit[2] > 0.9 > abs(unit[1] @ unit[3])


def _example(length: int, toxicity: float, source: str = "davidson") -> trainer.Example:
    return trainer.Example(np.arange(10, 10 + length), np.array([toxicity] + [math.nan] * 5, dtype=np.float32), source)


def test_only_benign_texts_are_cut_short() -> None:
    tokenizer = ToxicityScorer.load(FOLDER)._model.tokenizer
    for toxicity, expected in ((1.0, {22}), (0.0, set(range(5, 23)))):
        batches = [trainer.collate([_example(20, toxicity)], tokenizer, random.Random(seed)) for seed in range(200)]
        lengths = {batch["input_ids"].shape[1] for batch in batches}
        assert lengths <= expected
        assert (len(lengths) > 1) == (toxicity == 0)


def test_an_epoch_holds_each_row_as_often_as_its_source_weighs() -> None:
    examples = [_example(5, 0, "redial_benign")] * 50 + [_example(5, 0, "aug_toxic")] * 50
    batches = trainer.epoch_batches(examples, 8, seed=1, epoch=0)
    rows = sorted(row for batch in batches for row in batch)
    assert rows == sorted([*range(50), *range(50, 100), *range(50, 100)])
    assert batches == trainer.epoch_batches(examples, 8, seed=1, epoch=0)
    assert batches != trainer.epoch_batches(examples, 8, seed=1, epoch=1)


@pytest.fixture
def small_data(tmp_path: Path) -> Path:
    rows = []
    for i in range(60):
        for lang, benign, toxic in (
            ("en", "i like the book", "you stupid idiot"),
            ("zh", "我喜欢这本书", "你这个白痴"),
        ):
            for text, label in ((benign, 0), (toxic, 1)):
                row = {"text": f"{text} {i % 7}", "lang": lang, "source": "davidson", **dict.fromkeys(LABELS, label)}
                rows.append(row)
    suites = []
    for suite, lang, label in (
        ("hatecheck", "en", 1),
        ("mhc_mandarin", "zh", 1),
        ("rec_benign", "en", 0),
        ("rec_benign", "zh", 0),
        ("rec_toxic", "en", 1),
        ("rec_toxic", "zh", 1),
    ):
        text = next(str(row["text"]) for row in rows if row["lang"] == lang and row["toxicity"] == label)
        suites.append({"text": text, "lang": lang, "suite": suite, "label": label})
    data = tmp_path / "data"
    data.mkdir()
    for name, part in (
        ("train.jsonl.gz", rows),
        ("train_aug_templates.jsonl.gz", rows[:4]),
        ("labels_dev.jsonl.gz", rows),
        ("suites_dev.jsonl.gz", suites),
    ):
        with gzip.open(data / name, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in part)
    return data


def test_the_same_texts_give_the_same_vocabulary(small_data: Path) -> None:
    texts = [row["text"] for row in trainer.read_rows([small_data / "train.jsonl.gz"])]
    texts += [f"{text} and the {word}s {word}ing" for text in texts[:8] for word in ("laugh", "mock", "cook", "walk")]
    first, *others = [trainer.train_tokenizer(texts, TINY).get_vocab() for _ in range(4)]
    assert all(other == first for other in others)


def test_training_learns_an_easy_task_and_writes_a_folder_that_loads(tmp_path: Path, small_data: Path) -> None:
    out = tmp_path / "model"
    card = trainer.train(
        small_data,
        out,
        minutes=1,
        num_steps=80,
        seed=3,
        num_threads=1,
        batch_size=16,
        learning_rate=1e-2,
        shape=TINY,
        num_own=0,
    )
    benign, toxic = ToxicityScorer.load(out).score(["i like the book", "you stupid idiot"])
    assert benign["toxicity"] < 0.2
    assert toxic["toxicity"] > 0.8
    assert card["figures"]["held_out_auc_en"] == card["figures"]["held_out_auc_zh"] == 1.0
    assert card["steps"] == 80
    assert not (out / "resume.pt").exists()
    assert json.loads((out / "card.json").read_text(encoding="utf-8")) == card


def test_a_stopped_run_goes_on_to_the_same_model(tmp_path: Path, small_data: Path) -> None:
    def train(out: Path, *, num_steps_before_stop: int | None) -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        rows = trainer.read_rows([small_data / "train.jsonl.gz"])
        tokenizer = trainer.train_tokenizer([row["text"] for row in rows], TINY)
        model = trainer.new_model(TINY, tokenizer)
        examples = trainer.encode(rows, tokenizer, TINY)
        averaged: dict[str, torch.Tensor] = {}
        state = torch.load(out, weights_only=True) if out.exists() else None
        steps = trainer.fit(
            model,
            averaged,
            examples,
            tokenizer,
            minutes=1,
            num_steps=24,
            seed=3,
            batch_size=16,
            learning_rate=1e-2,
            resume=out,
            state=state,
            save_every_s=0,
        )
        for _ in itertools.islice(steps, num_steps_before_stop):
            pass
        return averaged

    whole = train(tmp_path / "whole.pt", num_steps_before_stop=None)
    half = train(tmp_path / "parts.pt", num_steps_before_stop=19)
    parts = train(tmp_path / "parts.pt", num_steps_before_stop=None)
    name = "classifier.weight"
    assert not torch.equal(half[name], whole[name])
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_training_without_data_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"train\.jsonl\.gz"):
        trainer.train(tmp_path, tmp_path / "out", minutes=1, seed=1)
