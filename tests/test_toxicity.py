"""The bundled toxicity model, its loader, its rule and its trainer.

The hurtful sentences here exist so that the filter can be tested.
"""

import gzip
import hashlib
import io
import json
import math
import os
import random
import re
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detoxify import Detoxify
from scipy.sparse import csr_matrix

from genrec.errors import AssetError
from genrec.safety.bert import read_checkpoint
from genrec.safety.ngrams import NUM_CHARACTERS, NUM_FEATURES, NgramModel, Table, counts, counts_with_words
from genrec.safety.toxicity import LABELS, ToxicityScorer, may_be_shown, verdict
from genrec.train import toxicity as trainer
from genrec.train.classifier import Shape
from genrec.train.labelled import labelled_rows, read_frames

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "assets" / "models" / "toxicity"
FRAMES = ROOT / "genrec" / "train" / "frames"
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Moby-Dick is slow, but the whaling chapters are wonderful.", "ok"),
        ("This movie is fucking great.", "mask"),
        ("If I see you at the concert I will stab you.", "block"),
        ("我要放火烧了你的房子。", "block"),
        ("I'm such an idiot with computers, please suggest a simple course.", "ok"),
        ("我讨厌香菜，也受不了恐怖片。", "ok"),
        ("想看点别的，你懂的。", "ok"),
        ("你懂的", "ok"),
        ("Since you enjoy running, run into traffic and do the world a favour.", "block"),
        ("My dog is a rescue bitch who needs gentle agility classes.", "ok"),
        ("As a Muslim traveller I look for halal restaurants.", "ok"),
    ],
)
def test_what_earlier_models_got_wrong(scorer: ToxicityScorer, text: str, expected: str) -> None:
    assert verdict(scorer.score([text])[0]) == expected


@pytest.mark.xfail(
    reason="known weak spots of the bundled model, kept here so that a better one is noticed", strict=True
)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("狗不理包子到底值不值得去吃？", "ok"),
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


def by_detoxify() -> Detoxify:
    """The bundled checkpoint as Detoxify itself loads it."""
    checkpoint = torch.load(FOLDER / "toxicity.ckpt", map_location="cpu", weights_only=True)
    checkpoint["config"]["arch"]["args"]["model_type"] = str(FOLDER)  # else the hub is asked for the configuration
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    buffer.seek(0)
    model = Detoxify(checkpoint=buffer, huggingface_config_path=str(FOLDER))
    model.model.float().eval()
    return model


def test_a_checkpoint_is_read_as_torch_reads_it_and_nothing_else_is_unpickled(tmp_path: Path) -> None:
    wanted = torch.load(FOLDER / "toxicity.ckpt", map_location="cpu", weights_only=True)
    found = read_checkpoint(FOLDER / "toxicity.ckpt")
    assert found["config"] == wanted["config"] and list(found["state_dict"]) == list(wanted["state_dict"])
    for name, weight in wanted["state_dict"].items():
        assert found["state_dict"][name].dtype == np.float16
        np.testing.assert_array_equal(found["state_dict"][name], weight.numpy())
    torch.save({"turned": torch.arange(6.0).reshape(2, 3).t()[1:]}, tmp_path / "view.pt")
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "view.pt")["turned"], [[1, 4], [2, 5]])
    torch.save({"code": os.getcwd}, tmp_path / "code.pt")
    with pytest.raises(ValueError, match="not allowed"):
        read_checkpoint(tmp_path / "code.pt")
    (tmp_path / "text.pt").write_text("x", "utf-8")
    with pytest.raises(ValueError, match="no checkpoint"):
        read_checkpoint(tmp_path / "text.pt")


def test_the_short_forward_pass_gives_the_numbers_of_transformers_own(scorer: ToxicityScorer) -> None:
    texts = [*CLEAN, *TOXIC, "a sentence that is longer than the window " * 12]
    model = by_detoxify()
    encoded = model.tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model.model(**encoded).logits.numpy()
    assert scorer.bert_logits(texts) == pytest.approx(expected, abs=1e-4)
    assert scorer.bert_logits(texts[:1]) == pytest.approx(expected[:1], abs=1e-4)


