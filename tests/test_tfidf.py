"""Tfidf computes what scikit-learn's TfidfVectorizer does."""

from __future__ import annotations

import math

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from genrec.tfidf import STOP_WORDS, Tfidf


def test_weights_are_those_of_scikit_learn(catalogue):
    texts = [f"{item.title} {item.pitch}" for item in catalogue.items[::5]] + ["", "a a a b"]
    ours, theirs = Tfidf(texts, str.split), TfidfVectorizer(analyzer=str.split, sublinear_tf=True)
    matrix = theirs.fit_transform(texts)
    assert ours.vocabulary.keys() == theirs.vocabulary_.keys()
    order = [ours.vocabulary[word] for word in theirs.get_feature_names_out()]
    np.testing.assert_allclose(ours.matrix[:, order].todense(), matrix.todense(), atol=1e-6)
    asked = ["the sea and the sea", "unheard-of", ""]
    np.testing.assert_allclose(ours.rows(asked)[:, order].todense(), theirs.transform(asked).todense(), atol=1e-6)


def test_a_rare_word_weighs_more_and_rows_have_unit_length():
    tfidf = Tfidf(["sea", "sea cave"], str.split)
    rare, common = math.log(3 / 2) + 1, 1.0
    row = tfidf.matrix[1].toarray()[0]
    np.testing.assert_allclose(row, np.array([common, rare]) / math.hypot(common, rare), rtol=1e-6)
    assert Tfidf([""], str.split).rows(["sea"]).shape == (1, 1)


def test_stop_words_are_those_of_scikit_learn():
    assert STOP_WORDS == ENGLISH_STOP_WORDS
