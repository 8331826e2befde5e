"""Personal data is found in the shapes of several countries; years, prices, lengths and ISBNs are left alone."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.evaluate.trials import ordinary_number, personal_item
from genrec.safety.personal import KINDS, mask_personal


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ("anna.berg+x@mail.example.co.uk", "e-mail"), ("邮箱zhang_3@qq.com", "e-mail"), ("anna (at) mail (dot) org", "e-mail"), ("ａｎｎａ＠ｍａｉｌ．ｏｒｇ", "e-mail"),
        ("(415) 555-2671", "phone"), ("415.555.2671", "phone"), ("4155552671", "phone"), ("+44 20 7946 0958", "phone"), ("020 7946 0958", "phone"), ("07700 900123", "phone"), ("0151 23456789", "phone"), ("089/1234567", "phone"),
        ("06 12 34 56 78", "phone"), ("090-1234-5678", "phone"), ("98765 43210", "phone"), ("138 1234 5678", "phone"), ("１３８１２３４５６７８", "phone"), ("010-12345678", "phone"),
        ("4111 1111 1111 1111", "card"), ("4111-1111-1111-1112", "card"), ("378282246310005", "card"), ("3782 822463 10005", "card"),
        ("11010119900307888X", "ID"), ("123-45-6789", "ID"), ("AB 12 34 56 C", "ID"), ("ab123456c", "ID"), ("12 345 678 901", "ID"), ("65 170839 J 008", "ID"), ("1 85 05 78 006 084 36", "ID"), ("12345678Z", "ID"),
        ("RSSMRA85T10A562S", "ID"), ("123.456.789-09", "ID"), ("3675 9834 6012", "ID"), ("046-454-286", "ID"), ("S1234567D", "ID"), ("passport no. X1234567", "ID"), ("护照号码：E12345678", "ID"),
        ("GB29 NWBK 6016 1331 9268 19", "account"), ("DE89370400440532013000", "account"), ("account number 12345678", "account"), ("12-34-56 12345678", "account"), ("QQ：12345678", "account"),
        ("https://a.b/c?d=1", "address"), ("www.me.org", "address"), ("anna-berg.de/about", "address"), ("192.168.12.7", "address"),
    ],
)  # fmt: skip
def test_each_shape_is_masked_under_its_kind(item, kind):
    for frame in ("{}", "I love jazz, {}, thanks.", "我喜欢爵士，{}。谢谢"):
        text, kinds = mask_personal(frame.format(item))
        assert kinds == (kind,), (text, kinds)
        assert f"[{kind}]" in text and not any(sign.isdigit() for sign in text)


@pytest.mark.parametrize(
    "text",
    [
        "978-0-306-40615-7", "9780306406157", "0-306-40615-2", "300-1500 pages", "between 10000-20000 people", "100 200 300", "1,200,000 copies", "100000000 views", "2500000000 years", "3.14159265358979",
        "2024-05-17", "17.05.2024", "20240517", "1990–1999", "12:30-14:45", "season 2, episode 10", "1080p", "AC/DC, U2, Blink-182", "top 100", "call me at 5", "the phone rang 12 times", "Catch-22", "1200 1500 1800", "e.g.so it goes", "I like it.me too",
    ],
)  # fmt: skip
def test_ordinary_numbers_and_words_stay(text):
    assert mask_personal(text) == (text, ())


def test_made_up_items_of_four_countries_go_and_ordinary_numbers_stay():
    rng = random.Random(1)
    for number in range(200):
        _, item = personal_item(("US", "GB", "CN", "DE")[number % 4], rng)
        text, kinds = mask_personal(f"Here: {item}.")
        assert kinds and not any(sign.isdigit() for sign in text), (item, text)
        ordinary = f"from {ordinary_number(rng)}"
        assert mask_personal(ordinary) == (ordinary, ())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.text(max_size=80),
        st.lists(
            st.sampled_from(
                ["1", "13812345678", " ", "-", "@", "a", "＠", "．", "(", "+", "199", "0", "GB29", "．", "我"]
            ),
            max_size=30,
        ).map("".join),
    )
)
def test_any_text_keeps_all_that_is_not_masked_in_order(text):
    masked, kinds = mask_personal(text)
    for kind in KINDS:
        masked = masked.replace(f"[{kind}]", "")
    rest = iter(text)
    assert all(sign in rest for sign in masked)
    assert mask_personal(text)[1] == kinds