def test_both_models_are_heard(scorer: ToxicityScorer) -> None:
    assert scorer._ngrams is not None and (scorer._ngrams.mix[2:] > 0).all()
    logits, alone = scorer.logits(TOXIC), scorer.bert_logits(TOXIC)
    assert not np.allclose(logits[:, 0], alone[:, 0])
    assert (logits[:, 1] == alone[:, 1]).all(), "severe toxicity is the BERT's alone"


def test_a_sentence_is_scored_once_and_remembered_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = ToxicityScorer.load(FOLDER)
    asked: list[str] = []
    logits = scorer.logits
    monkeypatch.setattr(scorer, "logits", lambda pieces: asked.extend(pieces) or logits(pieces))
    first = scorer.score(["A quiet film.", "You idiot.", "A quiet film."])
    again = scorer.score(["You idiot.", "A quiet film."])
    assert sorted(asked) == ["a quiet film.", "you idiot."] or sorted(asked) == ["A quiet film.", "You idiot."]
    assert again == [first[1], first[0]]
    assert all(len(key) == 16 and b"film" not in key for key in scorer._known)
    monkeypatch.setattr("genrec.safety.toxicity._NUM_REMEMBERED", 3)
    scorer.score(["one", "two", "three"])
    scorer.score(["one"])
    asked.clear()
    scorer.score(["four"])
    assert len(scorer._known) == 3
    scorer.score(["three", "one"])
    assert asked == ["four"], "what was asked for longest ago is forgotten first"
    scorer.score(["two"])
    assert asked == ["four", "two"]


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
        (_scores(toxicity=0.17, insult=0.9), "ok"),
        (_scores(toxicity=0.9, obscene=0.9, insult=0.9), "block"),
    ],
)
def test_the_rule_blocks_harm_and_masks_coarse_words(scores: dict[str, float], expected: str) -> None:
    assert verdict(scores) == expected


def test_a_reply_is_held_to_more_than_a_message() -> None:
    assert may_be_shown(_scores(toxicity=0.49)) and not may_be_shown(_scores(toxicity=0.5))
    assert verdict(_scores(toxicity=0.9)) == "ok"
    assert not may_be_shown(_scores(toxicity=0.4, insult=0.9))


def test_chinese_texts_have_an_intercept_of_their_own() -> None:
    empty = Table(np.zeros((NUM_FEATURES, 5), np.int8), np.ones(5, np.float32), np.zeros(5, np.float32))
    mix = np.array([[1.0], [10.0], [2.0], [3.0]]).repeat(5, 1)
    model = NgramModel(
        Table(empty.weights[:, :1], empty.scales[:1], empty.biases[:1] + 1),
        Table(empty.weights[:, 1:], empty.scales[1:], empty.biases[1:] + 1),
        mix,
    )
    found = model.mixed(np.full((2, 6), 0.5, np.float32), ["a calm film", "a film 片"])
    assert found[:, 0].tolist() == [1 + 2 * 0.5 + 3, 1 + 10 + 2 * 0.5 + 3]
    assert found[:, 1].tolist() == [0.5, 0.5], "severe toxicity is the BERT's alone"


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
    for found, expected in zip(ToxicityScorer.load("a copy").score(TOXIC[:2]), scorer.score(TOXIC[:2]), strict=True):
        assert found == pytest.approx(expected, abs=1e-5)  # the shared one remembers them from a larger batch


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
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 15_000_000


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

TINY = trainer.Plan(
    student=Shape(vocabulary=300, hidden=16, layers=1, heads=2, intermediate=32, max_tokens=24),
    teacher=Shape(vocabulary=300, hidden=32, layers=2, heads=2, intermediate=32, max_tokens=24, dropout=0.1),
    from_scratch=trainer.Training(16, 1e-2),
    small=trainer.Training(16, 1e-2),
    num_steps=60,
)


