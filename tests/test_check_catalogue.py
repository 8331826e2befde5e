"""The checker finds the fact that differs, tells namesakes apart, and passes only what is explained and broad enough."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from genrec.schema import KINDS, Item
from genrec.train.check_catalogue import (
    MIN_COUNTRIES,
    MIN_ITEMS,
    NOTE_COLUMNS,
    NOTES,
    Entry,
    breadth_problems,
    compare,
    differences,
    is_same_name,
    less_known_share,
    main,
    read_notes,
    read_tables,
)
from genrec.vocabulary import Vocabulary

HEAT = Item("film-heat", "film", "Heat", "盗火线", "Michael Mann", "迈克尔·曼", 1995, "United States")
EMMA = Item("book-emma", "book", "Emma", "爱玛", "Jane Austen", "简·奥斯汀", 1815, "United Kingdom")
BLUE = Item("album-blue", "album", "Blue", "蓝", "Joni Mitchell", "琼尼·米切尔", 1971, attributes={"tracks": 10})
PARK = Item("place-park", "place", "Jingshan Park", "景山公园", country="China")
WORDS = Vocabulary(
    {"countries": {"China": {"zh": "中国"}, "Taiwan": {"zh": "中国台湾"}, "United States": {"zh": "美国"}}}
)


def redial(title: str, year: int | None, *directors: str) -> dict:
    return {"title": title, "year": year, "directors": list(directors)}


def goodbook(title: str, year: int | None, authors: str) -> dict:
    return {"title": title, "year": year, "authors": authors}


def kdconv(domain: str, name: str, **attributes: str) -> dict:
    return {"domain": domain, "name": name, "attrs": {key: [value] for key, value in attributes.items()}}


def film(title: str, *, year: int | None = None, directors: tuple[str, ...] = ()) -> Entry:
    return Entry("redial_movies", "film", title, directors, () if year is None else (year,))


def broad_items() -> list[Item]:
    """Made-up items that just meet every demand on breadth: two in five of a kind are below the top."""
    return [
        Item(
            f"{kind}-{number}",
            kind,
            f"{kind} number {number}",
            country=f"Country {number % MIN_COUNTRIES}",
            popularity=3.9 if number % 5 < 2 else 4.0,
        )
        for kind in KINDS
        for number in range(MIN_ITEMS)
    ]


@pytest.fixture
def check(tmp_path) -> Callable[..., int]:
    """Runs the script on a broad catalogue plus these items, these tables and notes; returns the exit status."""

    def run(*items: Item, notes: tuple[tuple[str, ...], ...] = (), options: tuple[str, ...] = (), **tables: list[dict]):
        catalogue, data = tmp_path / "catalogue", tmp_path / "data"
        catalogue.mkdir()
        data.mkdir()
        names = ("id", "kind", "title", "title_zh", "creator", "creator_zh", "year", "country", "popularity")
        rows = [{name: getattr(item, name) for name in names} for item in [*broad_items(), *items]]
        write(catalogue / "all.jsonl", rows)
        (catalogue / "vocabulary.json").write_text("{}")
        for table, rows in tables.items():
            write(data / f"items_{table}.jsonl", rows)
        lines = ["\t".join(cells) for cells in (NOTE_COLUMNS, *notes)]
        (tmp_path / "notes.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return main(
            ["--data", str(data), "--catalogue", str(catalogue), "--notes", str(tmp_path / "notes.tsv"), *options]
        )

    def write(path, rows):
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")

    return run


@pytest.fixture
def entries(tmp_path):
    """The entries that a table of these rows gives."""

    def read(table, *rows):
        path = tmp_path / f"items_{table}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_tables(tmp_path)[table]

    return read


# --- The script as a whole


def test_facts_that_agree_pass_with_the_number_of_items_each_table_has(check, capsys):
    assert (
        check(
            HEAT,
            EMMA,
            redial_movies=[redial("Heat", 1995, "Michael Mann"), redial("Other", 1995, "Michael Mann")],
            goodbooks=[goodbook("Emma", 1815, "Jane Austen")],
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "redial_movies: 1 items matched\n" in out and "goodbooks: 1 items matched\n" in out
    assert "cpcd_tracks: not there\n" in out
    assert "0 mismatches" in out and f"{MIN_COUNTRIES + 2} countries" in out
    assert f"album: {MIN_ITEMS} items, 40% outside the top" in out


def test_a_wrong_year_is_printed_with_both_sides_and_fails(check, capsys):
    assert check(HEAT, redial_movies=[redial("Heat", 1986, "Michael Mann")]) == 1
    out = capsys.readouterr().out
    assert "MISMATCH\tfilm-heat\tHeat\tyear\t1995\t1986\tredial_movies\n" in out
    assert "1 mismatches, 0 explained, 1 not" in out


def test_an_explained_mismatch_passes_and_shows_its_reason(check, capsys):
    note = ("film-heat", "year", "1995", "1986", "another cut")
    assert check(HEAT, notes=(note,), redial_movies=[redial("Heat", 1986, "Michael Mann")]) == 0
    out = capsys.readouterr().out
    assert "explained\tfilm-heat\tHeat\tyear\t1995\t1986\tredial_movies\tanother cut\n" in out
    assert "1 mismatches, 1 explained, 0 not" in out and "unused note" not in out


@pytest.mark.parametrize("position", range(4))
def test_a_note_about_anything_else_explains_nothing_and_is_called_unused(check, capsys, position):
    note = ["film-heat", "year", "1995", "1986", "another cut"]
    note[position] += "x"
    assert check(HEAT, notes=(tuple(note),), redial_movies=[redial("Heat", 1986, "Michael Mann")]) == 1
    assert "unused note\t" + "\t".join(note[:4]) in capsys.readouterr().out


def test_another_work_of_the_same_title_passes_and_is_listed_on_request(check, capsys):
    assert check(HEAT, options=("--namesakes",), redial_movies=[redial("Heat", 1972, "Paul Morrissey")]) == 0
    out = capsys.readouterr().out
    assert "another work\tfilm-heat\tHeat\tcreator\tMichael Mann\tPaul Morrissey\tredial_movies\n" in out
    assert "redial_movies: 0 items matched" in out


def test_a_catalogue_that_is_not_broad_enough_fails(check, capsys):
    twin = Item("film-twin", "film", "FILM number 7!")
    assert check(twin, redial_movies=[redial("Heat", 1995, "Michael Mann")]) == 1
    assert "PROBLEM\tfilm 'film number 7' (None) is there 2 times" in capsys.readouterr().out


def test_a_row_of_the_catalogue_that_cannot_be_read_fails(check, capsys):
    assert check(replace(HEAT, id="film-1"), redial_movies=[redial("Heat", 1995, "Michael Mann")]) == 1
    assert "the id 'film-1' is used twice" in capsys.readouterr().out


# --- What cannot be read


def test_a_missing_folder_is_one_line_and_status_2(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "nowhere")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "nowhere does not exist" in err


def test_a_folder_without_tables_is_status_2_instead_of_a_pass(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 2
    assert "none of the tables" in capsys.readouterr().err


@pytest.mark.parametrize("broken", ["{", "[]", '{"title": "Heat"}'])
def test_a_table_line_that_cannot_be_read_is_named(tmp_path, capsys, broken):
    good = json.dumps(redial("Heat", 1995, "Michael Mann"))
    (tmp_path / "items_redial_movies.jsonl").write_text(f"{good}\n{broken}\n")
    assert main(["--data", str(tmp_path)]) == 2
    assert "items_redial_movies.jsonl line 2 cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("note", "said"),
    [(("film-heat", "year", "1995", "1986"), "line 2"), (("film-heat", "year", "1995", "1986", " "), "line 2")],
)
def test_a_note_without_a_reason_is_status_2(check, capsys, note, said):
    assert check(HEAT, notes=(note,), redial_movies=[redial("Heat", 1986, "Michael Mann")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"), [(None, "cannot be read"), ("", "cannot be read"), ("a\tb\n", "columns must be")]
)
def test_notes_that_are_none_are_status_2(tmp_path, capsys, text, said):
    (tmp_path / "items_redial_movies.jsonl").write_text(json.dumps(redial("Heat", 1995, "Michael Mann")))
    if text is not None:
        (tmp_path / "notes.tsv").write_text(text)
    assert main(["--data", str(tmp_path), "--notes", str(tmp_path / "notes.tsv")]) == 2
    assert said in capsys.readouterr().err


# --- Every table, every field


@pytest.mark.parametrize(
    ("item", "table", "row", "mismatch"),
    [
        (HEAT, "redial_movies", redial("Heat", 1995, "Ridley Scott"), ("creator", "Michael Mann", "Ridley Scott")),
        (HEAT, "redial_movies", redial("Heat", 1994), ("year", "1995", "1994")),
        (
            replace(HEAT, attributes={"runtime_min": 170}),
            "taurec_movies",
            {"title": "Heat", "year": 1995, "runtime": 176, "director": "Michael Mann"},
            ("runtime_min", "170", "176"),
        ),
        (EMMA, "goodbooks", goodbook("Emma (Penguin Classics)", 1816, "Jane Austen"), ("year", "1815", "1816")),
        (
            replace(EMMA, year=-500),
            "goodbooks",
            goodbook("Emma", -600, "Jane Austen, Ann Translator"),
            ("year", "-500", "-600"),
        ),
        (BLUE, "cpcd_tracks", {"release": "Blue", "artists": ["Eiffel 65"]}, ("creator", "Joni Mitchell", "Eiffel 65")),
        (
            HEAT,
            "sgd",
            {"service": "Movies_3", "name": "Heat", "attrs": {"directed_by": "A B"}},
            ("creator", "Michael Mann", "A B"),
        ),
        (
            BLUE,
            "sgd",
            {"service": "Music_3", "name": "River", "attrs": {"album": "Blue", "artist": "A B"}},
            ("creator", "Joni Mitchell", "A B"),
        ),
        (
            HEAT,
            "kdconv_zh",
            kdconv("film", "盗火线（1993年迈克尔·曼执导电影）"),
            None,
        ),  # the gloss alone may be of anything
        (
            HEAT,
            "kdconv_zh",
            kdconv("film", "盗火线", 导演="迈克尔·曼", 上映时间="1996年02月01日"),
            ("year", "1995", "1996"),
        ),
        (
            HEAT,
            "kdconv_zh",
            kdconv("film", "盗火线", 制片地区="法国，德国"),
            ("country", "United States", "法国，德国"),
        ),
        (
            replace(HEAT, attributes={"runtime_min": 170}),
            "kdconv_zh",
            kdconv("film", "盗火线", 片长="101分钟、97分钟"),
            ("runtime_min", "170", "101 / 97"),
        ),
        (HEAT, "kdconv_zh", kdconv("film", "盗火线", 上映日期="1996年"), ("year", "1995", "1996")),
        (HEAT, "kdconv_zh", kdconv("film", "盗火线（1996年电影）", 导演="迈克尔·曼"), ("year", "1995", "1996")),
        (BLUE, "kdconv_zh", kdconv("music", "蓝（1972年专辑）", 制作人="别人"), ("year", "1971", "1972")),
        (BLUE, "kdconv_zh", kdconv("music", "Blue", 曲目数量="12首"), ("tracks", "10", "12")),
        (
            BLUE,
            "kdconv_zh",
            kdconv("music", "blue（专辑）", 发行时间="1972年"),
            ("year", "1971", "1972"),
        ),
        (replace(PARK, country="Taiwan"), "kdconv_zh", kdconv("travel", "景山公园"), ("country", "Taiwan", "中国")),
        (
            replace(PARK, country="United States"),
            "crosswoz_zh",
            {"domain": "景点", "name": "景山公园"},
            ("country", "United States", "中国"),
        ),
    ],
)
def test_the_field_that_differs_is_found_and_only_that(entries, item, table, row, mismatch):
    found = compare([item], {table: entries(table, row)}, WORDS)
    assert [(one.field, one.ours, one.theirs) for one in found.mismatches] == ([mismatch] if mismatch else [])
    assert found.matched[table] == ({item.id} if mismatch else set())


@pytest.mark.parametrize(
    ("item", "table", "row"),
    [
        (EMMA, "goodbooks", goodbook("Emma", None, "Jane Austen, Fiona Stafford")),
        (HEAT, "redial_movies", redial("Heat", None)),
        (HEAT, "kdconv_zh", kdconv("film", "盗火线", 职业="演员", 出生日期="1943年")),  # a person
        (BLUE, "kdconv_zh", kdconv("music", "蓝", 歌曲原唱="别人", 发行时间="1990年")),  # a song
        (HEAT, "kdconv_zh", kdconv("film", "盗火线", 上映时间="1996年", 出品时间="1995年", 制片地区="美国")),
        (replace(HEAT, country="Taiwan"), "kdconv_zh", kdconv("film", "盗火线", 制片地区="台湾")),
        (
            replace(HEAT, attributes={"runtime_min": 170}),
            "taurec_movies",
            {"title": "Heat", "year": 1995, "runtime": 175, "director": "Michael Mann"},
        ),
        (replace(PARK, country="Taiwan"), "crosswoz_zh", {"domain": "酒店", "name": "景山公园"}),  # a hotel
        (HEAT, "cpcd_tracks", {"release": "Heat", "artists": ["Somebody"]}),  # an album
        (BLUE, "sgd", {"service": "Music_3", "name": "Blue", "attrs": {"artist": "Somebody"}}),  # a song
        (BLUE, "sgd", {"service": "Events_3", "name": "Blue", "attrs": {"album": "Blue", "artist": "Somebody"}}),
    ],
)
def test_what_is_missing_or_no_work_of_the_kind_is_no_mismatch(entries, item, table, row):
    assert compare([item], {table: entries(table, row)}, WORDS).mismatches == set()


# --- Namesakes, titles, names


@pytest.mark.parametrize(
    ("year", "director", "differing"),
    [
        (1972, "Paul Morrissey", set()),
        (1998, "Paul Morrissey", set()),
        (1997, "Paul Morrissey", {"creator", "year"}),
        (1995, "Paul Morrissey", {"creator"}),
        (1972, "Michael Mann", {"year"}),
    ],
)
def test_only_another_maker_at_another_time_makes_another_work(year, director, differing):
    found = compare([HEAT], {"redial_movies": [film("Heat", year=year, directors=(director,))]}, WORDS)
    assert {mismatch.field for mismatch in found.mismatches} == differing
    assert bool(found.namesakes) == (differing == set())


@pytest.mark.parametrize(
    ("kind", "ours", "theirs", "is_match"),
    [
        ("film", "The Lobster", "lobster", True),
        ("film", "Léon", "Leon (1994)", True),
        ("film", "Harold & Maude", "Harold and Maude", True),
        ("film", "时光漫步", "时光·漫步（许巍专辑）", True),
        ("book", "Sapiens", "Sapiens: A Brief History of Humankind", True),
        ("book", "Walden: or, Life in the Woods", "Walden", True),
        ("film", "Mission", "Mission: Impossible", False),
        ("film", "Solaris", "Stalker", False),
    ],
)
def test_titles_match_without_article_accent_bracket_and_a_books_subtitle(kind, ours, theirs, is_match):
    item = Item("x", kind, ours, creator="A Maker")
    found = compare([item], {"t": [Entry("t", kind, theirs, ("Other Person",))]}, WORDS)
    assert bool(found.mismatches) == is_match


@pytest.mark.parametrize(
    ("theirs", "year", "director", "is_misspelt"),
    [
        ("Tampopo", 1985, "Juzo Itami", True),
        ("Tampopo", 1986, "Juzo Itami", False),
        ("Tampopo", 1985, "Somebody Else", False),
        ("The Funeral", 1985, "Juzo Itami", False),
        ("Tamppo", 1985, "Juzo Itami", False),  # ours itself
    ],
)
def test_a_misspelt_title_is_found_by_its_maker_and_year(theirs, year, director, is_misspelt):
    item = Item("x", "film", "Tamppo", creator="Juzo Itami", year=1985)
    found = compare([item], {"redial_movies": [film(theirs, year=year, directors=(director,))]}, WORDS)
    assert {mismatch.field for mismatch in found.mismatches} == ({"title"} if is_misspelt else set())


def test_all_our_makers_must_be_among_theirs_but_not_the_other_way_round():
    pair = replace(HEAT, creator="Joel Coen and Ethan Coen", creator_zh="")
    both, one = film("Heat", directors=("Ethan Coen", "Joel Coen")), film("Heat", directors=("Joel Coen",))
    assert differences(pair, both, WORDS) == {}
    assert set(differences(pair, one, WORDS)) == {"creator"}
    assert differences(replace(HEAT, creator="Ethan Coen"), both, WORDS) == {}


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("Bong Joon-ho", "Joon Ho Bong", True),
        ("J.R.R. Tolkien", "J. R. R. Tolkien", True),
        ("J.R.R. Tolkien", "John Tolkien", True),
        ("Ursula Le Guin", "Ursula K. Le Guin", True),
        ("Frank Herbert", "Brian Herbert", False),
        ("Queen", "Queen Latifah", False),
        ("王家卫", "王菲", False),
    ],
)
def test_a_name_is_the_same_in_any_order_and_with_initials(one, other, is_same):
    assert is_same_name(one, other) == is_same_name(other, one) == is_same


# --- Breadth


def test_items_that_just_meet_every_demand_have_no_problem():
    assert breadth_problems(broad_items()) == []


def test_each_lack_of_breadth_is_one_problem():
    items = broad_items()
    assert breadth_problems(items[1:-1]) == [f"film: {MIN_ITEMS - 1} items, {MIN_ITEMS} are needed"] + [
        f"film: {less_known_share(items[1:], 'film'):.0%} of the items are outside the top, 40% are needed",
        f"product: {MIN_ITEMS - 1} items, {MIN_ITEMS} are needed",
    ]
    fewer = [replace(item, country="" if item.country == "Country 3" else item.country) for item in items]
    assert breadth_problems(fewer) == [f"{MIN_COUNTRIES - 1} countries, {MIN_COUNTRIES} are needed"]
    famous = [replace(item, popularity=4.0) if item.id == "book-1" else item for item in items]
    assert len(breadth_problems(famous)) == 1 and "book" in breadth_problems(famous)[0]


def test_the_same_title_is_a_duplicate_only_with_its_kind_and_year():
    items = broad_items()
    twin = replace(items[0], id="other", title=items[0].title.upper() + "!")
    assert len(breadth_problems([*items, twin])) == 1
    assert breadth_problems([*items, replace(twin, year=1999)]) == []
    assert breadth_problems([*items, replace(twin, kind="book")]) == []


def test_the_share_outside_the_top_of_known_items():
    items = [replace(HEAT, popularity=popularity) for popularity in (1.0, 3.9, 4.0, 5.0)]
    assert less_known_share([*items, EMMA], "film") == 0.5
    assert less_known_share(items, "book") == 0.0


# --- The bundled files


def test_the_bundled_catalogue_is_broad_enough(catalogue):
    assert breadth_problems(catalogue.items) == []


def test_every_bundled_note_quotes_the_catalogue_as_it_is(catalogue):
    notes = read_notes(NOTES)
    assert notes
    for item_id, name, ours, theirs in notes:
        item = catalogue.by_id[item_id]
        facts = {"title": item.title, "creator": item.creator, "year": item.year, "country": item.country}
        assert ours == str({**facts, **item.attributes}[name]) != theirs, item_id
