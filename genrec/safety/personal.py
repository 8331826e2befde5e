"""Finds personal data in a message, so that it can be taken out before anything is kept or sent elsewhere.

Shapes decide, and check digits (Luhn, ISO 7064, IBAN's mod 97) or a word before the number ("passport …") only where a shape alone would also fit an
ordinary number: a made-up number must go as well as a real one, but years, prices, lengths and ISBNs must stay. Google's phone numbers library
(phonenumberslite, .5 MB) was tried instead of the phone shapes: it knows which numbers exist, and so leaves mistyped and fictional ones standing.
`python -m genrec evaluate safety` measures both sides. Street addresses and names are not found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from genrec.schema import Language

KINDS: Mapping[str, Mapping[Language, str]] = {
    "e-mail": {"en": "e-mail", "zh": "邮箱"},
    "address": {"en": "address", "zh": "网址"},
    "account": {"en": "account", "zh": "账号"},
    "card": {"en": "card", "zh": "卡号"},
    "ID": {"en": "ID", "zh": "证件号"},
    "phone": {"en": "phone", "zh": "电话"},
}
_FULL_WIDTH = {0xFEE0 + ord(sign): sign for sign in map(chr, range(0x21, 0x7F)) if sign.isalnum() or sign in "@-.()"} | {
    0x2010: "-", 0x2011: "-", 0x2013: "-", 0xA0: " ",
}  # fmt: skip
_DOMAIN = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)"
_ENDS = "com|org|net|edu|gov|io|info|biz|dev|app|cn|jp|de|fr|uk|ru|eu|ca|au|nz|kr|tw|hk|sg|ch|nl|se|pl|cz|br|mx|es"  # not "me", "to", "in": words
_YEAR = r"(?:1[5-9]|20)\d\d"
_SEP = r"[ .\-/]?"


def _luhn(number: str) -> bool:
    """Whether the digits pass the check of payment cards (ISO/IEC 7812)."""
    digits = [int(digit) for digit in re.sub(r"\D", "", number)][::-1]
    return sum(digits[0::2]) % 10 == -sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2]) % 10


def _iban(number: str) -> bool:
    """Whether an account number passes IBAN's check (ISO 13616), or is one but for a slip: two digits of check and mostly digits."""
    code = re.sub(r"[ -]", "", number).upper()
    if not 15 <= len(code) <= 34:
        return False
    remainder = int("".join(str(int(sign, 36)) for sign in code[4:] + code[:4])) % 97
    return remainder == 1 or sum(sign.isdigit() for sign in code[4:]) >= 10


def _spanish(number: str) -> bool:
    """Whether the last letter is the one that a Spanish DNI or NIE has for its digits."""
    code = re.sub(r"[ .-]", "", number).upper()
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(code[:-1].translate({88: "0", 89: "1", 90: "2"})) % 23] == code[-1]


def _is_no_book(number: str) -> bool:
    """Whether digits are neither an ISBN (10 digits with their check, or 978/979 and ten more) nor a round number."""
    code = re.sub(r"[^\dXx]", "", number).upper()
    if len(code) == 13 and code.startswith(("978", "979")):
        return False
    if len(code) == 10 and re.search(r"-[\dXx]$", number):  # a phone number does not end in a group of one
        return False
    return not code.endswith("000000")


def _are_no_years(number: str) -> bool:
    """Whether groups of four digits are something else than years or round numbers."""
    groups = re.findall(r"\d{4}", number)
    return not all(re.fullmatch(_YEAR, group) for group in groups) and not all(group.endswith("00") for group in groups)


