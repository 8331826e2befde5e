"""The bundled encoder, loaded as the app loads it: from its folder, without a network."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from genrec.catalogue import Catalogue, read_catalogue
from genrec.retrieval import item_text
from genrec.train.corpus import is_held_out
from genrec.train.encoder import (
    GLOSSARY,
    Wishes,
    build_tokenizer,
    held_out_wishes,
    read_glossary,
    read_ways,
    recall_at_10,
)
from genrec.vocabulary import Vocabulary

ASSETS = Path(__file__).resolve().parents[1] / "assets"
FOLDER = ASSETS / "models" / "encoder"
TRANSLATIONS = (
    ("a funny film for the whole family", "适合全家看的搞笑电影"),
    ("spicy noodles for dinner", "晚饭想吃辣的面条"),
    ("quiet piano music for studying", "学习时听的安静钢琴曲"),
    ("a detective novel with a twist", "有反转的侦探小说"),
    ("hiking in the mountains in autumn", "秋天去山里徒步"),
    ("learn programming from zero", "零基础学编程"),
    ("a cooperative board game for two", "两个人玩的合作桌游"),
    ("a birthday gift for my mother who likes tea", "送给爱喝茶的妈妈的生日礼物"),
)


@pytest.fixture(scope="module")
def encoder() -> SentenceTransformer:
    return SentenceTransformer(str(FOLDER), device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return read_catalogue(ASSETS / "catalogue")


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load(ASSETS / "catalogue" / "vocabulary.json")


@pytest.fixture(scope="module")
def documents(encoder, catalogue, vocabulary) -> np.ndarray:
    return encoder.encode([item_text(item, vocabulary) for item in catalogue.items])


def nearest(encoder, catalogue, documents, wish: str, count: int = 10):
    order = np.argsort(-(documents @ encoder.encode(wish)), kind="stable")[:count]
    return [catalogue.items[position] for position in order]


def test_a_chinese_wish_lands_nearest_its_english_translation(encoder):
    english = encoder.encode([pair[0] for pair in TRANSLATIONS])
    chinese = encoder.encode([pair[1] for pair in TRANSLATIONS])
    similarity = chinese @ english.T
    assert similarity.argmax(axis=1).tolist() == list(range(len(TRANSLATIONS)))
    assert similarity.argmax(axis=0).tolist() == list(range(len(TRANSLATIONS)))


@pytest.mark.parametrize("wish", ["科幻电影", "science fiction film"])
def test_a_wish_for_science_fiction_films_finds_them_first(encoder, catalogue, documents, wish):
    found = nearest(encoder, catalogue, documents, wish, 5)
    assert all("science fiction" in item.tags for item in found) and sum(item.kind == "film" for item in found) >= 4


@pytest.mark.parametrize(
    ("wish", "kind", "tag"),
    [
        ("想吃面条", "dish", "noodles"),
        ("something with noodles to eat, a dish", "dish", "noodles"),
        ("推荐几张爵士专辑", "album", "jazz"),
        ("jazz albums", "album", "jazz"),
        ("合作类的桌游", "game", "cooperative"),
        ("编程课", "course", "programming"),
        ("programming courses for a beginner", "course", "programming"),
        ("有温泉的地方", "place", "hot springs"),
    ],
)
def test_most_of_the_first_items_are_of_the_wanted_kind_and_tag(encoder, catalogue, documents, wish, kind, tag):
    num_answers = sum(item.kind == kind and tag in item.tags for item in catalogue.items)
    found = nearest(encoder, catalogue, documents, wish, min(5, num_answers))
    assert sum(item.kind == kind and tag in item.tags for item in found) >= 0.6 * len(found)


@pytest.mark.parametrize("stranger", ["\U00020000", "龘", "ꙮ", "🎬"])
def test_an_unknown_character_does_not_blank_the_text_around_it(encoder, stranger):
    plain, whole, marked, other = encoder.encode(["科幻 电影", "科幻电影", f"科幻{stranger}电影", "番茄炒蛋"])
    assert plain @ marked > 0.999  # the same two words; "科幻电影" in one piece is a word of its own
    assert whole @ marked > whole @ other + 0.3


@pytest.mark.parametrize("text", ["", " ", "。", "的", "\U00020000", "please"])
def test_a_text_that_says_nothing_gives_a_finite_vector(encoder, text):
    vector = encoder.encode(text)
    assert vector.shape == (encoder.get_embedding_dimension(),)
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) <= 1 + 1e-5


def test_an_empty_text_among_others_leaves_them_unchanged(encoder):
    texts = ["", "a warm film", "", "温暖的电影"]
    together = encoder.encode(texts)
    np.testing.assert_allclose(together, np.stack([encoder.encode(text) for text in texts]), atol=1e-6)


def test_vectors_are_of_unit_length_and_single_precision(encoder):
    vectors = encoder.encode(["a quiet book", "安静的书", "Amélie", "ＳＦ　ｆｉｌｍ"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_words_of_courtesy_do_not_move_a_wish(encoder):
    for bare, polite in (
        ("科幻电影", "请给我推荐一些科幻电影吧"),
        ("science fiction films", "Could you please recommend me some science fiction films?"),
    ):
        first, second = encoder.encode([bare, polite])
        assert first @ second > 0.9


def test_case_accents_and_full_width_letters_do_not_matter(encoder):
    first, *others = encoder.encode(["amelie film", "AMÉLIE Film", "ａｍｅｌｉｅ　ｆｉｌｍ"])
    for other in others:
        assert first @ other > 0.999


def test_the_tokenizer_takes_the_longest_words_and_keeps_unknown_characters_apart():
    tokenizer = build_tokenizer(["[UNK]", "科幻", "科幻电影", "电影", "科", "幻", "film", "fil", "m", "s"])
    assert tokenizer.encode("科幻电影", add_special_tokens=False).tokens == ["科幻电影"]
    assert tokenizer.encode("films科幻", add_special_tokens=False).tokens == ["film", "s", "科幻"]
    assert tokenizer.encode("科幻龘电影", add_special_tokens=False).tokens == ["科幻", "龘", "电影"]


def test_recall_counts_the_answers_among_the_first_ten():
    scores = np.array([[5.0, 4.0, 3.0], [1.0, 2.0, 3.0]])
    assert recall_at_10(scores, [(0,), (1, 2)]) == 1.0
    many = np.arange(20.0)[None, :]  # the best ten are 10 … 19
    assert recall_at_10(many, [(0, 19)]) == 0.5
    assert recall_at_10(many, [tuple(range(20))]) == 1.0
    assert recall_at_10(many, [(0,)]) == 0.0


def test_training_never_asks_for_a_held_out_pair(catalogue):
    ways = read_ways(ASSETS / "catalogue" / "vocabulary.json")
    source = Wishes(catalogue.items, ways, 1)
    held_out, training = set(source.pairs(held_out=True)), set(source.pairs(held_out=False))
    assert held_out and training and not held_out & training
    assert all(is_held_out("/".join(pair)) for pair in held_out)


def test_the_glossary_has_three_thousand_words_and_no_word_twice():
    lines = GLOSSARY.read_text("utf-8").splitlines()
    assert len(lines) == len(read_glossary(GLOSSARY)) >= 3000
    assert all(line.count("\t") == 1 for line in lines)


def test_the_card_names_the_hash_of_every_file():
    card = json.loads((FOLDER / "card.json").read_text("utf-8"))
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()} - {"card.json"}
    assert set(card["sha256"]) == files
    for name, expected in card["sha256"].items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == expected


def test_the_recall_on_the_card_still_holds(encoder, catalogue, documents):
    card = json.loads((FOLDER / "card.json").read_text("utf-8"))
    wishes = held_out_wishes(catalogue.items, read_ways(ASSETS / "catalogue" / "vocabulary.json"), card["seed"], 300)
    for language, texts in (("en", [wish.english for wish in wishes]), ("zh", [wish.chinese for wish in wishes])):
        measured = recall_at_10(encoder.encode(texts) @ documents.T, [wish.answers for wish in wishes])
        assert (
            measured >= card["figures"][f"recall_at_10_{language}"] - 0.05
        )  # the catalogue may have changed a little since


def test_the_folder_is_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 12e6


def test_reading_the_folder_gives_single_precision_weights(encoder):
    assert all(weight.dtype == torch.float32 for weight in encoder.parameters())
