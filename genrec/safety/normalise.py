"""Undo the common ways of hiding a word, so that the classifier reads what a person would read.

The result is for scoring only and never shown; `aligned` says where each of its characters stands in the text as written. It knows
English, Chinese and look-alike letters of other scripts; Chinese homophones and pinyin are left to the classifier. What each
disguise costs in recall: `python -m genrec evaluate safety`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Aligned", "aligned", "normalise"]

# Zero-width and bidi controls, soft hyphen, variation selectors (plain and supplementary), Unicode tag characters
# (U+E0000, which can smuggle a hidden message) and combining marks that NFKC did not compose ("zalgo").
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_COMBINING = "\u0300-\u036f\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"
_COMBINING_MARKS = re.compile(f"[{_COMBINING}]+")
_CLUSTER = re.compile(  # what NFKC may change: no plain ASCII, no Chinese character without marks
    f"[^\\x00-\\x7f\u4e00-\u9fff{_COMBINING}][{_COMBINING}\u1160-\u11ff]*|[\\x00-\\x7f\u4e00-\u9fff][{_COMBINING}]+"
)
_TRADEMARKS = str.maketrans("", "", "™®©℠")  # NFKC would glue "TM" onto the word before it

# Look-alikes of Latin letters, from Unicode's confusables.txt (https://www.unicode.org/reports/tr39/, version 15): single letters that NFKC
# does not already turn into Latin. The library with that table (confusable-homoglyphs, last release in 2024) brings 1 MB, of which these are what is needed.
_LOOK_ALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝӏкмтвнгпиѵьзЗАЕОРСУХІЈЅНВКМТԌԚԜӀЬαοερκνιτυωγσϲϳηβΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹςⲒⅬᎪᗅꓮƄᏏᑲᖯᏴᗷꓐⲥꮯ𐐽ⲤᏟꓚ𐐕ᏧᑯꓒᎠᗞᗪꓓҽⴹᎬꓰք"
    "𝈓ϜᖴꓝƍցᏀᏳꓖհᏂⲎᎻᕼꓧꙇꭵᎥͿᎫᒍꓙⲔᏦꓗƖǀⵏꓲ𝈪ⳐᏞᒪꓡ𐐛ϺⲘᎷᗰꓟոռⲚꓠⲟჿօ𐓪𐐬ⲞՕⵔ𐓂ꓳ𐐄ⲣⲢᏢᑭꓑգզⵕᴦⲅꮁ𝈖ƦᎡᏒ𐒴ᖇꓣꮪ𐑈ՏᏕᏚꓢ𐐠ⲦᎢꓔս𐓶Ս𐓎ᑌꓴꮩ𝈍ѴⴸᏙᐯꓦѡաꮃᎳᏔꓪ᙮ᕁᕽ᙭Ⲭⵝꓫү"
    "ყⲨҮᎩᎽꓬꮓ𐋵Ꮓꓜ",
    "aeopcyxijshdqwlkmtbhrnuvb33AEOPCYXIJSHBKMTGQWIbaoepkvituwyscjnbABEZHIKMNOPTYXCcilaaabbbbbbbcccccccdddddddeeeef"
    "ffffggggghhhhhhiiijjjjkkkllllllllllmmmmmnnnnooooooooooopppppqqqrrrrrrrrrrssssssstttuuuuuuvvvvvvvwwwwwwxxxxxxxy"
    "yyyyyyzzzz",
)
# Letters that nobody writes by accident: small capitals, phonetic letters, the negative squared and circled capitals.
_STYLED = str.maketrans(
    "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢɑɡ"
    "ꞴꬲꬵꞙẝꞘᶃıɩꞲᴑꬽꭇꭈƽꞟꭎꭒʋɯꞳɣᶌỿꭚ"
    + "".join(chr(0x1F150 + i) for i in range(26))
    + "".join(chr(0x1F170 + i) for i in range(26)),
    "abcdefghijklmnoprstuvwyzagbeffffgiijoorrsuuuuwxyyyy" + "abcdefghijklmnopqrstuvwxyz" * 2,
)
_FOREIGN_LETTER = re.compile("[" + "".join(map(chr, _LOOK_ALIKES)) + "\u0370-\u03ff\u0400-\u052f]")
_LATIN_LETTER = re.compile("[A-Za-z]")
_LETTERS = re.compile(r"[^\W\d_]+")

# "i d i o t", "f.u.c.k", "h-a-t-e": at least three single characters between equal separators. A second space, a word
# or a digit on either side ends the run, so "Plan A or B", "3 x 4" and "U.S. 2020" keep their shape.
_SPACED = re.compile(r"(?<![^\W_])[a-z@$]([ .\-_*~·/|•])[a-z013457@$!](?:\1[a-z013457@$!])+(?![^\W_])")
# Signs between two Chinese characters split a word as spaces would, and a reader looks through them; full stops in a row are a pause.
_SPACED_CHINESE = re.compile(
    r"(?<=[\u4e00-\u9fff])(?:[*_^|~@#$%&+=/\\\-·•`'☆★○●◆◇□■♥♡❤→]|(?<!\.)\.(?!\.)|[\U0001f300-\U0001faff]){1,3}(?=[\u4e00-\u9fff])"
)

_LEET = str.maketrans("01345679@$!€+", "oieasgtgasiet")
_LEET_TOKEN = re.compile(r"(?<![\w@$€.!])(?=[0-9@$€!]{0,20}[a-z])[a-z0-9@$€!]{2,30}(?![\w@$€!])")
_LEET_CHAR = re.compile(r"[0-9@$€!]")
# Every pattern below has a bounded length, so that a hostile text takes linear time.
# Clean tokens made of letters and digits: decades, ordinals, times, sizes and prices (90s, 3rd, 7pm, 4k, 5min, 20usd),
# season and episode (s01e05), names of things (mp3, ps5, h1n1, r2d2, se7en) and currency before a sign (us$).
_AMOUNT = re.compile(
    r"\d+(?:s|st|nd|rd|th|[ap]m|[kdpgmbxhlvwtc]|mm|cm|km|kg|gb|mb|tb|fps|hz|hrs?|hours?|mins?|minutes?|secs?|days?|weeks?"
    r"|months?|years?|yrs?|yo|miles?|stars?|pages?|parts?|way|some|ever|door|star|player|usd|eur|gbp|cny|rmb|yuan)"
)
_CLEAN = re.compile(
    _AMOUNT.pattern + r"|s\d+e\d+|[a-z]+\d+s?|[a-z]\d[a-z]\d?|se7en|(?:us|ca|au|hk|nz|s|a)\$|\d+[a-z]?\d+"
)
_BANG_INSIDE = re.compile(r"[bcdfghjklmnpqrstvwxz]+![a-z]")  # "sh!t", "b!tch", but not "oh!so" or "great!yes"

# Words people hide behind a sign or two, listed only so that "f**k" can be read; the classifier decides what it means. The words that say most
# about hurtful text in the training labels, and the groups that it is aimed at.
_HIDDEN = (
    "fuck fucks fucked fucker fuckers fucking fuckin motherfucker motherfuckers shit shits shitty bullshit bitch bitches cunt cunts dick "
    "dicks dickhead cock cocks cocksucker ass asses asshole assholes dumbass jackass bastard bastards whore whores slut sluts slutty hoe hoes thot skank tramp "
    "pussy pussies twat tits boobs porn anal penis vagina cum wank wanker piss pissed crap damn goddamn hell nigger niggers nigga niggas negro negroes coon "
    "faggot faggots fag fags dyke dykes tranny trannies queer queers homo homos kike kikes spic spics chink chinks gook gooks paki pakis raghead wetback "
    "retard retards retarded idiot idiots idiotic idiocy moron morons moronic imbecile imbeciles cretin dumb dummy stupid stupidity stupidest fool fools foolish "
    "loser losers pathetic worthless useless disgusting disgust filthy filth ugly nasty vile repulsive scum scumbag trash garbage vermin parasite parasites pig pigs "
    "dog dogs rat rats ape apes monkey monkeys animal animals cockroach cockroaches subhuman savage savages freak freaks psycho lunatic lunatics clown creep creeps "
    "pervert perverts rapist rapists rape raped raping kill kills killed killing killer murder murdered die dies dead death hang hanged shoot stab beat burn burned "
    "punch smash strangle slaughter exterminate execute gas hate hates hated hating terrorist terrorists criminal criminals thief thieves liar liars nazi nazis fascist "
    "bigot racist sexist hurt suffer shut sick suck sucks sucker lame coward cowards fat bald blind cripple cripples crippled disabled mental "
    "jew jews jewish muslim muslims islam christian christians black blacks white whites gay gays lesbian lesbians trans women woman men girls immigrant immigrants "
    "refugee refugees foreigner foreigners african africans asian asians mexican mexicans indian indians chinese arab arabs people sex sexual suicide poison bomb bombs blood"
).split()
_HIDDEN_SET = frozenset(_HIDDEN)
_CENSORED_TOKEN = re.compile(r"(?<![\w*#%])[a-z](?=[a-z]*[^\w\s'’])(?:[a-z]|[^\w\s'’,;:()\[\]\"/]){1,15}(?![\w*#%])")
_WILDCARD = re.compile(r"[^\w\s]")
_SIGNS_BEHIND = re.compile(r"[^\w*#%]+$")
_SUFFIX = re.compile(r"(?:ing|in|ers?|ed|s|y|ty|face|head)$")

_REPEATED = re.compile(r"([^\W\d_])\1{2,}")
_ROMAN = re.compile(r"[ivx]+|w+|(.)\1+")
_WORD_WITH_REPEAT = re.compile(r"(?<![a-z])[a-z]{0,30}?([a-z])\1\1[a-z]*")
_REPEATED_OTHER = re.compile(r"([^a-z0-9\s])\1{3,}")
_SPACES = re.compile(r"\s{2,}|[^\S ]|^\s|\s$")
_ANY = re.compile(".", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Aligned:
    """A normalised text, and for each of its characters the half-open span in the text as written that it was made of."""

    text: str
    spans: tuple[tuple[int, int], ...]

    def written(self, start: int, end: int) -> tuple[int, int]:
        """The half-open span in the text as written that `text[start:end]` was made of; (0, 0) for an empty stretch."""
        spans = self.spans[start:end]
        return (min(one[0] for one in spans), max(one[1] for one in spans)) if spans else (0, 0)


def normalise(text: str) -> str:
    """`text` in lower case with hidden words made readable; clean text keeps its words, numbers and punctuation.

    About 0.05 ms for a sentence. Empty input gives an empty string.
    """
    return _normalised(text).text


def aligned(text: str) -> Aligned:
    """`normalise(text)` with the way back to the text as written; spans never go backwards."""
    draft = _normalised(text)
    return Aligned(draft.text, tuple(draft.spans or [(index, index + 1) for index in range(len(draft.text))]))


def _normalised(text: str) -> _Draft:
    draft = _Draft(text)
    if not text.isascii():
        _undisguise(draft)
    if len(draft.text.lower()) == len(draft.text):
        draft.text = draft.text.lower()
    else:  # "İ" becomes two characters
        draft.sub(_ANY, lambda match: match.group().lower())
    draft.sub(_SPACED, _join)
    draft.sub(_SPACED_CHINESE, lambda match: "")
    draft.sub(_CENSORED_TOKEN, _uncensor)
    if _LEET_CHAR.search(draft.text):
        is_leet = draft.sub(_LEET_TOKEN, _unleet) > 0
        if is_leet:  # a text that is written so on purpose: what alone could be a name or an amount is read too
            draft.sub(_LEET_TOKEN, _unleet_all)
    draft.sub(_WORD_WITH_REPEAT, _shorten)
    draft.sub(_REPEATED_OTHER, lambda match: match.group()[:3])
    draft.sub(_SPACES, lambda match: " " if match.start() > 0 and match.end() < len(match.string) else "")
    return draft


class _Draft:
    """A text that is rewritten step by step and remembers where its characters come from."""

    def __init__(self, text: str):
        self.text = text
        self.spans: list[tuple[int, int]] | None = None  # None: nothing has moved yet

    def sub(self, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]) -> int:
        """Replaces what the pattern matches and says how many changed. A replacement of the same length stands character for character; any other is made of the
        whole match."""
        changes = [
            (match.start(), match.end(), new)
            for match in pattern.finditer(self.text)
            if (new := replace(match)) != match.group()
        ]
        if not changes:
            return 0
        spans = self.spans or [(index, index + 1) for index in range(len(self.text))]
        pieces: list[str] = []
        moved: list[tuple[int, int]] = []
        position = 0
        for start, end, new in changes:
            pieces += (self.text[position:start], new)
            moved += spans[position:start]
            same = len(new) == end - start
            moved += spans[start:end] if same else [(spans[start][0], spans[end - 1][1])] * len(new)
            position = end
        pieces.append(self.text[position:])
        self.text, self.spans = "".join(pieces), moved + spans[position:]
        return len(changes)


def _undisguise(draft: _Draft) -> None:
    """The draft in NFKC without invisible characters, its look-alike letters replaced by Latin ones."""
    draft.sub(_INVISIBLE, lambda match: "")
    draft.sub(_CLUSTER, _composed)
    # Words of look-alikes only ("аѕѕ") are read as Latin when another word gives the disguise away by mixing scripts.
    if _FOREIGN_LETTER.search(draft.text):
        is_disguised = any(_is_mixed(word) for word in _LETTERS.findall(draft.text))
        draft.sub(_LETTERS, lambda match: _latinised(match.group(), is_disguised))


def _composed(match: re.Match[str]) -> str:
    """A character and its marks in NFKC; marks that do not belong to a letter are dropped."""
    text = unicodedata.normalize("NFKC", match.group().translate(_TRADEMARKS).translate(_STYLED))
    return _COMBINING_MARKS.sub("", _INVISIBLE.sub("", text))


def _is_mixed(word: str) -> bool:
    return bool(_FOREIGN_LETTER.search(word) and _LATIN_LETTER.search(word))


def _latinised(word: str, is_disguised: bool) -> str:
    """A word that mixes scripts in Latin letters, and one of look-alikes only where the text is known to be disguised or the word would hide
    one that is worth hiding; any other as it is."""
    if not _FOREIGN_LETTER.search(word):
        return word
    latin = word.translate(_LOOK_ALIKES)
    is_whole = latin.isascii()
    return latin if _is_mixed(word) or (is_whole and (is_disguised or latin.lower() in _HIDDEN_SET)) else word


def _join(match: re.Match[str]) -> str:
    """The run of single characters without its separators, when it is mostly letters."""
    joined = match.group()[::2]
    num_letters = sum(char.isalpha() for char in joined)
    return joined if num_letters >= 3 or num_letters == len(joined) else match.group()


def _unleet(match: re.Match[str]) -> str:
    """A token such as "1d10t" in letters; years, prices, versions and names with digits as they are."""
    token = match.group()
    body = token.rstrip("!")  # an exclamation mark at the end is one
    end = token[len(body) :]
    if body.isalpha():
        return token
    if len(body) > 3 and (latin := body.translate(_LEET)) in _HIDDEN_SET:
        return latin + end
    if _CLEAN.fullmatch(body):
        return token
    if "!" in body and not _BANG_INSIDE.match(body):
        return token
    num_letters = sum(char.isalpha() for char in body)
    num_groups = len(re.findall(r"[^a-z]+", body))
    is_interleaved = num_letters >= 2 and num_groups >= 2 and body[-1].isalpha()  # "1d10t"
    if not is_interleaved and (num_letters * 2 < len(body) or num_letters < 2 + body[0].isdigit()):
        return token
    if body[:2].isdigit() or ("@" in body and re.match(r"\.[a-z]", match.string[match.end() :])):
        return token  # an amount and its unit, or an address
    if any(char in "28" for char in body) or (body[0] == "@" and not body.startswith("@ss")):
        return token  # 2 and 8 stand for sounds ("gr8"), and "@name" is a mention
    return body.replace("11", "ll").translate(_LEET) + end


def _unleet_all(match: re.Match[str]) -> str:
    """Any token of letters and the signs that stand for them in letters, amounts with a unit aside."""
    token = match.group()
    body = token.rstrip("!")
    if body.isalpha() or len(body) < 2 or _AMOUNT.fullmatch(body):
        return token
    return body.translate(_LEET) + token[len(body) :]


def _uncensor(match: re.Match[str]) -> str:
    """The hidden word that a token with signs in it stands for, or the token when none fits: "f**k", "sh*t", "id.iot"."""
    token = match.group()
    body = _SIGNS_BEHIND.sub("", token)
    end = token[len(body) :]
    if not (signs := len(_WILDCARD.findall(body))):
        return token
    known = len(body) - signs
    stars = sum(sign in "*#%" for sign in body)
    if known < (2 if stars == signs else 3) and not re.fullmatch(r"[fsbcd]\*{3,4}", body):
        return token
    if stars < signs and signs > 2:
        return token
    if (word := _fitting(body)) is not None:
        return word + end
    suffix = _SUFFIX.search(body)
    if suffix and known - len(suffix.group()) > 1 and (stem := _fitting(body[: suffix.start()])) is not None:
        return stem + suffix.group() + end
    return token


def _fitting(body: str) -> str | None:
    """The first listed word that fits: a star stands for a letter first of all, any other sign for none ("dick-head")."""
    first, *_, last = _WILDCARD.split(body)
    likely = [word for word in _HIDDEN if word.startswith(first) and word.endswith(last)]
    signs = ("[a-z]", "", "[a-z]{0,2}") if "*" in body else ("", "[a-z]", "[a-z]{0,2}")
    for sign in signs if likely else ():
        pattern = re.compile(_WILDCARD.sub(sign, body))
        for word in likely:
            if pattern.fullmatch(word):
                return word
    return None


def _shorten(match: re.Match[str]) -> str:
    """A word with no letter three times in a row; Roman numerals and "www" as they are."""
    word = match.group()
    if _ROMAN.fullmatch(word):
        return word[:4]
    return _REPEATED.sub(lambda run: _natural_length(run, word), word)


def _natural_length(run: re.Match[str], word: str) -> str:
    """One or two of a drawn-out letter, whichever English spells more often at that place."""
    letter = run.group(1)
    if letter in "eo" and run.start() > 0 and run.end() < len(word):
        return (
            letter * 2 if word[run.end() :] in ("d", "l", "n", "k", "t", "p", "r", "ds", "ks", "ls", "ts") else letter
        )
    if letter in "sl" and run.end() == len(word):
        return letter * 2
    if letter in "gs" and run.start() > 0 and run.end() < len(word):
        return letter * 2
    return letter