def _always(number: str) -> bool:
    return True


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_Rule = tuple[str, re.Pattern[str], Callable[[str], bool]]
_RULES: tuple[_Rule, ...] = (  # the first that fits takes the characters
    (
        "e-mail",
        _pattern(
            r"[a-z0-9À-ɏ._%+\-]+\s?(?:@|\(at\)|\[at\]|\sat\s)\s?[a-z0-9-]+(?:(?:\.|\s?(?:\(dot\)|\[dot\])\s?|\sdot\s)[a-z0-9-]+)+"
        ),
        lambda found: "@" in found or "(" in found or "[" in found or " dot " in found.lower(),
    ),
    (
        "address",
        _pattern(
            rf"(?:https?://|ftp://|www\.)[^\s\u3000-\u303f\u3400-\u9fff\uff00-\uffef<>\"]*[^\s\u3000-\u303f\u3400-\u9fff\uff00-\uffef<>\".,;:!?)\]'’]"
            rf"|(?<![\w@.-]){_DOMAIN}{{1,3}}(?:{_ENDS})(?:/(?:[^\s\u3000-\u9fff\uff00-\uffef<>\"]*[\w/#=&%+-])?)?(?![\w@-])"
            r"|(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])"
        ),
        _always,
    ),
    (
        "account",
        re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"),
        _iban,
    ),
    ("account", re.compile(r"(?<!\d)\d{2}-\d{2}-\d{2}[ ,/]{1,2}\d{8}(?!\d)"), _always),  # UK sort code and account
    (
        "ID",
        _pattern(
            r"(?<!\d)[1-9]\d{5}[ -]?(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])[ -]?\d{3}[\dX](?![\dA-Za-z])"  # China
            r"|(?<![\d-])\d{3}[- ]\d{2}[- ]\d{4}(?![\d-])"  # US social security number
            r"|(?<![a-z0-9])[A-CEGHJ-PR-TW-Z]{2}[ -]?\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[A-D](?![a-z0-9])"  # UK national insurance
            r"|(?<!\d)[12][ .]?\d{2}[ .]?(?:0[1-9]|1[0-2])[ .]?(?:\d{2}|2[AB])[ .]?\d{3}[ .]?\d{3}[ .]?\d{2}(?!\d)"  # France
            r"|(?<!\d)\d{2}[ .]?(?:[0-2]\d|3[01])(?:0[1-9]|1[0-2])\d{2}[ .]?[A-Z][ .]?\d{3}(?![a-z0-9])"  # Germany, social insurance
            r"|(?<![\d.,])[1-9]\d \d{3} \d{3} \d{3}(?!\d|[.,]\d)"  # Germany, tax
            r"|(?<![a-z0-9])[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z](?![a-z0-9])"  # Italy
            r"|(?<!\d)\d{3}\.\d{3}\.\d{3}-\d{2}(?!\d)"  # Brazil
            r"|(?<!\d)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])-[1-8]\d{6}(?!\d)"  # South Korea
            r"|(?<![a-z0-9])[A-Z]{1,2}\d{6}\([\dA]\)|(?<![a-z0-9])[A-Z][1289]\d{8}(?![a-z0-9])"  # Hong Kong, Taiwan
            r"|(?<![a-z0-9])(?:[STFGM]\d{7}[A-Z]|[A-Z]{5}\d{4}[A-Z])(?![a-z0-9])"  # Singapore, India (PAN)
        ),
        _always,
    ),
    ("ID", _pattern(r"(?<![a-z0-9])(?:\d{8}|[XYZ]-?\d{7})-?[A-Z](?![a-z0-9])"), _spanish),
    (
        "ID",
        re.compile(r"(?<!\d)\d{3}-\d{3}-\d{3}(?!\d|[ -]\d)"),
        lambda found: _luhn(found) and "00" not in found,
    ),  # Canada
    (
        "card",
        re.compile(
            r"(?<![\d.,])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?|3[47]\d{2}[ -]\d{6}[ -]\d{5})(?![\d.,]\d|\d)"
        ),
        _are_no_years,
    ),
    (
        "card",
        re.compile(r"(?<![\d.,])\d{13,19}(?![\d.,]\d|\d)"),
        lambda found: _is_no_book(found) and (len(found) > 14 or _luhn(found)),
    ),
    (
        "phone",
        re.compile(
            r"(?:\+|(?<!\d)00)\d(?:[ ().\-/]{0,2}\d){7,14}(?!\d)"  # with the code of its country
            r"|\(0?\d{2,5}\)[ -]?\d{3,4}(?:[ -]?\d{2,4}){1,2}(?!\d|\.\d)"
            rf"|(?<![\d.,$€£¥:/-])0\d(?:{_SEP}\d){{7,10}}(?![\d.:/-]\d|\d)"  # nothing ordinary begins with 0 and is that long
            r"|(?<![\d.,$€£¥-])1[3-9]\d[ -]?\d{4}[ -]?\d{4}(?!\d)"  # China, mobile
            r"|(?<![\d.,$€£¥-])(?:1[ .-])?[2-9]\d{2}([ .-]?)[2-9]\d{2}\1\d{4}(?![\d.,-]\d|\d|[万亿元])"  # North America
            r"|(?<![\d.,$€£¥-])[6-9]\d{4} \d{5}(?!\d|[-.,]\d)"  # India
            r"|(?<![\d.$€£¥-])555-\d{4}(?!\d|[.-]\d)|(?<![\d.,-])[48]00[ -]\d{3}[ -]\d{4}(?!\d)"
        ),
        _is_no_book,
    ),
    ("ID", re.compile(r"(?<![\d.,$€£¥-])[2-9]\d{3}([ -])\d{4}\1\d{4}(?!\d|[ .,-]\d)"), _are_no_years),  # India, Japan
    (
        "ID",
        re.compile(r"(?<![\d.,$€£¥])[1-9]\d{10,11}(?![\d.,]\d|\d|[万亿元])"),
        _is_no_book,
    ),  # eleven or twelve digits in a row
)
# After one of these words any longer number is what the word says.
_NAMED = _pattern(
    r"(?P<ID>\b(?:ssn|social security|passport|driv(?:er'?s?|ing) licen[cs]e|national id|(?:id|identity)[ -]?(?:card|number|no)|tax (?:id|number|file)|nhs|aadhaar|ausweis\w*|steuer-?id\w*|nino)\b|身份证|护照|驾照|驾驶证|社保|证件)"
    r"(?P<between>[号码卡]{0,3}(?:\s|[:：#.=,，是为]|\b(?:is|no|number|nr)\b){0,6})(?P<number>[a-z]{0,3}\d(?:[ .\-/]?[a-z0-9]){4,19})(?![a-z0-9])"
    r"|(?P<account>\b(?:(?:bank )?account|sort code|routing|konto\w*)\b|账[号户]|银行卡|QQ)"
    r"(?:[号码卡]{0,3}(?:\s|[:：#.=,，是为]|\b(?:is|no|number|nr)\b){0,6})(?P<number2>\d(?:[ -]?\d){4,19})(?!\d)"
    r"|(?P<handle>\b(?:wechat|weixin|telegram|snapchat|instagram|whatsapp)(?: (?:id|name|handle))?|微信)(?:[号码]?(?:\s|[:：#=,，是为@]|\bis\b){0,6})(?P<number4>[a-z][a-z0-9_.-]{0,30}[_\d][a-z0-9_-]{0,30})(?![a-z0-9])"
    r"|(?P<phone>\b(?:phone|tel(?:ephone)?|mobile|cell(?:phone)?|fax|whatsapp|call|ring|text|reach) ?(?:me|us)?\b|电话|手机|座机|传真)"
    r"(?:[号码卡]{0,3}(?:\s|[:：#.=,，是为]|\b(?:is|no|number|nr|at|on)\b){0,6})(?P<number3>[(+]?\d(?:[ ().\-/]{0,2}\d){5,14})(?!\d)"
)