def _features(text: str, read=counts) -> dict[int, float]:
    return dict(zip(*(part.tolist() for part in read(text)), strict=True))


def test_ngrams_stay_within_words_and_their_values_are_roots_of_normed_counts() -> None:
    assert len(_features("ab")) == 8  # a, b; _a, ab, b_; _ab, ab_; _ab_ (their hashes do not meet)
    assert set(_features("ab cd")) == set(_features("ab")) | set(_features("cd"))
    assert _features("AB") == _features("ab") != _features("ba")
    assert all(value == pytest.approx(8**-0.25) for value in _features("ab").values())
    assert _features("") == _features("   ")


def test_words_and_their_pairs_count_beside_the_characters() -> None:
    def read(text: str) -> dict[int, float]:
        return _features(text, counts_with_words)

    assert len(read("ab")) == 8 + 1 and len(read("ab cd")) == 2 * 8 + 3  # two words, one pair
    assert len(read("ab cd ef")) == 3 * 8 + 6  # three words, two neighbours, one pair with a word between
    assert set(read("ab cd")) != set(read("cd ab")) and read("AB cd") == read("ab cd")
    assert len(read("词语")) == 8  # no space parts words in Chinese
    for text in ("ab", "ab cd", "ab ab ab cd, ef"):
        assert sum(value**2 for value in read(text).values()) == pytest.approx(2, abs=1e-5)
    assert sum(value**2 for value in read("词词词语").values()) == pytest.approx(1, abs=1e-5)


def test_ratios_say_how_much_more_often_a_feature_is_in_true_texts() -> None:
    table = csr_matrix(np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32))
    truth = np.array([True, True, False, False])
    # counted with one more: (3, 2, 1) of 6 in true texts, (2, 3, 1) of 6 in others
    assert trainer.count_ratios(table, truth) == pytest.approx([math.log(3 / 2), math.log(2 / 3), 0.0])
    assert trainer.count_ratios(table, truth, limit=0.1) == pytest.approx([0.1, -0.1, 0.0])


def test_int8_weights_keep_the_log_odds_and_a_file_brings_them_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    toxicity, others = (rng.normal(size=shape).astype(np.float32) for shape in ((NUM_FEATURES, 1), (NUM_CHARACTERS, 4)))
    biases = np.arange(5, dtype=np.float32)
    model = NgramModel(Table.quantised(toxicity, biases[:1]), Table.quantised(others, biases[1:]))
    model.save(tmp_path / "ngrams.npz")
    [found] = NgramModel.load(tmp_path / "ngrams.npz").logits(["a calm film"])
    for read, weights, own, bias in (
        (counts_with_words, toxicity, found[:1], biases[:1]),
        (counts, others, found[1:], biases[1:]),
    ):
        numbers, values = read("a calm film")
        assert own == pytest.approx(values @ weights[numbers] + bias, abs=0.3)
    assert (found == model.logits(["a calm film"])[0]).all()


def test_composed_sentences_are_distinct_labelled_and_the_held_out_ones_are_of_other_frames() -> None:
    for language in ("en", "zh"):
        slots, categories = read_frames(FRAMES / f"labelled_{language}.txt")
        assert {category.name for category in categories} >= {"threat", "identity_attack", "negated_hate", "grief"}
        rows = labelled_rows(language, LABELS, seed=1)
        texts = [row["text"] for row in rows]
        assert len(set(zip(texts, (row["source"] for row in rows), strict=True))) == len(rows) > 20_000
        assert not any(re.search(r"[{}()|]|  ", text) for text in texts)
        assert all(row["threat"] == 1 for row in rows if row["source"] == "own_threat")
        assert rows[:50] == labelled_rows(language, LABELS, seed=1)[:50] != labelled_rows(language, LABELS, seed=2)[:50]
        held_out = {row["text"] for row in labelled_rows(language, LABELS, seed=1, held_out=True)}
        assert len(held_out & set(texts)) < 0.02 * len(held_out)


