"""Looks at what the visitor typed before anything else does: hurtful words, a cry for help, attempts to take over the prompt,
personal data. And cleans what the model wrote of everything but text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from genrec.schema import Language
from genrec.text import is_printable

Reason = Literal["toxicity", "crisis", "injection"]
BLOCK_MESSAGE = 0.8  # a visitor's own words are taken more kindly than the model's: fans of dark films swear too
_CRISIS = re.compile(
    r"\b(?:kill(?:ing)? myself|end my life|want to die|suicid(?:e|al)|end it all|don'?t want to (?:live|be alive)|self[- ]?harm|hurt(?:ing)? myself)\b|自杀|不想活|想死|自残|结束生命",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(  # no art in it passes: "I want to die, recommend me a film" is a cry for help
    r"\bI(?:'m| am)? (?:\w+ )?(?:want to|wanna|going to|gonna) (?:die\b(?! laughing| of )|kill myself|end my life|hurt myself)"
    r"|\bI(?:'m| am| feel) (?:\w+ )?suicidal\b|\bthinking (?:of|about) (?:suicide|killing myself)|\bI don'?t want to (?:live|be alive)\b|\bend it all\b"
    r"|我(?:真的|好|很|也|都|已经)*(?:不想活|想自杀|想死(?!你|了你))",
    re.IGNORECASE,
)
_ABOUT_ART = re.compile(
    r"\b(?:films?|movies?|books?|novels?|songs?|albums?|series|tv shows?|shows|documentar(?:y|ies)|story|stories|squad)\b|电影|小说|书|歌|纪录片|剧",
    re.IGNORECASE,
)
_INJECTION = re.compile(
    r"\b(?:ignore|disregard|forget)\b.{0,30}\b(?:above|previous|prior|earlier|your|all)\b.{0,20}\b(?:instruction|prompt|rule|text|message)s?\b"
    r"|\b(?:reveal|print|repeat|show)\b.{0,20}\b(?:system|hidden|initial)\s+(?:prompt|text|message|instruction)s?\b"
    r"|(?:忽略|无视|忘掉|忘记).{0,10}(?:以上|之前|前面|上面|所有).{0,8}(?:指令|提示|规则|内容)|(?:系统|隐藏的?)(?:提示词?|指令)",
    re.IGNORECASE,
)
_PERSONAL = (
    ("e-mail", re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")),
    ("card", re.compile(r"(?<!\d)(?:\d[ -]?){15}\d(?!\d)")),
    ("ID", re.compile(r"(?<!\d)\d{17}[\dXx](?!\d)|\b\d{3}-\d{2}-\d{4}\b")),
    (
        "phone",  # two bare groups of four are years, prices or pages ("1990-1999"), so they are left alone
        re.compile(
            r"\+\d(?:[ ()-]{0,2}\d){7,14}(?!\d)|\(\d{2,4}\)[ -]?\d{3,4}[ -]\d{3,4}(?![\d.])"
            r"|(?<![\d.])(?!(?:1[5-9]|20)\d\d[ -](?:1[5-9]|20)\d\d)\d{3,4}[ -]\d{3,4}[ -]\d{3,4}(?![\d.])"
            r"|(?<![\d.$€£¥-])\d{3}-\d{4}(?![\d.-])|(?<![\d-])0\d{2,3}-\d{7,8}(?!\d)|(?<!\d)1[3-9]\d{9}(?!\d)"
        ),
    ),
    ("address", re.compile(r"https?://\S+|\bwww\.\S+", re.IGNORECASE)),
)
_TEXTS: Mapping[Reason, Mapping[Language, str]] = {
    "toxicity": {
        "en": "That reads as hurtful, so I have not answered it. Put it another way, and I will gladly find you something.",
        "zh": "这句话读起来有些伤人，所以没有作答。换个说法，我很乐意为你推荐。",
    },
    "crisis": {
        "en": "That sounds very heavy, and I am only a recommender. Please talk to someone now: a person you trust, a local helpline (findahelpline.com lists them by country), or your emergency number.",
        "zh": "听起来你正在承受很重的东西，而我只会做推荐。请现在就和一个人说说：信任的人、当地的心理援助热线（中国大陆可拨打 12356），或急救电话 120。",
    },
    "injection": {
        "en": "I only recommend things, and my instructions stay as they are. Tell me what you like, and I will find something.",
        "zh": "我只做推荐，我的设定不会改变。告诉我你喜欢什么，我来找。",
    },
}


@dataclass(frozen=True, slots=True)
class Screened:
    """The message as the rest of the flow may use it, and, where it must not be answered, why and what to say."""

    message: str
    refused: Reason | None = None
    notice: str = ""
    score: float = 0.0
    masked: tuple[str, ...] = ()  # kinds of personal data that were taken out


def screen(message: str, scores: Mapping[str, float], language: Language) -> Screened:
    """The verdict on a visitor's message, given its toxicity scores (probabilities in [0, 1])."""
    if _FIRST_PERSON.search(message) or (_CRISIS.search(message) and not _ABOUT_ART.search(message)):
        return Screened(message, "crisis", _TEXTS["crisis"][language])
    if _INJECTION.search(message):
        return Screened(message, "injection", _TEXTS["injection"][language])
    harm = max(scores.get(label, 0.0) for label in ("insult", "threat", "identity_attack"))
    if scores.get("toxicity", 0.0) >= BLOCK_MESSAGE and harm >= 0.5:
        return Screened(message, "toxicity", _TEXTS["toxicity"][language], scores["toxicity"])
    masked, kinds = mask_personal(message)
    return Screened(masked, masked=kinds)


def mask_personal(text: str) -> tuple[str, tuple[str, ...]]:
    """The text with personal data replaced by its kind in brackets, and the kinds found."""
    kinds = []
    for kind, pattern in _PERSONAL:
        text, count = pattern.subn(f"[{kind}]", text)
        if count:
            kinds.append(kind)
    return text, tuple(kinds)


def clean_message(message: str) -> str:
    """What was typed, without control, zero-width and tag characters, with straight apostrophes, single spaces and at most
    one blank line in a row."""
    message = "".join(character for character in message.replace("\r\n", "\n") if is_printable(character))
    message = re.sub(r"[^\S\n]+", " ", message.replace("’", "'"))
    return re.sub(r"(?: ?\n){3,}", "\n\n", message).strip()


def clean_prose(text: str) -> str:
    """Model prose as plain text with bold titles: no HTML, images, links, headings, lists or code."""
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"(?:https?://|www\.)\S+", "", text)
    text = re.sub(r"</?[A-Za-z!][^>\n]*>?", "", text)
    text = re.sub(r"(?m)^\s{0,3}(?:#{1,6}|>|[-+]|\d{1,2}[.)])\s+", "", text)
    return "".join(character for character in text.replace("`", "") if is_printable(character))