def mask_personal(text: str) -> tuple[str, tuple[str, ...]]:
    """The text with personal data replaced by its kind in brackets, and the kinds found, in the order of KINDS."""
    shadow = text.translate(_FULL_WIDTH)  # as long as the text, so spans fit both
    spans: list[tuple[int, int, str]] = []

    def take(start: int, end: int, kind: str) -> None:
        if all(end <= other_start or other_end <= start for other_start, other_end, _ in spans):
            spans.append((start, end, kind))

    for kind, pattern, is_one in _RULES:
        for match in pattern.finditer(shadow):
            if is_one(match.group()):
                take(match.start(), match.end(), kind)
    for match in _NAMED.finditer(shadow):
        if match["handle"]:
            take(match.start("number4"), match.end("number4"), "account")
            continue
        kind = next(kind for kind in ("ID", "account", "phone") if match[kind])
        group = {"ID": "number", "account": "number2", "phone": "number3"}[kind]
        if sum(sign.isdigit() for sign in match[group]) > 4 and _are_no_years(match[group]):
            take(match.start(group), match.end(group), kind)
    pieces: list[str] = []
    position = 0
    for start, end, kind in sorted(spans):
        pieces += (text[position:start], f"[{kind}]")
        position = end
    found = {kind for *_, kind in spans}
    return "".join([*pieces, text[position:]]), tuple(kind for kind in KINDS if kind in found)