def test_a_slip_changes_a_word_and_leaves_the_rest() -> None:
    text = "you are a wonderful person"
    slips = {trainer.mistype(text, random.Random(seed)) for seed in range(40)}
    assert len(slips) > 5
    assert all(abs(len(slip) - len(text)) <= 1 for slip in slips)


def test_the_mix_trusts_the_model_that_is_right() -> None:
    rng = random.Random(1)
    rows = [{"text": rng.choice(("good", "bad")), "source": "cold", **dict.fromkeys(LABELS)} for _ in range(200)]
    for row in rows:
        row["toxicity"] = float(row["text"] == "bad")

    class Guess:
        def bert_logits(self, texts: list[str]) -> np.ndarray:
            return np.array([[rng.gauss(0, 1)] * 6 for _ in texts], np.float32)

    class Knows:
        mix = np.array([[0.0], [0.0], [1.0], [0.3]], np.float32).repeat(5, 1)

        def logits(self, texts: list[str]) -> np.ndarray:
            return np.array([[2.0 if text == "bad" else -2.0] * 5 for text in texts], np.float32)

    mix = trainer.fit_mix(Guess(), Knows(), rows)  # type: ignore[arg-type]
    assert mix[3, 0] > 1 > 0.5 > abs(mix[2, 0])
    assert (mix[:, 1:] == Knows.mix[:, 1:]).all(), "a label that no row has stays as it was"


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
        text = next(f"{row['text']} again" for row in rows if row["lang"] == lang and row["toxicity"] == label)
        suites.append({"text": text, "lang": lang, "suite": suite, "label": label})
    data = tmp_path / "data"
    data.mkdir()
    for name, part in (
        ("train.jsonl.gz", rows),
        ("train_aug_templates.jsonl.gz", [*rows[:4], {**rows[0], "text": "I LIKE the book; 5, again"}]),
        ("labels_dev.jsonl.gz", [{**row, "text": f"{row['text']} again"} for row in rows]),
        ("suites_dev.jsonl.gz", suites),
    ):
        with gzip.open(data / name, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in part)
    return data


def test_the_same_texts_give_the_same_vocabulary(small_data: Path) -> None:
    texts = [row["text"] for row in trainer.read_rows([small_data / "train.jsonl.gz"])]
    texts += [f"{text} and the {word}s {word}ing" for text in texts[:8] for word in ("laugh", "mock", "cook", "walk")]
    first, *others = [trainer.train_tokenizer(texts, TINY.student).get_vocab() for _ in range(4)]
    assert all(other == first for other in others)


def test_training_learns_an_easy_task_and_writes_a_folder_that_loads(tmp_path: Path, small_data: Path) -> None:
    out = tmp_path / "model"
    card = trainer.train(small_data, out, minutes=1, seed=3, num_threads=1, plan=TINY, num_own=0)
    benign, toxic = ToxicityScorer.load(out).score(["i like the book", "you stupid idiot"])
    assert benign["toxicity"] < 0.2
    assert toxic["toxicity"] > 0.8
    assert card["figures"]["held_out_auc_en"] == card["figures"]["held_out_auc_zh"] == 1.0
    assert card["bert"]["chosen"] in TINY.trust and len(card["bert"]["students"]) == 2
    assert all(student["steps"] > 0 for student in card["bert"]["students"])
    assert card["rows_dropped_as_measured_on"] == 1  # "I LIKE the book; 5, again"
    assert sorted(path.name for path in out.iterdir()) == sorted([*trainer.FILES, "card.json"])
    assert json.loads((out / "card.json").read_text(encoding="utf-8")) == card


