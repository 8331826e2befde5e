"""The measures of the recommender, worked out by hand, and the training of its ranker on answers that are known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from genrec.errors import InputError
from genrec.evaluate.recommender import as_table, count_repeats, inventions, resumed
from genrec.schema import Mention, Reply
from genrec.store import Feedback, Store
from genrec.train.corpus import Corpus
from genrec.train.data import read_rows
from genrec.train.ranker import (
    LEARNED,
    Query,
    _lists,
    cross_validated,
    film_queries,
    fit,
    liked_together,
    listen,
    means,
    measures,
    ranked_by,
    read_films,
    track_queries,
    with_together,
)


def query(features, liked, *, dialogue="d", groups=None, num_liked=None, seeds=()):
    liked = np.array(liked, bool)
    full = np.zeros((len(liked), len(LEARNED)), np.float32)
    full[:, : np.shape(features)[1]] = features
    groups = np.arange(len(liked)) if groups is None else np.array(groups)
    return Query(dialogue, dialogue, np.arange(len(liked)), full, liked, groups, num_liked or int(liked.sum()), seeds)


@pytest.mark.parametrize(
    ("liked", "order", "num_liked", "expected"),
    [
        ([1, 0, 0, 0], [0, 1, 2, 3], None, (1.0, 1.0, 1.0)),
        ([1, 0, 0, 0], [1, 0, 2, 3], None, (1.0, 1.0, 1 / math.log2(3))),
        ([1, 1, 0, 0], [2, 0, 3, 1], None, (0.5, 1.0, (1 / math.log2(3)) / (1 + 1 / math.log2(3)))),
        ([1, 0, 0, 0], [1, 2, 3, 0], None, (0.0, 0.0, 0.0)),
        ([1, 0, 0, 0], [0, 1, 2, 3], 2, (0.5, 1.0, 1 / (1 + 1 / math.log2(3)))),  # the other liked one may not come
        ([0, 0, 0, 0], [0, 1, 2, 3], None, (0.0, 0.0, 0.0)),
    ],
)
def test_recall_hit_and_ndcg_are_those_worked_out_by_hand(liked, order, num_liked, expected):
    one = query(np.zeros((4, 1)), liked, num_liked=num_liked)
    assert measures(one, np.array(order), at=3) == pytest.approx(expected)


def test_takes_of_one_song_count_once():
    one = query(np.zeros((4, 1)), [1, 1, 0, 1], groups=[7, 7, 8, 9], num_liked=2)
    assert measures(one, np.array([0, 1, 2, 3]), at=2) == pytest.approx((0.5, 1.0, 1 / (1 + 1 / math.log2(3))))


def test_a_mean_comes_with_its_standard_error_in_which_turns_of_a_dialogue_count_as_one():
    rows = [[0.0, 1.0], [1.0, 1.0]]
    assert means(rows, ["a", "b"]) == [(0.5, pytest.approx(0.5)), (1.0, 0.0)]
    assert means(rows * 3, ["a", "b"] * 3) == [(0.5, pytest.approx(0.5)), (1.0, 0.0)]
    assert means([[1.0]], ["a"]) == [(1.0, 0.0)]


def planted(weights, *, num_queries, seed):
    rng = np.random.default_rng(seed)
    queries = []
    for number in range(num_queries):
        features = rng.normal(size=(60, len(weights))).astype(np.float32)
        chosen = np.argmax(features @ np.array(weights) + rng.gumbel(size=60))  # a draw from the softmax
        queries.append(query(features, np.arange(60) == chosen, dialogue=f"d{number}"))
    return queries


def test_fitting_finds_the_weights_that_made_the_choices():
    found = fit([_lists(planted([1.5, 0.5, 0.0], num_queries=600, seed=3))], ridge=0.0)
    assert found[:3] == pytest.approx([1.5, 0.5, 0.0], abs=0.2)


def test_a_query_is_ranked_by_weights_that_saw_no_query_of_its_dialogue():
    """Two dialogues that like opposite things: each is ranked by what the other taught."""
    first = [query([[3, 0], [0, 3], [0, 0]], [1, 0, 0], dialogue="a") for _ in range(4)]
    second = [query([[3, 0], [0, 3], [0, 0]], [0, 1, 0], dialogue="b") for _ in range(4)]
    (ranked,) = cross_validated([first + second], ridge=0.1, seed=1, num_folds=2)
    assert [row[0] for row in ranked] == [1] * 4 + [0] * 4


def test_what_is_liked_together_is_what_the_store_would_say():
    likes = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 0], [0, 1, 1, 1], [1, 0, 0, 1]], np.float32)
    store = Store()
    for user, row in enumerate(likes):
        for item in np.flatnonzero(row):
            store.add(Feedback(str(user), str(item), "like"))
    told = store.liked_together(["0", "3"])
    assert told and liked_together(likes, (0, 3)) == pytest.approx([told.get(str(item), 0.0) for item in range(4)])
    assert not liked_together(likes, ()).any()


def test_a_dialogue_does_not_tell_itself_what_is_liked_together():
    none = np.zeros((3, 1))
    asked, *others = (query(none, [0, 1, 0], dialogue=name, seeds=(0,)) for name in "abc")
    place = LEARNED.index("together")
    (told,) = with_together([asked], [asked, *others])
    assert told.features[:, place].argmax() == 1 and not asked.features.any()
    (alone,) = with_together([asked], [asked, others[0]])  # its own like would make two
    assert not alone.features.any()


def test_equal_scores_keep_the_order_of_the_catalogue():
    assert ranked_by(query(np.zeros((3, 1)), [1, 0, 0]), np.ones(len(LEARNED))).tolist() == [0, 1, 2]


FILMS = [
    {"id": "f1", "title": "Far Out", "year": 1995, "genres": ["sci-fi"], "directors": ["Ann Lee"], "stars": ["Bo Ek", "Cy Fox"], "mentions_outside_eval": 9},
    {"id": "f2", "title": "Farther Out", "year": 2015, "genres": ["sci-fi"], "directors": ["Ann Lee"], "stars": ["Bo Ek"], "mentions_outside_eval": 0},
    {"id": "f3", "title": "Broth", "year": 1999, "genres": ["comedy"], "directors": ["Di Ray"], "stars": [], "mentions_outside_eval": 3},
    {"id": "f4", "title": "", "year": 1999, "genres": ["comedy"], "directors": [], "stars": [], "mentions_outside_eval": 0},
]  # fmt: skip
DIALOGUE = {
    "id": "r1", "context": [{"role": "system", "text": "Have you seen Broth (1999)?"}, {"role": "user", "text": "I loved Far Out (1995), something like it"}],
    "seed_items": [{"id": "f1"}], "liked": [{"id": "f2"}],
}  # fmt: skip
TRACKS = [
    {"id": f"t{number}", "title": title, "artists": [artist], "release": "", "cluster": cluster}
    for number, (title, artist, cluster) in enumerate(
        [
            ("Blue Rain", "Ada", "c0"),
            ("Blue Rain (Live)", "Ada", "c0"),
            ("Slow Sun", "Ada", "c1"),
            ("Loud", "Kit", "c2"),
        ]
    )
]
TURNS = [
    {"id": "p:0", "context": [{"role": "user", "text": "Some songs by Ada"}], "liked": [{"id": "t0", "cluster": "c0"}, {"id": "t2", "cluster": "c1"}],
     "liked_this_turn": [{"id": "t2"}], "disliked_this_turn": [{"id": "t3"}]},
    {"id": "p:1", "context": [{"role": "user", "text": "Some songs by Ada"}, {"role": "system", "text": "Here"}, {"role": "user", "text": "More please"}],
     "liked": [{"id": "t0", "cluster": "c0"}], "liked_this_turn": [{"id": "t0"}], "disliked_this_turn": []},
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for name, rows in (
        ("items_redial_movies", FILMS),
        ("redial_movie_en_dev", [DIALOGUE]),
        ("items_cpcd_tracks", TRACKS),
        ("cpcd_music_en_dev", TURNS),
    ):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return tmp_path


def test_a_dialogue_is_read_as_the_assistant_reads_it(folder, vocabulary):
    profile, message, turn, previous = listen(DIALOGUE["context"], read_films(folder), vocabulary)
    assert (profile.liked, profile.shown, message, turn) == (("f1",), ("f3",), DIALOGUE["context"][1]["text"], 1)
    assert previous == DIALOGUE["context"][0]["text"]


def test_of_films_those_that_were_named_may_not_come(folder, encoder, vocabulary):
    (one,) = film_queries(folder, encoder, vocabulary)
    assert (one.rows.tolist(), one.liked.tolist(), one.num_liked) == ([1], [True], 1)


def test_of_tracks_earlier_turns_are_known_and_this_turn_is_not(folder, encoder, vocabulary):
    first, second = track_queries(folder, encoder, vocabulary)
    assert first.rows.tolist() == [0, 1, 2, 3] and first.liked.tolist() == [True, True, True, False]
    assert second.rows.tolist() == [0, 1] and second.num_liked == 1 and second.dialogue == first.dialogue


def test_popularity_is_on_a_log_scale_of_mentions(folder):
    assert [item.popularity for item in read_films(folder).items] == pytest.approx(
        [5.0, 1.0, 1 + 4 * math.log(4) / math.log(10)]
    )


def test_a_folder_without_the_rows_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        read_rows(tmp_path / "nowhere.jsonl")


def test_a_title_that_the_catalogue_lacks_counts_unless_it_is_marked(assistant, catalogue):
    known = catalogue.items[0]
    there = Mention(known.title, 0, 1, known)
    assert inventions(Reply(text=f"Try **{known.title}**.", mentions=(there,)), assistant) == 0
    assert inventions(Reply(text="Try **Zorblax Rises**."), assistant) == 1
    marked = Reply(text="Try **Zorblax Rises** (not in the catalogue).", mentions=(Mention("Zorblax Rises", 0, 1),))
    assert inventions(marked, assistant) == 0
    assert inventions(Reply(text="", mentions=(Mention("Zorblax Rises", 0, 1, known),)), assistant) == 1


def test_an_engine_that_names_what_was_rejected_is_found_out(make_assistant, scripted, catalogue, vocabulary):
    corpus = Corpus(catalogue, vocabulary, held_out=True)
    stubborn = make_assistant(scripted(["Try **Spirited Away**. Or **千与千寻**。"]))
    assert count_repeats(stubborn, corpus, num_dialogues=1, seed=1) == (1, 1)
    silent = make_assistant(scripted(["Nothing today."]))
    assert count_repeats(silent, corpus, num_dialogues=1, seed=1) == (0, 1)


def test_a_run_that_was_broken_off_goes_on_where_it_stopped(tmp_path):
    kept, tried = tmp_path / "kept.jsonl", []

    def outcome(number):
        if number == 2 and len(tried) == 2:
            raise KeyboardInterrupt
        tried.append(number)
        return number % 2

    with pytest.raises(KeyboardInterrupt):
        resumed(outcome, 4, key="a", kept=kept)
    kept.write_text(kept.read_text("utf-8") + '\n{"key": "a", "num', "utf-8")  # the last line was cut short
    tried.append(-1)
    assert resumed(outcome, 4, key="b", kept=kept) == [0, 1, 0, 1] and tried[3:] == [0, 1, 2, 3]
    assert resumed(outcome, 4, key="a", kept=kept) == [0, 1, 0, 1] and tried[7:] == [2, 3]


def test_the_table_shows_value_error_goal_and_floor():
    table = as_table(
        [
            {"set": "ReDial", "measure": "recall@10", "value": 0.1623, "error": 0.017, "of": 191, "floor": "popularity .057", "goal": 0.18},
            {"set": "GenRec", "measure": "repeats", "value": 0, "error": 0.0075, "of": 500, "floor": "", "goal": 0},
        ]
    ).splitlines()  # fmt: skip
    assert "0.162  ± 0.017" in table[1] and "0.18" in table[1] and table[1].endswith("popularity .057")
    assert " 0  ≤ 0.8%" in table[2] or " 0  ≤ 0.7%" in table[2]
