"""What the filter is tried with: disguises of a text, made-up personal data, attempts to take over the prompt. All drawn from a seed.

Nothing here is anybody's: numbers are random, with the check digits that their kind has, and the names are invented.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping

Disguise = Callable[[str, random.Random], str]

_HAN = "[\u4e00-\u9fff]"
_WORD = re.compile(r"[A-Za-z]{4,}")
_LEET = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7"}
_TWINS = {
    "a": "аɑᎪ", "b": "ЬᏏ", "c": "сᏟϲ", "e": "еҽЕ", "g": "ɡց", "h": "һհ", "i": "іΙᎥ", "j": "јЈ", "k": "кκᏦ", "l": "ӏⅼᏞ", "m": "мΜ", "n": "ոΝ",
    "o": "оοօ", "p": "рρᏢ", "q": "ԛզ", "r": "ꓣᖇ", "s": "ѕՏꓢ", "t": "тτꓔ", "u": "υսᑌ", "v": "νѵᏙ", "w": "ԝᎳ", "x": "хΧ", "y": "уγү", "z": "ᏃΖ",
}  # fmt: skip


def _homoglyphs(text: str, rng: random.Random) -> str:
    return "".join(
        rng.choice(_TWINS[letter.lower()]) if letter.lower() in _TWINS and rng.random() < 0.3 else letter
        for letter in text
    )


def _leet(text: str, rng: random.Random) -> str:
    def change(match: re.Match[str]) -> str:
        return "".join(
            rng.choice(_LEET[letter]) if letter in _LEET and rng.random() < 0.5 else letter
            for letter in match.group().lower()
        )

    return _WORD.sub(change, text)


def _spacing(text: str, rng: random.Random) -> str:
    """One word in three with a sign between its letters, never two in a row."""
    was_spaced = False

    def change(match: re.Match[str]) -> str:
        nonlocal was_spaced
        was_spaced = not was_spaced and rng.random() < 0.5
        return rng.choice((" ", ".", "-", "_")).join(match.group()) if was_spaced else match.group()

    return re.sub(r"[A-Za-z]{3,}", change, text)


def _censoring(text: str, rng: random.Random) -> str:
    """A vowel inside half of the longer words becomes a star."""

    def change(match: re.Match[str]) -> str:
        word = match.group()
        places = [place for place in range(1, len(word) - 1) if word[place] in "aeiou"]
        if not places or rng.random() < 0.5:
            return word
        place = rng.choice(places)
        return f"{word[:place]}*{word[place + 1 :]}"

    return _WORD.sub(change, text)


def _zero_width(text: str, rng: random.Random) -> str:
    return "".join(
        letter + (rng.choice("\u200b\u200c\u200d\u2060\ufeff") if rng.random() < 0.4 else "") for letter in text
    )


def _full_width(text: str, rng: random.Random) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text)


def _gaps(text: str, rng: random.Random) -> str:
    """A sign in one of three places between two Chinese characters."""
    return re.sub(f"(?<={_HAN})(?={_HAN})", lambda match: rng.choice("*·-~_|.☆ ") if rng.random() < 0.35 else "", text)


DISGUISES: Mapping[str, Mapping[str, Disguise]] = {
    "en": {
        "homoglyphs": _homoglyphs,
        "leet": _leet,
        "spacing": _spacing,
        "censoring": _censoring,
        "zero_width": _zero_width,
        "full_width": _full_width,
    },
    "zh": {"zero_width": _zero_width, "gaps": _gaps},
}


# Personal data


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


def _luhn_number(rng: random.Random, start: str, length: int) -> str:
    body = start + _digits(rng, length - len(start) - 1)
    doubled = [sum(divmod(int(digit) * (2 - index % 2), 10)) for index, digit in enumerate(reversed(body))]
    return body + str(-sum(doubled) % 10)


def _card(rng: random.Random) -> str:
    number = _luhn_number(rng, rng.choice(("4", "51", "55", "62")), 16)
    return rng.choice(("", " ", "-")).join(number[start : start + 4] for start in range(0, 16, 4))


def _chinese_id(rng: random.Random) -> str:
    body = f"{rng.choice(('110101', '310115', '440305', '510104'))}{rng.randint(1940, 2009)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}{_digits(rng, 3)}"
    weights = [pow(2, 17 - index, 11) for index in range(17)]
    return body + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(body, weights)) % 11]


def _iban(rng: random.Random, country: str, body: str) -> str:
    number = int("".join(str(int(sign, 36)) for sign in f"{body}{country}00"))
    code = f"{country}{98 - number % 97:02}{body}"
    return " ".join(code[start : start + 4] for start in range(0, len(code), 4)) if rng.random() < 0.5 else code


def _name(rng: random.Random) -> str:
    return rng.choice(("anna", "jo", "li.wei", "max", "sam", "mei", "tom")) + rng.choice(
        (".berg", "_fox", "99", "+films", "-x", "")
    )


def _email(rng: random.Random, end: str) -> str:
    return f"{_name(rng)}{rng.randint(1, 99)}@{rng.choice(('mail', 'post-box', 'web.mail', 'qmail'))}.{end}"


def _site(rng: random.Random, end: str) -> str:
    name = f"{_name(rng).replace('+', '').replace('_', '').replace('.', '')}{rng.randint(1, 99)}"
    return rng.choice(
        (
            f"https://www.{name}.{end}/me?x={rng.randint(1, 9)}",
            f"http://{name}.{end}",
            f"www.{name}.{end}",
            f"{name}.{end}/about",
        )
    )


def personal_item(country: str, rng: random.Random) -> tuple[str, str]:
    """A kind and a made-up item of personal data as people of a country ("US", "GB", "CN", "DE") write it."""
    kind = rng.choice(("e-mail", "phone", "phone", "card", "ID", "ID", "account", "address"))
    if kind == "card":
        return kind, _card(rng)
    if country == "US":
        area, exchange, line = (
            f"{rng.randint(2, 9)}{_digits(rng, 2)}",
            f"{rng.randint(2, 9)}{_digits(rng, 2)}",
            _digits(rng, 4),
        )
        phone = rng.choice(
            (
                f"({area}) {exchange}-{line}",
                f"{area}-{exchange}-{line}",
                f"+1 {area} {exchange} {line}",
                f"{area}.{exchange}.{line}",
                f"{area}{exchange}{line}",
            )
        )
        own = {
            "phone": phone,
            "ID": f"{_digits(rng, 3)}-{rng.randint(10, 99)}-{_digits(rng, 4)}",
            "account": f"account number {_digits(rng, 10)}",
        }
        end = "com"
    elif country == "GB":
        phone = rng.choice(
            (
                f"020 7{_digits(rng, 3)} {_digits(rng, 4)}",
                f"07{_digits(rng, 3)} {_digits(rng, 6)}",
                f"+44 7{_digits(rng, 3)} {_digits(rng, 6)}",
                f"01632 {_digits(rng, 6)}",
                f"(0121) {_digits(rng, 3)} {_digits(rng, 4)}",
            )
        )
        pair = rng.choice(("AB", "JC", "PX", "SW", "YZ"))
        join = rng.choice((" ", ""))
        own = {
            "phone": phone,
            "ID": join.join((pair, *(_digits(rng, 2) for _ in range(3)), rng.choice("ABCD"))),
            "account": _iban(rng, "GB", f"NWBK{_digits(rng, 14)}"),
        }
        end = "co.uk"
    elif country == "CN":
        mobile = f"1{rng.choice('3578')}{_digits(rng, 9)}"
        phone = rng.choice(
            (
                mobile,
                f"{mobile[:3]} {mobile[3:7]} {mobile[7:]}",
                f"+86 {mobile}",
                f"010-{rng.randint(2, 8)}{_digits(rng, 7)}",
                f"0571-{rng.randint(2, 8)}{_digits(rng, 7)}",
            )
        )
        own = {"phone": phone, "ID": _chinese_id(rng), "account": _luhn_number(rng, "6222", 19)}
        end = "cn"
    else:
        phone = rng.choice(
            (
                f"0151 {rng.randint(1, 9)}{_digits(rng, 7)}",
                f"030 {rng.randint(1, 9)}{_digits(rng, 6)}",
                f"+49 171 {rng.randint(1, 9)}{_digits(rng, 6)}",
                f"089/{rng.randint(1, 9)}{_digits(rng, 6)}",
                f"0049 40 {rng.randint(1, 9)}{_digits(rng, 6)}",
            )
        )
        tax = f"{rng.randint(10, 99)}{_digits(rng, 9)}"
        insurance = f"{rng.randint(10, 89)} {rng.randint(1, 28):02}{rng.randint(1, 12):02}{rng.randint(40, 99)} {rng.choice('ABKMS')} {_digits(rng, 3)}"
        own = {
            "phone": phone,
            "ID": rng.choice((f"{tax[:2]} {tax[2:5]} {tax[5:8]} {tax[8:]}", tax, insurance)),
            "account": _iban(rng, "DE", _digits(rng, 18)),
        }
        end = "de"
    if kind == "e-mail":
        return kind, _email(rng, end)
    return kind, _site(rng, end) if kind == "address" else own[kind]


def ordinary_number(rng: random.Random) -> str:
    """A number as people write it who speak of films, books and trips: years, prices, lengths, scores, ranges, dates, ISBNs."""
    year, other = rng.randint(1920, 2026), rng.randint(1920, 2026)
    isbn = f"978{_digits(rng, 10)}"
    return rng.choice((
        f"{year}", f"{year}-{other}", f"{year} - {other}", f"{year}–{other}", f"{year}, {other} or {rng.randint(1950, 2020)}", f"{year} {other} {rng.randint(1950, 2020)}", f"the {year // 10 * 10}s", f"{year}年",
        f"${rng.randint(1, 9999)}", f"${rng.randint(10, 999)}-{rng.randint(1000, 3000)}", f"{rng.randint(100, 999)}-{rng.randint(1000, 9999)}元", f"¥{rng.randint(1, 99)},{_digits(rng, 3)}", f"€{rng.randint(1, 99)}.{_digits(rng, 3)},00",
        f"{rng.randint(1, 9)},{_digits(rng, 3)},{_digits(rng, 3)} copies", f"{rng.randint(100, 900)} {rng.randint(100, 900)} {rng.randint(100, 900)}", f"{rng.randint(1, 999)}000000 views", f"{rng.randint(10, 99)}000000000 dollars",
        f"{rng.randint(60, 240)} minutes", f"{rng.randint(60, 120)}-{rng.randint(121, 240)} min", f"{rng.randint(1, 3)}h{rng.randint(10, 59)}", f"{rng.randint(200, 999)}-{rng.randint(1000, 1500)} pages", f"{rng.randint(1, 12)}:{rng.randint(10, 59)}-{rng.randint(13, 23)}:{rng.randint(10, 59)}",
        f"{rng.randint(1, 9)}.{rng.randint(0, 9)}/10", f"{rng.randint(0, 9)}:{rng.randint(0, 9)}", f"{rng.randint(60, 130)}-{rng.randint(60, 130)}", f"{rng.randint(1, 99)}%", "3.14159265358979", f"{rng.randint(1, 20)}x{rng.randint(1, 20)}",
        f"{year}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}", f"{rng.randint(1, 28):02}.{rng.randint(1, 12):02}.{year}", f"{rng.randint(1, 12)}/{rng.randint(1, 28)}/{year}", f"{year}{rng.randint(1, 12):02}{rng.randint(1, 28):02}", f"{year}年{rng.randint(1, 12)}月{rng.randint(1, 28)}日",
        f"ISBN {isbn}", f"{isbn[:3]}-{isbn[3]}-{isbn[4:7]}-{isbn[7:12]}-{isbn[12]}", isbn, f"0-306-{_digits(rng, 5)}-{rng.choice('0123456789X')}", f"season {rng.randint(1, 9)}, episode {rng.randint(1, 24)}", f"S0{rng.randint(1, 9)}E{rng.randint(10, 24)}",
        f"{rng.randint(1000, 9999)} {rng.randint(1000, 9999)} yuan", f"room {rng.randint(100, 999)}", f"{rng.randint(1, 99)}°C", f"{rng.randint(720, 4320)}p", f"Apollo {rng.randint(1, 17)}", f"{rng.randint(1, 9)}00万", f"{rng.randint(10, 99)}{_digits(rng, 3)}-{rng.randint(10, 99)}{_digits(rng, 3)} people",
    ))  # fmt: skip