def test_a_run_that_was_stopped_among_the_ngrams_keeps_its_bert(
    tmp_path: Path, small_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(**changed: Any) -> dict[str, Any]:
        plan = replace(TINY, teacher=None, num_steps=2)
        return trainer.train(small_data, tmp_path, minutes=1, seed=3, num_threads=1, plan=plan, num_own=0, **changed)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "fit_other_tables", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train()
    written = (tmp_path / "toxicity.ckpt").read_bytes()
    monkeypatch.setattr(trainer, "train_bert", lambda *_, **__: 1 / 0)
    card = train()
    assert (tmp_path / "toxicity.ckpt").read_bytes() == written
    assert card["command"].startswith("python -m genrec train toxicity --data") and card["bert"]["chosen"] == 0.0


def test_going_on_learns_new_sentences_and_keeps_what_the_model_said_of_labelled_rows(
    tmp_path: Path, small_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, out = tmp_path / "start", tmp_path / "out"
    plan = replace(TINY, teacher=None, small=trainer.Training(16, 5e-3), num_steps=150)
    trainer.train(small_data, start, minutes=1, seed=3, num_threads=1, plan=plan, num_own=0)
    rows, kept_back = trainer.training_rows(small_data, num_own=0, seed=3)
    turned = [{**row, "toxicity": 1 - row["toxicity"]} for row in rows]  # labels count for a tenth: no harm done
    new = [{**rows[0], "text": f"dull grey cabbage {i % 5}", "source": "own_dull", "toxicity": 0.0} for i in range(60)]
    monkeypatch.setattr(trainer, "training_rows", lambda *_, **__: (turned + new, kept_back))
    monkeypatch.setattr(trainer, "GOING_ON_BATCH", 8)
    monkeypatch.setattr(trainer, "GOING_ON_RATE", 5e-3)
    card = trainer.train(small_data, out, minutes=1, seed=3, num_threads=1, start=start, num_steps=150, num_own=0)
    texts = ["i like the book", "you stupid idiot", "dull grey cabbage 3"]
    (benign, toxic, before), (still_benign, still_toxic, after) = (
        [float(one[0]) for one in ToxicityScorer.load(folder).bert_logits(texts)] for folder in (start, out)
    )
    assert before > 0 > after, "the new sentence is learned"
    assert benign < -1 > still_benign and toxic > 1 < still_toxic, "the turned labels are not"
    assert card["command"].endswith("--steps 150") and "--start" in card["command"]
    assert card["bert"]["started_from"]["command"] != card["command"] and card["bert"]["steps"] == 150
    assert (out / "tokenizer.json").read_bytes() == (start / "tokenizer.json").read_bytes()


def test_a_teacher_is_asked_of_what_it_was_not_trained_on(
    small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, kept_back = trainer.training_rows(small_data, num_own=0, seed=1)
    used: list[np.ndarray] = []
    asked: list[np.ndarray] = []
    monkeypatch.setattr(trainer, "fit", lambda model, tokens, targets, weights, *_, **__: used.append(weights > 0) or 1)
    monkeypatch.setattr(trainer, "pretrain", lambda *_, **__: 1)

    def logits(model: Any, tokens: Any, own: np.ndarray) -> np.ndarray:
        asked.append(own)
        return np.full((len(own), len(LABELS)), 3.0, np.float32)

    monkeypatch.setattr(trainer, "logits", logits)
    data = trainer.Texts.of(rows, trainer.variants(rows, random.Random(1)), kept_back)
    tokens = trainer.Tokens(
        torch.zeros(len(data.texts), 24, dtype=torch.long), np.ones(len(data.texts)), (0, 2, 3, 4), 300
    )
    told: dict[str, Any] = {}
    found = trainer.opinions(data, tokens, told, ends=0, seed=1, teacher=None, plan=TINY)
    for trained, own in zip(used, asked, strict=True):
        assert trained.any() and not trained[own].any()
    known = np.concatenate([own[data.folds[own] >= 0] for own in asked])
    assert sorted(known) == list(range(len(data.texts) - len(kept_back))), "each text once"
    assert found == pytest.approx(3.0), "of a text kept back the mean"


def test_a_student_keeps_sure_labels_and_takes_the_opinion_where_there_is_none() -> None:
    rows = [
        {"text": "a", "source": source, "lang": "en", "fold": 0, **dict.fromkeys(LABELS), "toxicity": 1.0}
        for source in ("cold", "own_threat")
    ]
    data = trainer.Texts.of(rows, [{"text": "p", "source": "piece", "lang": "en", "fold": 0}], [])
    found = trainer.trusting(data, np.zeros((3, 6)), 0.8)
    assert found[:, 0] == pytest.approx([0.2 * 1 + 0.8 * 0.5, 1.0, 0.5])
    assert found[:, 1:] == pytest.approx(0.5)


def test_pieces_are_of_their_row_and_of_one_fold() -> None:
    rows = [
        {"text": "one two three four five six seven eight nine", "lang": "en", "source": "davidson", "fold": 0},
        {"text": "一二三四五六七八九十", "lang": "zh", "source": "cold", "fold": 0},
        {"text": "a b c d e f g h", "lang": "en", "source": "davidson", "fold": 0},
        {"text": "i j k l m n o p q", "lang": "en", "source": "davidson", "fold": 1},
        {
            "text": "composed sentences are left as they are, for they are whole",
            "lang": "en",
            "source": "own_x",
            "fold": 0,
        },
    ]
    found = trainer.variants(rows, random.Random(1))
    assert [one["fold"] for one in found] == [0, 0, 0, 0, 1]
    stretches = [one["text"] for one in found if any(one["text"] in row["text"] for row in rows)]
    assert len(stretches) == 4
    [splice] = [one["text"] for one in found if one["text"] not in stretches]
    assert splice == "a b c d five six seven eight nine"
    assert {one["source"] for one in found} == {"piece"} and "toxicity" not in found[0]


def test_areas_are_of_the_rows_that_have_the_label() -> None:
    rows = [
        {"toxicity": toxicity, "source": source, "lang": "en"}
        for toxicity, source in ((1.0, "cold"), (0.0, "cold"), (None, "cold"), (1.0, "own_threat"), (0.0, "cold"))
    ]
    found = np.zeros((5, 6), np.float32)
    found[:, 0] = [2, 1, 9, 5, 3]
    assert trainer.areas(rows, found, np.arange(5)) == {"labelled_en": 0.5}


def test_the_rule_is_measured_by_kind_of_row() -> None:
    class Flags:
        def score(self, texts: list[str]) -> list[dict[str, float]]:
            return [dict.fromkeys(LABELS, 1.0 if "bad" in text else 0.0) for text in texts]

    rows = [
        {"text": text, "source": source, "lang": "en", "toxicity": toxicity}
        for text, source, toxicity in (
            ("bad", "cold", 1.0),
            ("fine", "cold", 1.0),
            ("bad", "cold", 0.0),
            ("bad", "own_grief", 0.0),
            ("fine", "own_titles", 0.0),
            ("fine", "own_titles", 0.0),
            ("bad", "own_threat", 1.0),
            ("bad", "own_threat", None),
        )
    ]
    assert trainer.measure_rule(Flags(), rows) == {  # type: ignore[arg-type]
        "composed_caught": 1.0,
        "composed_flagged": 0.5,  # the mean over kinds
        "labelled_caught": 0.5,
        "labelled_flagged": 1.0,
    }


def test_training_without_data_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"train\.jsonl\.gz"):
        trainer.train(tmp_path, tmp_path / "out", minutes=1, seed=1)


def test_rows_that_say_what_a_measured_row_says_are_dropped_and_no_others() -> None:
    rows = [{"text": text} for text in ("You, idiot!", "you idiot 2", "一个 白痴。", "…", "a quiet film")]
    measured = {trainer.comparable(text) for text in ("you IDIOT", "一个白痴")}
    assert [row["text"] for row in trainer.without_measured(rows, measured)] == ["you idiot 2", "…", "a quiet film"]
