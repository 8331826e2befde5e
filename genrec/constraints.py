"""Hard conditions over the typed attributes of any catalogue: read from a message, checked exactly, relaxed when nothing meets them all.

`Fields` is what a catalogue says of its items (names, values, ranges), read once. `parse_constraints` finds in a message what the visitor demands of
these fields, in English and Chinese, each with its character span; `is_met` checks one item; `nearest` says which statements have to give when no
item meets all. What is liked rather than demanded is left to `interests`.

Number words are read here: of the libraries, cn2an reads no English and word2number (last release 2017) no Chinese.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from genrec.schema import Attribute, Constraint, Item
from genrec.text import has_cjk, normalise, person_spans, words

Op = Literal["<=", ">=", "==", "!="]
Span = tuple[int, int]
Interval = tuple[float, float]
_Maker = Callable[[re.Match[str], str, Op, Attribute], Constraint]
_INFINITY = float("inf")

# Roles: what a column measures, whatever it is called; then units with their factor, and how a message speaks of it
_ROLES = tuple(
    (role, re.compile(pattern, re.IGNORECASE))
    for role, pattern in (
        ("players", r"^(?:players|people)_(?:min|max)$"),
        ("minutes", r"(?:^|_|\b)(?:runtime|running_?time|duration|length|episode|minutes?|mins?|hours?|days)(?:_|$|\b)|时长|片长|(?<!营业)(?<!开放)(?<!上映)时间$"),
        ("price", r"(?:^|_|\b)(?:price|cost|fee|fare|budget)s?(?!_?(?:level|range))(?:_|$|\b)|价格|票价|房价|门票|人均|消费|费用|学费"),
        ("rating", r"(?:^|_|\b)(?<!content_)(?:rating|score|stars?|vote_average)(?!s?_?count)(?:_|$|\b)|评分|打分|分数|星级"),
        ("pages", r"(?:^|_|\b)(?:num_)?pages?(?:_|$|\b)|页数"),
        ("age", r"^(?:min_?)?age(?:_?(?:min|limit))?$|^年龄"),
        ("certificate", r"content_?rating|certificat|mpaa"),
        ("language", r"^(?:original_?)?language$|^语言$"),
        ("near", r"周边|附近|near"),
        ("actor", r"^(?:cast|stars|starring|actors?)$|^(?:主演|演员)$"),
    )
)  # fmt: skip
_FACTORS = (
    (re.compile(r"(?:^|_)hours?(?:_|$)"), 60.0),
    (re.compile(r"(?:^|_)days(?:_|$)"), 1440.0),
)  # columns in other units than minutes
_UNITS: tuple[tuple[str, float, str], ...] = (
    ("minutes", 1.0, r"(?:minutes?|mins?)\b|分钟"),
    ("minutes", 60.0, r"(?:hours?|hrs?|h)(?![a-z])|个?(?:小时|钟头)"),
    ("minutes", 1440.0, r"days?\b|天"),
    ("pages", 1.0, r"pages?\b|页"),
    ("price", 1.0, r"(?:dollars|bucks|euros?|pounds|yuan|rmb|usd)\b|块钱?|元"),
    ("rating", 1.0, r"stars?\b|分(?!钟)|星级?"),
    ("players", 1.0, r"players\b|people\b|个?人(?!均)"),
    ("age", 1.0, r"years?[\s-]olds?\b|岁"),
)
_UNIT = re.compile("|".join(f"(?P<u{index}>{pattern})" for index, (_, _, pattern) in enumerate(_UNITS)), re.IGNORECASE)
_ANY_UNIT = "|".join(pattern for _, _, pattern in _UNITS)
_CUES = {
    "minutes": r"run(?:ning)?[\s-]?times?|durations?|length|lasts|lasting|takes?|游玩的?时[长间]|时长|片长|时间|能玩|可玩|可以玩|游玩|打完玩|玩",
    "price": r"prices?d?|costs?|fees?|tickets?|budget|admission|(?:最低)?价格|房价|票价|门票(?:价格)?|人均(?:消费)?|消费|预算|花费",
    "rating": r"rat(?:ed|ings?)|scor(?:ed?|es|ing)|评分|评价|打分|分数|口碑",
}
_FILLER = r"(?:\s|:|：|的|是|在|要|为|能够?|够|到|得|大概|大约|大于等于|最好|应该|希望|可以|个|\b(?:is|are|of|be|should|must|has|have|to|in|an?|the|imdb|it)\b)*?"
_DIGITS = r"\d+(?:,\d{3})*(?:\.\d+)?"
_ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_WORD_VALUES = {
    **{word: value for value, word in enumerate(_ONES, 1)},
    **{word: 10 * value for value, word in enumerate(_TENS, 2)},
}
_ENGLISH = rf"\b(?:half\s+an?|an?|{'|'.join((*_ONES, *_TENS, 'hundred'))})(?:[\s-]+(?:and\s+)?(?:{'|'.join((*_ONES, *_TENS, 'hundred', 'thousand'))}))*\b(?:\s+and\s+a\s+half\b)?"
_HAN_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_HAN_UNITS = {"十": 10, "百": 100, "千": 1000}
_HAN = r"[零〇一二两三四五六七八九十百千半]+"
_NUMBER = rf"(?:{_DIGITS}|{_ENGLISH}|{_HAN})"
_AT_MOST = r"under|below|less\s+than|fewer\s+than|at\s+(?:the\s+)?most|no(?:t)?\s+(?:more|longer|later|higher)\s+than|up\s+to|max(?:imum)?(?:\s+of)?|within|(?:shorter|cheaper|lower)\s+than|不超过|不高于|不大于|不多于|最多|最高|低于|少于|小于|不到|控制在|(?<!\w)<=?"
_AT_LEAST = r"over|above|more\s+than|at\s+(?:the\s+)?least|no(?:t)?\s+(?:less|fewer|lower|shorter)\s+than|min(?:imum)?(?:\s+of)?|(?:longer|higher|better)\s+than|超过|不低于|不少于|不小于|至少|最少|高于|大于|多于|(?<!\w)>=?"
_ABOUT = r"about|around|roughly|approximately|大概|大约|差不多"
_BEFORE = rf"(?P<most>{_AT_MOST})|(?P<least>{_AT_LEAST})|(?P<about>{_ABOUT})|(?P<between>between|from)|exactly"
_AFTER = (
    r"(?P<more>\s*(?:or|and)\s+(?:more|above|over|up|higher|better|longer)\b|\+|\s*plus\b|\s*及?以上|\s*起)"
    r"|(?P<fewer>\s*(?:or|and)\s+(?:less|under|below|fewer|lower|shorter|cheaper)\b|\s*(?:max|tops|at\s+most)\b|\s*及?(?:以下|以内|之内)|\s*内|\s*封顶|\s*(?:就能|能|可以|就可以)?(?:做|搞定))|\s*之间|(?P<near>\s*左右|\s*上下)"
)
_FLIPS = re.compile(
    r"(?:\b(?:not|nothing|no|never|isn't|aren't)(?:\s+(?:\w+s|any|much))?|不要|别|不想)\s*$", re.IGNORECASE
)
_REFUSAL = re.compile(
    r"(?:\b(?:not|no|without|except(?:\s+for)?|nothing|don'?t\s+(?:want|like))(?:\s+(?:from|in|on|by|any|anything))*|不要|除了|别|不想要?|不看|不吃|不喜欢)\s*$",
    re.IGNORECASE,
)
_MONEY = r"[$€£¥￥]\s?"
_AND_SOME = rf"\s*(?:and\s+)?(?:(?P<half_more>a\s+half\b|半(?!小时))|(?P<minutes_more>{_DIGITS}|{_HAN}|{_ENGLISH})\s?(?:minutes?\b|mins?\b|m\b|分钟)|(?<=h)(?P<clock>\d\d)\b)"
_ANY_CUE = "|".join(f"(?P<{role}>{pattern})" for role, pattern in _CUES.items())
_QUANTITY = re.compile(
    rf"(?:(?<![a-z])(?:{_ANY_CUE}){_FILLER})?(?:(?:{_BEFORE})\s*)?(?P<money>{_MONEY})?(?<![a-z\d.])(?<!第)(?P<low>{_NUMBER})(?P<half>个半)?(?:[\s-]?(?P<unit>{_ANY_UNIT})(?:(?<=[rsh时])(?:{_AND_SOME}))?)?"
    rf"(?:\s*(?:-|–|—|~|～|到|至|、|to\b|and\b|or\b)\s*(?:{_MONEY})?(?P<high>{_NUMBER})\s?(?P<unit2>{_ANY_UNIT})?)?(?:{_AFTER})?",
    re.IGNORECASE,
)
LESSER_KNOWN = re.compile(  # what few know is wanted: less a condition than a preference, which the ranking turns round
    r"\b(?:(?:lesser|less|little)[\s-]+known|under[\s-]?rated|overlooked|obscure|hidden\s+(?:gems?|treasures?)|niche|off\s+the\s+beaten\s+(?:path|track)"
    r"|not\s+(?:(?:so|too|very|that|really|as)\s+)?(?:famous|popular|mainstream|(?:well|widely)[\s-]+known)|un(?:known|popular)"
    r"|(?:few|not\s+many)\s+(?:people\s+)?(?:know|have\s+(?:seen|read|heard))|nobody\s+(?:knows|has\s+(?:seen|read|heard)))\b"
    r"|冷门|小众|鲜为人知|不(?:太|那么|怎么|大|是很)?(?:出名|有名|知名|热门)|没(?:什么|多少|几个)人知道|被?低估",
    re.IGNORECASE,
)
DECADE = re.compile(
    r"(?<!my )(?<!his )(?<!her )(?<!their )\b((?:19|20)?\d0)'?s\b|(?<!\d)((?:19|20)?\d0)(?:年代|(?=[到至、和-](?:19|20)?\d0年代))|\b(twenties|thirties|forties|fifties|sixties|seventies|eighties|nineties)\b",
    re.IGNORECASE,
)
_DECADES = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties")
_YEARS = re.compile(
    r"\b(before|after|since|until|from|older than|newer than)\s+((?:1[4-9]|20)\d\d)\b(?!\s*(?:-|–|to\b))|((?:1[4-9]|20)\d\d)年?(以前|之前|以后|之后)",
    re.IGNORECASE,
)
_IN_YEAR = re.compile(
    r"\b(?:in|made\s+in|released\s+in|year(?:\s+(?:is|of))?|an?|the)\s+((?:19|20)\d\d)(?=\s+(?:film|movie|book|album|series|game|song|release)|[,.!?;]|$)|(?<![\d到至~—–-])((?:19|20)\d\d)年(?:的|上映|出版|发行)",
    re.IGNORECASE,
)
_YEAR_RANGE = re.compile(
    r"(?<![\d-])(?:(?:between|from)\s+)?((?:19|20)\d\d)\s*(?:-|–|—|to|and|到|至)\s*((?:19|20)\d\d)(?!\d)年?(?:之间)?",
    re.IGNORECASE,
)
_PLAYERS = re.compile(
    r"\b(?:for |with )?(\d|two|three|four|five|six)(?:\s*(?:-|–|to|or)\s*(\d|two|three|four|five|six))?[\s-]*(?:players?|people|of us)\b|\bfor (two|three|four)\b|(?<![第\d])([两二三四五六\d])(?:[-到至~]([两二三四五六\d]))?个?人(?!均)(?:玩)?",
    re.IGNORECASE,
)
_FREE = re.compile(
    r"(?:门票|票价|价格|消费)?(?:是|要)?免费(?:的)?|不(?:要|花|收)(?:钱|门票|费)|\bfor\s+free\b|\bfree\s+(?:of\s+charge|admission|entry|entrance)\b|\b(?:no|without\s+(?:an?\s+|any\s+)?)\s*(?:entry|entrance|admission)\s+fees?\b|(?:无需|免)门?票|\bcosts?\s+nothing\b",
    re.IGNORECASE,
)
_CHILD = re.compile(
    r"\b(?:an?|my|our)\s+(\d{1,2}|\w+)[\s-]year[\s-]olds?\b|\b(?:aged?|age)\s+(\d{1,2})\b|(\d{1,2}|[一二两三四五六七八九十]+)岁的?(?:孩子|小孩|儿子|女儿|宝宝|娃|小朋友)",
    re.IGNORECASE,
)
_CERTIFICATES = "G|PG-13|PG|R|NC-17|NR|TV-(?:Y7?|G|PG|14|MA)"
_CERTIFICATE = re.compile(
    rf"\b[Rr]ated\s+((?:{_CERTIFICATES})(?:(?:\s*,\s*|\s*/\s*|\s+or\s+|,\s*or\s+|\s+and\s+)(?:{_CERTIFICATES}))*)(?![\w-])|(?<![\w-])((?:{_CERTIFICATES})(?:(?:\s*/\s*|\s+or\s+)(?:{_CERTIFICATES}))*)[\s-](?:rated|rating)\b"
)
_VAGUE: tuple[tuple[str, Op, float, str], ...] = (  # role, op, quantile among items of the kind, words
    ("minutes", "<=", 0.5, r"\bnot\s+(?:too|so|very|that)\s+long\b|\bnothing\s+(?:too\s+)?long\b|(?:不要?|别)太长"),
    ("minutes", "<=", 0.35, r"\b(?:short|quick)\b(?=\s+(?:films?|movies?|books?|reads?|games?|ones?|albums?)\b)|时间短"),
    ("pages", "<=", 0.35, r"\b(?:short|quick)\b(?=\s+(?:books?|reads?|novels?|ones?)\b)"),
    ("pages", "<=", 0.5, r"\bnot\s+(?:too|so|very|that)\s+(?:long|thick)\b|(?:不要?|别)太[长厚]"),
    ("price", "<=", 0.35, r"\b(?:cheap|inexpensive|affordable|not\s+(?:too\s+)?expensive)\b|便宜|实惠|(?:不要?|别)太贵|不贵"),
    ("price_level", "<=", 0.35, r"\b(?:cheap|inexpensive|affordable|not\s+(?:too\s+)?expensive)\b|便宜|实惠|(?:不要?|别)太贵|不贵"),
    ("rating", ">=", 0.65, r"\b(?:highly|well|top)[\s-]rated\b|\bgood\s+(?:reviews|ratings?)\b|评分高|口碑好|(?<!最)好评(?!分)"),
    ("difficulty", "<=", 0.5, r"\b(?:not\s+(?:too\s+)?(?:hard|difficult)|for\s+beginners)\b|(?:不要?|别)太难"),
)  # fmt: skip
_VAGUE_RE = tuple((role, op, share, re.compile(pattern, re.IGNORECASE)) for role, op, share, pattern in _VAGUE)

# "Shorter", "比它便宜一点": the measures that it may be about (the first that the item compared with gives), op, words in English and in Chinese
_COMPARED: tuple[tuple[tuple[str, ...], Op, str, str], ...] = (
    (("seasons", "pages", "minutes"), "<=", r"shorter|briefer|quicker|less\s+(?:long|lengthy|time-consuming)", r"(?:更|再)?短一?[点些]儿?|[更再]短|(?:没|不要|别)那么长"),
    (("seasons", "pages", "minutes"), ">=", r"longer|lengthier", r"(?<![时成生增片特校])(?:更|再)?长一?[点些]儿?|[更再]长"),
    (("price", "price_level"), "<=", r"cheaper|less\s+(?:expensive|pricey|costly)|more\s+affordable", r"(?:更|再)?便宜一?[点些]儿?|[更再]便宜|(?:没|不要|别)那么贵"),
    (("price", "price_level"), ">=", r"more\s+(?:expensive|upscale|luxurious)|pricier|fancier", r"(?:更|再)?(?:贵|高档)一?[点些]儿?|[更再](?:贵|高档)"),
    (("year",), "<=", r"older|earlier(?=\s+(?:ones?|than))|less\s+(?:recent|modern)", r"(?:年代)?(?:更|再)?[老旧]一?[点些]儿?|[更再][老旧]|年代(?:更|再)?(?:早|久|远)一?[点些]?儿?|[更再]早|早一?[点些]儿?的"),
    (("year",), ">=", r"newer|later(?=\s+(?:ones?|than))|more\s+(?:recent|modern|contemporary)", r"(?:年代)?(?:更|再)?新一?[点些]儿?|[更再]新(?=的|$|[，。！？,.!? ])|年代(?:更|再)?近一?[点些]?儿?|近一?[点些]儿?的?年代"),
    (("difficulty",), "<=", r"easier|simpler|less\s+(?:difficult|hard|challenging|advanced|demanding)", r"(?:更|再)?(?:简单|容易)一?[点些]儿?|[更再](?:简单|容易)|(?:没|不要|别)那么难"),
    (("difficulty",), ">=", r"harder|tougher|more\s+(?:difficult|challenging|advanced|demanding)", r"(?<!别)(?:更|再)?难一?[点些]儿?|[更再](?:难|有挑战)"),
    (("rating",), ">=", r"(?:better|higher)[\s-]rated", r"(?:评分|口碑|评价)(?:更|再)?[高好]一?[点些]?儿?"),
)  # fmt: skip
_COMPARED_NOUNS = "ones?|options?|alternatives?|picks?|versions?|things?|films?|movies?|series|shows?|books?|novels?|reads?|albums?|records?|games?|places?|trips?|dish(?:es)?|recipes?|courses?|class(?:es)?|activit(?:y|ies)|products?|gifts?|hotels?|restaurants?"
_REFERRED = r"(?:(?:the|your)\s+)?(?P<which>first|second|last|previous|other|both|these|those|this|that|it|them|what)(?:\s+(?:one|ones|two|three|pick|picks|suggestions?|recommendations?|you\s+\w+|of\s+(?:them|those|these)))*"
_REFERRED_ZH = r"(?:刚才|刚刚|之前)?(?:的|你推荐的)?(?:第(?P<which_zh>[一二])|上|前|这|那)[一两二]?[个部本张首款道门件]?|它们?|刚才(?:那|的)[^，。！？]{0,3}|上次的?"
_COMPARED_RE = tuple(
    (
        roles,
        op,
        re.compile(
            rf"(?:比(?!较)(?P<than_zh>[^，。！？,.!?]{{1,24}}?)(?:还要?|要|再|更)?)?(?P<zh>{chinese})"
            rf"|(?<![\w-])(?<!\bare\s)(?<!\bis\s)(?<!\bam\s)(?<!\bwas\s)(?<!\bwere\s)(?<!\bget\s)(?<!\bgetting\s)(?P<en>{english})(?![\w-])(?:\s+than\s+(?P<than>\S.*)|(?=\s*(?:$|[^\w\s]|(?:please|pls|and|but|or|though|if|this\s+time|again|(?:\w+\s+)?(?:{_COMPARED_NOUNS}))\b)))",
            re.IGNORECASE,
        ),
    )
    for roles, op, english, chinese in _COMPARED
)
_REFERRED_RE = re.compile(rf"{_REFERRED}\b", re.IGNORECASE)
_REFERRED_ZH_RE = re.compile(_REFERRED_ZH)
_AMOUNTS = ("minutes", "pages", "price")  # of which a hundredth less is no "shorter"
_STEP = 0.1  # the share by which an amount should be less, or more, where there is such an item

# Words by which messages name what columns hold in another language or another form
_LANGUAGES = {
    "英语": "english", "英文": "english", "日语": "japanese", "日文": "japanese", "普通话": "mandarin", "国语": "mandarin", "中文": "chinese", "汉语": "chinese",
    "法语": "french", "法文": "french", "德语": "german", "西班牙语": "spanish", "意大利语": "italian", "韩语": "korean", "粤语": "cantonese", "俄语": "russian",
    "葡萄牙语": "portuguese", "印地语": "hindi", "阿拉伯语": "arabic", "瑞典语": "swedish", "丹麦语": "danish", "挪威语": "norwegian", "波兰语": "polish",
    "土耳其语": "turkish", "泰语": "thai", "波斯语": "persian", "希伯来语": "hebrew",
}  # fmt: skip
_SWITCHES = {  # what a boolean column is called in Chinese, and in English where its name does not say it
    "vegan": "vegan|纯素|全素", "vegetarian": "vegetarian|素食|素菜|吃素", "gluten free": "gluten[- ]free|无麸质", "online": "online|线上|在线|网课",
    "indoor": "indoors?|室内", "outdoor": "outdoors?|户外|室外", "wifi": "wi-?fi|无线网", "wi fi": "wi-?fi|无线网", "pool": "(?:swimming )?pool|游泳池|泳池", "parking": "parking|停车",
    "pets": "pets?|dogs?|宠物", "pet friendly": "pets?|dog-friendly|pet-friendly|宠物", "smoking": "smok(?:e|ing)|吸烟", "breakfast": "breakfast|早餐",
    "seating outdoors": "outdoor seating|outdoor seats?|seats? outdoors|outside seating|露天座", "good for kids": "(?:good for|suitable for|with) (?:kids|children)|kid-friendly|family-friendly|亲子",
    "laundry service": "laundry|洗衣", "entry": "entry",
}  # fmt: skip
_SWITCH_AFFIXES = re.compile(
    r"^(?:has|is|have|with|offers?|allows?)_|_(?:allowed|available|options?|offered|included)$"
)
_TO = re.compile(r"\s*(?:-|–|—|~|to|through|till|until|到|至)\s*", re.IGNORECASE)
_OR = re.compile(r"\s*(?:[,，/]\s*)?(?:\bor\b|或者?|还是|/)\s*(?:on\s+|in\s+)?", re.IGNORECASE)
_AND = re.compile(
    r"\s*(?:[,，、&+]|[,，]?\s*\band\b|和|与|及|以及|还有|跟|，?并且|，?且)\s*(?:on\s+|in\s+|有|提供|能|可以)?",
    re.IGNORECASE,
)
_WHOLE_NAME = r"(?:[A-Z]\.|[A-Z][\w'’-]*)(?:\s+(?:(?:de|del|la|van|von|der|bin|al|di|da)\s+)*(?:[A-Z]\.|[A-Z][\w'’-]+))*"  # no further than its sentence
_MAKER = re.compile(
    rf"\b(?:(?:directed|written|made|painted|composed|sung|designed)\s+by|director(?:\s+is)?|by)\s+({_WHOLE_NAME})(?!\w)"
)
_ACTOR = re.compile(rf"\bstarring\s+({_WHOLE_NAME})(?!\w)")
_PLAY = r"(?:^|[.!?,;]\s*|\b(?:please|you|hey|just)\s+)(?i:play)\s+(?:(?:me|us|some|something\s+by)\s+)*"  # what is said to who has the music
_WORKS = r"(?i:songs?|music|tracks?|albums?|records?|movies?|films?|books?|novels?)"
_CERTAIN_MAKER = re.compile(
    rf"(?:\b{_WORKS}\s+(?i:by|from)\s+(?P<name>{_WHOLE_NAME})|(?:\b(?i:something|anything|stuff|more)\s+(?i:by)\s+|{_PLAY})(?P<full>{_WHOLE_NAME}))"
)
_NO_NAME = re.compile(
    r"(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|January|February|March|April|May|June|July|August|September|October|November|December|The|A|An|My|I)\b"
)
_SHOWN_ACTOR = re.compile(
    rf"(?:\b(?i:starring|featuring|(?:acted|played)\s+by|possibly\s+with)|(?:\b(?i:movies?|films?|series|shows?)\s+|(?<=\)\s))with)\s+(?P<led>{_WHOLE_NAME})(?!\w|\s+as\s+(?:the\s+)?director)"
    rf"|\b(?:with\s+)?(?P<acting>{_WHOLE_NAME})\s+(?i:in\s+it|in\s+the\s+cast|(?:acts?|acting|stars?|starring|plays)(?=\s+in))\b"
)
_OF_PERSON_ZH = re.compile(
    r"(?:导演|执导|(?P<acts>主?演)|[拍唱写])?的(?:新|老|经典|代表)?(?:歌|专辑|音乐|唱片|电影|片|作品|书|小说|剧|戏)"
)
_OF_MAKER = re.compile(rf"(?:\b(?i:by|director|author|(?:by|director|author)\s+(?:is|was))\s+|{_PLAY})$")
_OF_MAKER_ZH = re.compile(r"(?:导演|执导|[拍写唱作]|出品)?的|导演|执导|主唱")
_LIKE_ONE = re.compile(r"\b(?:like|similar\s+to|such\s+as|than)\b[^,.;!?]*$|(?:像|类似)[^，。！？]*$", re.IGNORECASE)
_NEAR = re.compile(r"\b(?:near|close\s+to|next\s+to)\s+(?:the\s+)?$", re.IGNORECASE)
_NEAR_ZH = re.compile(r"的?(?:附近|周边|旁边|边上)")
_LANGUAGE_CUE = re.compile(r"(?:\bin|\blanguage|\bspoken|\bnot|\bbut|\bexcept)\s+(?:\w+\s+or\s+)?$", re.IGNORECASE)
_LANGUAGE_AFTER = re.compile(r"[\s-](?:language|spoken|dialogue)", re.IGNORECASE)
_ABOUT_A_PLACE = re.compile(r"(?:\b(?:about|set\s+in|on|of|in)|关于|讲|去|到)\s*(?:the\s+)?$", re.IGNORECASE)
_NO_VALUE = {
    "没有",
    "无",
    "暂无",
    "其他",
    "其它",
    "none",
    "no",
    "n a",
    "na",
    "other",
    "unknown",
}  # fillers of cells, and common words of messages
_ANY_VALUE = {"any", "all", "all year", "不限", "全年"}  # values of an item that meet every demand
_TOKEN = re.compile(r"[\u3400-\u9fff]|(?:(?![\u3400-\u9fff])[^\W_])+(?:['’](?:(?![\u3400-\u9fff])[^\W_])+)?")
_MAX_VALUE = 40  # characters of a value that a message may name; longer ones are prose
_SOME = 0.25  # share of the items wanted that must give a measure before an amount of it is demanded
_ENOUGH = 0.5  # share of the items wanted that must say something of a field before it is demanded of them


@dataclass(frozen=True)
class Field:
    """What a catalogue says in one column: how many items of each kind say it, and its values."""

    name: str
    role: str
    counts: Mapping[str, int]  # items that say it, by kind
    numbers: Mapping[str, np.ndarray]  # sorted, by kind, in the base unit of the role
    intervals: Mapping[Interval, str]  # of text values such as "1小时 - 2小时", in the base unit
    values: Mapping[
        str, Attribute
    ]  # what a message may say, normalised → as the catalogue writes it; several values where it may mean several
    is_list: bool = False
    is_switch: bool = False


@dataclass(frozen=True)
class Fields:
    """The columns of a catalogue; without one, only years, lengths, pages and players are understood."""

    by_name: Mapping[str, Field] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)  # number of items, by kind
    by_value: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)  # normalised value → field names

    @classmethod
    def of(cls, items: Iterable[Item]) -> Fields:
        sizes: dict[str, int] = {}
        said: dict[str, dict[str, list[Attribute]]] = {}
        for item in items:
            sizes[item.kind] = sizes.get(item.kind, 0) + 1
            named = {"creator": _makers(item), "country": item.country, "year": item.year}
            for name, value in (*item.attributes.items(), *named.items()):
                if value not in (None, "", ()):
                    said.setdefault(name, {}).setdefault(item.kind, []).append(value)  # type: ignore[arg-type]
        by_name = {name: _field(name, by_kind) for name, by_kind in said.items()}
        by_value: dict[str, list[str]] = {}
        for one in by_name.values():
            if one.role not in ("certificate", "minutes") and one.name != "country":  # which have rules of their own
                for value in one.values.keys() - _NO_VALUE - _ANY_VALUE:
                    by_value.setdefault(value, []).append(one.name)
        return cls(by_name, sizes, {value: tuple(names) for value, names in by_value.items()})

    def share(self, one: Field, kinds: Collection[str]) -> float:
        """The share in [0, 1] of the items of these kinds (of all, where there are none) that say something of the field."""
        wanted = [kind for kind in kinds if kind in self.sizes] or list(self.sizes)
        return sum(one.counts.get(kind, 0) for kind in wanted) / max(1, sum(self.sizes[kind] for kind in wanted))

    def says(self, role: str, kinds: Collection[str]) -> bool:
        """Whether enough of the items of these kinds give this measure for it to be demanded of them."""
        of_role = [one for one in self.by_name.values() if role in (one.role, one.name)]
        return sum(self.share(one, kinds) for one in of_role) >= (_SOME if kinds else 1e-9)

    def of_role(self, role: str, kinds: Collection[str] = ()) -> Field | None:
        """The field that measures this in most of the items of these kinds."""
        found = [one for one in self.by_name.values() if role in (one.role, one.name)]
        return max(found, key=lambda one: self.share(one, kinds), default=None)

    def quantile(self, role: str, share: float, kinds: Collection[str]) -> float | None:
        """The value that this share of the items of these kinds does not exceed; None where few say."""
        parts = [
            one.numbers[kind]
            for one in self.by_name.values()
            if role in (one.role, one.name)
            for kind in kinds
            if kind in one.numbers
        ]
        numbers = np.concatenate(parts) if parts else np.zeros(0)
        num_items = sum(self.sizes.get(kind, 0) for kind in kinds)
        return float(np.quantile(numbers, share, method="lower")) if len(numbers) > _ENOUGH * num_items else None


def _field(name: str, by_kind: Mapping[str, Sequence[Attribute]]) -> Field:
    role, factor = role_of(name), factor_of(name)
    numbers: dict[str, np.ndarray] = {}
    intervals: dict[Interval, str] = {}
    values: dict[str, Attribute] = {}
    flat = [(kind, value) for kind, said in by_kind.items() for value in said]
    for kind, said in by_kind.items():
        found = [
            float(value) * factor for value in said if isinstance(value, (int, float)) and not isinstance(value, bool)
        ]
        if found:
            numbers[kind] = np.sort(np.array(found))
    for _, value in flat:
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and len(text) <= _MAX_VALUE and (key := normalise(text)):
                values[key] = text
                if role in ("minutes", "price") and (interval := _interval(text, factor)):
                    intervals[interval] = text
    ways = {} if name == "creator" else _other_ways(values, role)
    values = {**ways, **values}
    return Field(
        name,
        role,
        {kind: len(said) for kind, said in by_kind.items()},
        numbers,
        intervals,
        values,
        any(isinstance(value, tuple) for _, value in flat),
        all(isinstance(value, bool) or value in ("True", "False") for _, value in flat),
    )


def _other_ways(values: Mapping[str, Attribute], role: str) -> dict[str, Attribute]:
    """Other words for values: a language's Chinese name; the foreign word in a Chinese value ("部分房间提供wifi" is wifi, and so are its like)."""
    ways: dict[str, Attribute] = {}
    if role == "language":
        ways = {chinese: values[english] for chinese, english in _LANGUAGES.items() if english in values}
    for key, text in values.items():
        for word in re.findall(r"[a-z]{3,}", key if has_cjk(key) else ""):
            for way in {word, word.replace("wifi", "wi fi")}:
                ways[way] = (*_parts(ways.get(way, ())), text)
    return ways


@lru_cache(maxsize=4096)
def role_of(name: str) -> str:
    """What a column of this name measures; "" where that is not known."""
    if name == "year":
        return "year"
    return next((role for role, pattern in _ROLES if pattern.search(name)), "")


@lru_cache(maxsize=4096)
def factor_of(name: str) -> float:
    """By what a number in this column is multiplied to have it in the base unit of its role (minutes)."""
    return next((factor for pattern, factor in _FACTORS if pattern.search(name)), 1.0)


# Checking


def is_met(item: Item, constraint: Constraint) -> bool:
    """Whether an item meets a constraint. An item that does not say is not let through, unless something is ruled out.

    Of a field with several values one must be the demanded one ("=="), or none may be ("!="); a demanded tuple means any of its values. Of an item
    that gives an interval (minutes, price), both ends must keep a limit.
    """
    if constraint.field == "players" and "players" not in item.attributes:
        return _seats(item, constraint.value)
    said = _said(item, constraint.field)
    if constraint.op in ("==", "!="):
        keys = _wanted(constraint.value, is_ruled_out=constraint.op == "!=")
        return any(_key(value) in keys for value, _ in said) == (constraint.op == "==")
    limit = constraint.value
    if isinstance(limit, (bool, str, tuple)):
        return False
    intervals = [found for value, factor in said if (found := _interval(value, factor))]
    if constraint.op == "<=":
        return any(high <= limit for _, high in intervals)
    return any(low >= limit for low, _ in intervals)


def subject(constraint: Constraint) -> str:
    """What a constraint is about: a role where its field has one, so that "能玩1小时" and "两小时以内" are about the same."""
    return role_of(constraint.field) or constraint.field


def miss(item: Item, constraint: Constraint) -> float:
    """How far an item is from meeting a constraint, in [0, 2]: 0 when it does, the share of the limit by which a number misses it (at most 1), 1 for
    another value, 2 when the item does not say."""
    if is_met(item, constraint):
        return 0.0
    said = _said(item, constraint.field)
    if not said:
        return 2.0
    limit = constraint.value
    if isinstance(limit, (str, bool, tuple)):
        return 1.0
    ends = [end for value, factor in said for end in (_interval(value, factor) or ())]
    scale = 50.0 if constraint.field == "year" else max(abs(limit), 1.0)
    return min([1.0, *(abs(end - limit) / scale for end in ends)])


class Demands:
    """How the items of one catalogue stand to constraints, each asked only once: messages that say much the same demand the same."""

    def __init__(self, items: Sequence[Item]):
        self._items = items
        self._known: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}
        self._ends: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def met(self, constraint: Constraint, rows: np.ndarray) -> np.ndarray:
        """Whether the items at some places meet it, bool (num_rows,)."""
        return self._asked(0, is_met, constraint, rows) > 0

    def missed(self, constraint: Constraint, rows: np.ndarray) -> np.ndarray:
        """How far they miss it, as `miss` tells (num_rows,)."""
        return self._asked(1, miss, constraint, rows)

    def _asked(
        self, which: int, ask: Callable[[Item, Constraint], float], constraint: Constraint, rows: np.ndarray
    ) -> np.ndarray:
        key = (constraint.field, constraint.op, repr(constraint.value))  # 1 is not True
        if key not in self._known:
            limit = constraint.value if constraint.op in ("<=", ">=") and constraint.field != "players" else None
            if isinstance(limit, (int, float)) and not isinstance(limit, bool) and abs(limit) < 1e15:
                self._known[key] = self._by_limit(constraint, limit)
            else:
                self._known[key] = np.full(len(self._items), math.nan), np.full(len(self._items), math.nan)
        values = self._known[key][which]
        for row in rows[np.isnan(values[rows])].tolist():
            values[row] = ask(self._items[row], constraint)
        return values[rows]

    def _by_limit(self, constraint: Constraint, limit: float) -> tuple[np.ndarray, np.ndarray]:
        """Whether items keep a limit and how far they miss it, both (num_items,): `is_met` and `miss` of all at once."""
        if constraint.field not in self._ends:
            said = [_said(item, constraint.field) for item in self._items]
            given = [
                (row, *found)
                for row, own in enumerate(said)
                for value, factor in own
                if (found := _interval(value, factor))
            ]
            owners, lows, highs = np.array(given, float).reshape(-1, 3).T
            self._ends[constraint.field] = (
                np.array([bool(own) for own in said]),
                owners.astype(int),
                np.stack([lows, highs]),
            )
        says, owners, ends = self._ends[constraint.field]
        met = np.zeros(len(self._items))
        met[owners[ends[1] <= limit if constraint.op == "<=" else ends[0] >= limit]] = 1
        missed = np.where(says, 1.0, 2.0)
        scale = 50.0 if constraint.field == "year" else max(abs(limit), 1.0)
        np.minimum.at(missed, owners, (np.abs(ends - limit) / scale).min(0))
        return met, np.where(met, 0, missed)


def nearest(
    demands: Demands, allowed: np.ndarray, constraints: Sequence[Constraint]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Which of the allowed items to offer: bool (num_items,); how far each misses, float (num_items,); the words of the statements that had to give.

    As few statements as possible go; of as many, those by which the nearest item is nearest. What is said in the same words (both ends of a range)
    is one statement.
    """
    statements: dict[tuple, list[Constraint]] = {}
    for one in constraints:
        statements.setdefault((one.turn, one.start, one.end, one.text, one.field), []).append(one)
    rows = np.flatnonzero(allowed)
    failed = np.array(
        [~np.all([demands.met(one, rows) for one in parts], 0) for parts in statements.values()], bool
    ).reshape(len(statements), len(rows))  # (num_statements, num_allowed)
    missed = np.zeros(len(allowed))
    num_failed = failed.sum(0)
    best = num_failed.min(initial=len(statements)) if len(rows) else 0
    if best:
        is_near = num_failed == best
        for parts in statements.values():
            for one in parts:
                missed[rows[is_near]] += demands.missed(one, rows[is_near])
        given_up = failed[:, is_near][:, np.argmin(missed[rows[is_near]])]
    else:
        given_up = np.zeros(len(statements), bool)
    offered: np.ndarray = np.zeros(len(allowed), bool)
    offered[rows[~failed[~given_up].any(0)]] = True
    texts = [parts[0].text for parts, is_out in zip(statements.values(), given_up, strict=True) if is_out]
    return offered, missed, tuple(dict.fromkeys(texts))


def _said(item: Item, name: str) -> list[tuple[Attribute, float]]:
    """What an item says of a field or role: single values, each with the factor of its column."""
    if name == "year":
        return [(item.year, 1.0)] if item.year is not None else []
    if name in ("country", "creator"):
        return [(one, 1.0) for one in (_makers(item) if name == "creator" else (item.country,)) if one]
    if name in item.attributes:
        columns = [(item.attributes[name], factor_of(name))]
    else:
        columns = [(value, factor_of(key)) for key, value in item.attributes.items() if role_of(key) == name][:1]
    return [(one, factor) for value, factor in columns for one in (value if isinstance(value, tuple) else (value,))]


def _makers(item: Item) -> tuple[str, ...]:
    """Who made it, together and one by one, in both languages."""
    both = [item.creator, item.creator_zh]
    parts = [part for text in both for part in re.split(r"\s*(?:[,;、，/&]|\band\b)\s*", text)]
    return tuple(dict.fromkeys(one for one in (*both, *parts) if one))


@lru_cache(maxsize=256, typed=True)  # every item of a catalogue is asked in turn
def _wanted(value: Attribute, *, is_ruled_out: bool) -> frozenset[object]:
    values = value if isinstance(value, tuple) else (value,)
    return frozenset({_key(one) for one in values} | (set() if is_ruled_out else _ANY_VALUE))


def _key(value: Attribute) -> object:
    if isinstance(value, bool) or value in ("True", "False"):
        return str(value)
    return _folded(value) if isinstance(value, str) else value


@lru_cache(maxsize=2**16)  # a catalogue's values, which every message is checked against
def _folded(text: str) -> str:
    return normalise(text) or text


def _seats(item: Item, number: Attribute) -> bool:
    low = item.attributes.get("players_min", item.attributes.get("people_min", 1))
    high = item.attributes.get("players_max", item.attributes.get("people_max"))
    if isinstance(number, (str, tuple)) or not isinstance(high, (int, float)) or not isinstance(low, (int, float)):
        return False
    return low <= number <= high


def _interval(value: Attribute, factor: float = 1.0) -> Interval | None:
    """The interval that a value stands for: 90 → (90, 90), "1小时 - 2小时" → (60, 120); None where it is no amount."""
    if isinstance(value, (int, float)):
        return value * factor, value * factor
    if isinstance(value, tuple):
        return None
    return _text_interval(value)


@lru_cache(maxsize=4096)
def _text_interval(text: str) -> Interval | None:
    match = _QUANTITY.fullmatch(text.strip())
    if not match or not re.search(r"\d", text):
        return None
    amounts = _amounts(match)
    return (amounts[0], amounts[1]) if amounts else None


# Reading


def number_of(text: str) -> float | None:
    """The number that digits, English or Chinese words stand for: "1,200", "two hundred and fifty", "一百五十", "半"; None where none does."""
    text = text.strip().lower()
    if re.fullmatch(_DIGITS, text):
        return float(text.replace(",", ""))
    if has_cjk(text):
        return _han_number(text)
    total, part, half = 0.0, 0.0, 0.0
    text, num_halves = re.subn(r"\s+and\s+a\s+half$|^half(?:\s+an?)?$", "", text)
    half = 0.5 * num_halves
    for word in re.findall(r"[a-z]+", text):
        if word in ("hundred", "thousand"):
            part = (part or 1) * (100 if word == "hundred" else 1000)
            if word == "thousand":
                total, part = total + part, 0.0
        elif word in ("a", "an"):
            part += 1
        elif word in _WORD_VALUES:
            part += _WORD_VALUES[word]
        elif word != "and":
            return None
    return total + part + half if total + part + half else None


def _han_number(text: str) -> float | None:
    if text == "半":
        return 0.5
    total, part, last = 0, 0, 1
    for character in text.removesuffix("半"):
        if character in _HAN_UNITS:
            last = _HAN_UNITS[character]
            total, part = total + (part or 1) * last, 0
        elif character in _HAN_DIGITS:
            part = part * 10 + _HAN_DIGITS[character] if last == 1 else _HAN_DIGITS[character]
        else:
            return None
    if part and last >= 100 and "零" not in text:
        part *= last // 10  # "一百五" is 150
    return float(total + part) + (0.5 if text.endswith("半") else 0.0)


def parse_constraints(
    message: str,
    turn: int = 0,
    *,
    fields: Fields = Fields(),
    kinds: Collection[str] = (),
    taken: Sequence[Span] = (),
    countries: Sequence[tuple[str, int, int]] = (),
    is_negated: Callable[[str, int], bool] = lambda message, start: False,
) -> list[Constraint]:
    """What a message demands, in order of position. `kinds` are those the visitor wants; `taken` are spans that mean something else (titles);
    `countries` are (name, start, end) that the message names; `is_negated` tells whether what starts somewhere is refused.
    """

    def is_free(start: int, end: int) -> bool:
        return not any(low < end and start < high for low, high in taken)

    values = [one for one in _values(message, turn, fields, kinds, is_negated) if is_free(one.start, one.end)]
    values += _countries(message, turn, fields, kinds, countries, is_negated)
    blocked = [(one.start, one.end) for one in values]
    found = [
        one
        for one in _amount_constraints(message, turn, fields, kinds)
        if is_free(one.start, one.end) and not any(low < one.end and one.start < high for low, high in blocked)
    ]
    blocked += [(one.start, one.end) for one in found]
    vague = [
        one
        for one in _vague(message, turn, fields, kinds)
        if not any(low < one.end and one.start < high for low, high in blocked)
    ]
    return _settled(sorted([*values, *found, *vague], key=lambda one: (one.start, one.end)), fields)


def _settled(found: list[Constraint], fields: Fields) -> list[Constraint]:
    """Later statements win over earlier ones on the same field and side, but for several values of a field that holds several."""
    kept: list[Constraint] = []
    for one in found:
        field_of = fields.by_name.get(one.field)
        if not (field_of and field_of.is_list) and one.field != "players":
            kept = [
                other
                for other in kept
                if subject(other) != subject(one)
                or (other.start, other.end) == (one.start, one.end)
                or {other.op, one.op} in ({"<=", ">="}, {"==", "!="})
            ]
            kept = [other for other in kept if subject(other) != subject(one) or not clash(other, one)]
        if one not in kept:
            kept.append(one)
    return kept


def clash(one: Constraint, other: Constraint) -> bool:
    """Whether no value can meet both, of which the second was said later."""
    if isinstance(one.value, (str, bool, tuple)) or isinstance(other.value, (str, bool, tuple)):
        return {one.op, other.op} == {"==", "!="} and one.value == other.value
    if one.op == ">=" and other.op in ("<=", "=="):
        return one.value > other.value
    return one.op in ("<=", "==") and other.op == ">=" and one.value < other.value


def _amounts(match: re.Match[str]) -> tuple[float, float, str] | None:
    """(low, high, role) of a quantity in the base unit; low and high are equal where one number is said, the role "" where no unit is."""
    low = number_of(match["low"])
    high = number_of(match["high"]) if match["high"] else None
    if low is None:
        return None
    low += 0.5 if match["half"] or match["half_more"] else 0.0
    role, factor = _unit_of(match["unit2"] or match["unit"] or "")
    low_factor = _unit_of(match["unit"])[1] if match["unit"] and match["unit2"] else factor
    low += (number_of(match["minutes_more"] or match["clock"] or "0") or 0.0) / low_factor
    return (
        low * low_factor,
        (low if high is None else high) * (low_factor if high is None else factor),
        "price" if match["money"] else role,
    )


def _unit_of(text: str) -> tuple[str, float]:
    match = _UNIT.match(text)
    if not match or not match.lastgroup:
        return "", 1.0
    role, factor, _ = _UNITS[int(match.lastgroup[1:])]
    return role, factor


def _amount_constraints(message: str, turn: int, fields: Fields, kinds: Collection[str]) -> Iterator[Constraint]:
    def made(span: re.Match[str], name: str, op: Op, value: Attribute) -> Constraint:
        value = _whole(value) if isinstance(value, float) else value
        flips = _FLIPS.search(message[: span.start()])
        start = flips.start() if flips else span.start()
        text = message[start : span.end()]
        start += len(text) - len(text.lstrip())
        return Constraint(name, op, value, text.strip(), start, start + len(text.strip()), turn)

    yield from _year_constraints(message, made)
    if fields.says("players", kinds) or not fields.by_name:
        for match in _PLAYERS.finditer(message):
            for amount in dict.fromkeys(group for group in match.groups() if group):
                if number := number_of(amount):
                    yield made(match, "players", ">=", number)
    for match in _FREE.finditer(message):
        if fields.quantile("price", 0.0, kinds or list(fields.sizes)) == 0:
            yield made(match, "price", "==", 0)
    if fields.says("age", kinds):
        for match in _CHILD.finditer(message):
            number = number_of(next(group for group in match.groups() if group))
            if number and number < 18:
                yield made(match, "age", "<=", number)
    for match in _CERTIFICATE.finditer(message):
        certificate = fields.of_role("certificate", kinds)
        if certificate:
            labels = tuple(dict.fromkeys(re.findall(_CERTIFICATES, match.group(1) or match.group(2))))
            yield made(match, certificate.name, "==", labels if len(labels) > 1 else labels[0])
    before = ""
    for match in _quantities(message):
        yield from _of_quantity(match, before, fields, kinds, made)
        before = (_amounts(match) or (0, 0, ""))[2]
    yield from _own_amounts(message, fields, kinds, made)


def _quantities(message: str) -> Iterator[re.Match[str]]:
    """The amounts of a message; two that measure different things are no range ("能玩3小时、4.5分以上")."""
    position = 0
    while match := _QUANTITY.search(message, position):
        if match["unit"] and match["unit2"] and _unit_of(match["unit"])[0] != _unit_of(match["unit2"])[0]:
            match = _QUANTITY.search(message, position, match.start("high")) or match
        yield match
        position = match.end()


def _of_quantity(
    match: re.Match[str], before: str, fields: Fields, kinds: Collection[str], made: _Maker
) -> Iterator[Constraint]:
    """`before` is what the amount before it measures, which a bare number with a limit shares ("at least 300 pages but no more than 500")."""
    amounts = _amounts(match)
    cue = next((role for role in _CUES if match[role]), "")
    if amounts is None:
        return
    low, high, role = amounts
    is_range = bool(match["high"]) and low != high
    if is_range and re.search(r"\band\b", match.group(), re.IGNORECASE) and not match["between"]:
        is_range, high = False, low
    is_most, is_least = bool(match["most"] or match["fewer"]), bool(match["least"] or match["more"])
    if _FLIPS.search(match.string[: match.start("most" if match["most"] else "least")] if is_most or is_least else ""):
        is_most, is_least = is_least, is_most
    is_limit = is_most or is_least or bool(match["about"] or match["near"])
    role = role or cue or (before if is_limit else "")
    is_number = bool(re.match(r"\d", match["low"])) or cue and match["low"].lower() not in ("a", "an", "one", "一")
    if role in ("", "players", "age") or not (is_number or match["unit"] or match["unit2"]):
        return
    if (
        not (is_range or is_limit or cue or role == "rating")
        or match["low"].lower() in ("a", "an")
        and role != "minutes"
    ):
        return
    is_said = fields.says(role, kinds) if fields.by_name else role in ("minutes", "pages")
    is_clear = is_most or is_least or is_range or bool(cue)
    if not is_said and not (fields.by_name and role in ("price", "rating") and is_clear):
        return  # these are demanded even where no item tells its own: then the visitor hears so
    name, one = role, fields.of_role(role, kinds)
    if one and one.intervals and (low, high) in one.intervals and not (is_most or is_least):
        yield made(match, one.name, "==", one.intervals[low, high])
    elif is_range:
        yield made(match, name, ">=", min(low, high))
        yield made(match, name, "<=", max(low, high))
    elif is_most:
        yield made(match, name, "<=", low)
    elif is_least:
        yield made(match, name, ">=", low)
    elif is_limit:
        yield made(match, name, ">=", 0.8 * low)
        yield made(match, name, "<=", 1.2 * low)
    elif fields.by_name:
        yield made(match, name, "==", low)


def _own_amounts(message: str, fields: Fields, kinds: Collection[str], made: _Maker) -> Iterator[Constraint]:
    """Amounts of what only this catalogue counts, called by the name of the column: "two seasons", "at least 50 tracks"."""
    for one in fields.by_name.values():
        if one.numbers and not one.role and not one.is_switch and fields.share(one, kinds) >= _SOME:
            for match in _own_pattern(one.name).finditer(message):
                number = number_of(match["low"])
                if number is not None:
                    op: Op = (
                        "<=" if match["most"] or match["fewer"] else ">=" if match["least"] or match["more"] else "=="
                    )
                    yield made(match, one.name, op, number)


@lru_cache(maxsize=1024)
def _own_pattern(name: str) -> re.Pattern[str]:
    word = re.escape(name.lower().replace("_", " ").strip().removesuffix("s")).replace(r"\ ", r"[\s-]")
    return re.compile(
        rf"(?:(?:{_BEFORE})\s*)?(?<![a-z\d.])(?P<low>{_NUMBER})(?:{_AFTER})?[\s-]*个?{word}(?:s|es)?(?![a-z])",
        re.IGNORECASE,
    )


def _year_constraints(message: str, made: _Maker) -> Iterator[Constraint]:
    runs: list[list[int]] = []  # of decades that are said together: "the 60s and 70s"
    before: re.Match[str] | None = None
    for match in DECADE.finditer(message):
        if match.group(3):
            decade = 1920 + 10 * _DECADES.index(match.group(3).lower())
        else:
            decade = int(match.group(1) or match.group(2))
        if decade < 100:
            decade += 2000 if decade <= 20 else 1900
        end = match.start() - len("the ") * message[: match.start()].lower().endswith("the ")
        between = (before.end(), end) if before else (0, 0)
        is_range = bool(before and _TO.fullmatch(message, *between))
        if is_range or before and (_OR.fullmatch(message, *between) or _AND.fullmatch(message, *between)):
            runs[-1] += range(runs[-1][-1], decade + 1, 10) if is_range else [decade]
        else:
            runs.append([decade])
        before, first, last = match, min(runs[-1]), max(runs[-1])
        if set(range(first, last, 10)) <= set(runs[-1]):
            yield made(match, "year", ">=", first)
            yield made(match, "year", "<=", last + 9)
        else:
            years = tuple(sorted({year for start in runs[-1] for year in range(start, start + 10)}))
            yield made(match, "year", "==", years)  # type: ignore[arg-type]
    for match in _YEAR_RANGE.finditer(message):
        yield made(match, "year", ">=", int(match.group(1)))
        yield made(match, "year", "<=", int(match.group(2)))
    for match in _IN_YEAR.finditer(message):
        year = int(match.group(1) or match.group(2))
        yield made(match, "year", ">=", year)
        yield made(match, "year", "<=", year)
    for match in _YEARS.finditer(message):
        word, year = (match.group(1) or match.group(4)).lower(), int(match.group(2) or match.group(3))
        if _FLIPS.search(message[: match.start()]):  # "nothing older than 2000"
            is_early = word in ("before", "older than", "以前", "之前")
            yield made(match, "year", ">=" if is_early else "<=", year)
        elif word == "from" and not re.match(r"\s+on", message[match.end() :]):  # "from 1994" means that year
            yield made(match, "year", ">=", year)
            yield made(match, "year", "<=", year)
        elif word in ("before", "until", "older than", "以前", "之前"):
            yield made(match, "year", "<=", year if word == "until" else year - 1)
        else:
            yield made(match, "year", ">=", year if word in ("since", "from") else year + 1)


def _vague(message: str, turn: int, fields: Fields, kinds: Collection[str]) -> Iterator[Constraint]:
    """Words such as "not too long", as a limit that the catalogue's own items of the kind set."""
    for role, op, share, pattern in _VAGUE_RE:
        for match in pattern.finditer(message):
            if (limit := fields.quantile(role, share, kinds)) is not None:
                yield Constraint(role, op, _whole(limit), match.group(), match.start(), match.end(), turn)


def parse_comparisons(
    message: str,
    turn: int = 0,
    *,
    fields: Fields,
    kinds: Collection[str] = (),
    shown: Sequence[Item] = (),
    named: Sequence[tuple[Item, int, int]] = (),
) -> list[Constraint]:
    """What a message demands relative to an item that it names or to those just `shown`: "something shorter", "cheaper than the second one",
    "比千与千寻短一点". With nothing to compare with, the catalogue's own items of the kind set the limit, as for "short".

    Of several items shown the next must beat all of its kind. An amount (minutes, pages, a price) must differ by a tenth, where there is such an item.
    """
    found: list[Constraint] = []
    for roles, op, pattern in _COMPARED_RE:
        for match in pattern.finditer(message):
            items, end = _compared_with(message, match, shown, named)
            if items is None or any(one.start < end and match.start() < one.end for one in found):
                continue
            flips = _FLIPS.search(message[: match.start()])
            limit = _limit(roles, op, items, fields, kinds, is_flipped=bool(flips))
            if limit is None:
                continue
            role, bound, value = limit
            start = flips.start() if flips else match.start()
            start += len(message[start:end]) - len(message[start:end].lstrip())
            found.append(Constraint(role, bound, value, message[start:end], start, end, turn))
    return found


def _compared_with(
    message: str, match: re.Match[str], shown: Sequence[Item], named: Sequence[tuple[Item, int, int]]
) -> tuple[Sequence[Item] | None, int]:
    """The items that a comparison is with, none where it is with what the catalogue has, and where its words end; (None, …) where it is with something
    else ("older than me", "shorter than two hours")."""
    group = "than" if match["than"] else "than_zh" if match["than_zh"] else ""
    end = match.end("zh") if match["zh"] else match.end("en")
    if not group:
        return shown, end
    start = match.start(group)
    for item, low, high in named:
        if start <= low <= start + 5 and high <= match.end(group):
            return [item], max(end, high)
    referred = (_REFERRED_RE if group == "than" else _REFERRED_ZH_RE).match(message, start, match.end(group))
    if not referred:
        return None, end
    which = referred.groupdict().get("which") or referred.groupdict().get("which_zh") or ""
    place = {"first": 0, "second": 1, "一": 0, "二": 1}.get(which.lower())
    return (shown if place is None else shown[place : place + 1]), max(end, referred.end())


def _limit(
    roles: Sequence[str], op: Op, items: Sequence[Item], fields: Fields, kinds: Collection[str], *, is_flipped: bool
) -> tuple[str, Op, int | float] | None:
    """(measure, op, limit) of being less (or more) than all of the items, or not more where that is refused; None where no measure tells."""
    is_less = op == "<="
    kinds = kinds or list(dict.fromkeys(item.kind for item in items))
    for role in roles:
        if not items:
            quantile = fields.quantile(role, 0.35 if is_less else 0.65, kinds)
            if quantile is not None and not is_flipped:
                return role, op, _whole(quantile)
            continue
        by_kind: dict[str, float] = {}
        for item in items:
            for end in (end for value, factor in _said(item, role) for end in (_interval(value, factor) or ())):
                by_kind[item.kind] = (min if is_less else max)(by_kind.get(item.kind, end), end)
        if not by_kind:
            continue
        value = (max if is_less else min)(by_kind.values())
        if is_flipped:
            return role, ">=" if is_less else "<=", _whole(value)
        parts = [
            one.numbers[kind]
            for one in fields.by_name.values()
            if role in (one.role, one.name)
            for kind in (kinds or fields.sizes)
            if kind in one.numbers
        ]
        numbers = np.concatenate(parts) if parts else np.zeros(0)
        step = value * (1 - _STEP if is_less else 1 + _STEP)
        beyond = numbers[numbers < value] if is_less else numbers[numbers > value]
        if role in _AMOUNTS and bool((numbers <= step).any() if is_less else (numbers >= step).any()):
            return role, op, int(step) if is_less else -int(-step)
        if len(beyond):
            return role, op, _whole(float(beyond.max() if is_less else beyond.min()))
        if not len(numbers):  # told in words, such as "1小时 - 2小时"
            return role, op, step
    return None


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else value


@dataclass(frozen=True, slots=True)
class _Named:
    """A value of a field that a message names."""

    field: str
    value: Attribute
    start: int
    end: int
    is_refused: bool = False


def _values(
    message: str, turn: int, fields: Fields, kinds: Collection[str], is_negated: Callable[[str, int], bool]
) -> list[Constraint]:
    named: list[_Named] = []
    for text, start, end in _known_values(message, fields):
        one = _field_meant(message, start, end, text, fields, kinds)
        if one:
            named.append(_Named(one.name, one.values[text], start, end))
    named += _people(message, fields, kinds)
    named += _switches(message, fields, kinds)
    named = [
        replace(one, is_refused=is_negated(message, one.start)) for one in sorted(named, key=lambda one: one.start)
    ]
    return _joined(message, named, turn, fields)


def _joined(message: str, named: list[_Named], turn: int, fields: Fields) -> list[Constraint]:
    """One constraint for values said with "or", one each for values of a list said with "and"."""
    runs: list[list[_Named]] = []
    for one in named:
        last = runs[-1][-1] if runs else None
        between = message[last.end : one.start] if last else ""
        if last and last.field == one.field and (_OR.fullmatch(between) or _AND.fullmatch(between)):
            runs[-1].append(replace(one, is_refused=last.is_refused or one.is_refused))
        else:
            runs.append([one])
    found = []
    for run in runs:
        first, last = run[0], run[-1]
        field_of = fields.by_name.get(first.field)
        is_any = any(
            _OR.fullmatch(message[before.end : after.start]) for before, after in zip(run, run[1:], strict=False)
        )
        op: Op = "!=" if first.is_refused else "=="
        if first.is_refused and (refusal := _REFUSAL.search(message[: first.start])):
            first = replace(first, start=refusal.start())
            run = [first, *run[1:]]
        if len(run) > 1 and (is_any or first.is_refused or not (field_of and field_of.is_list)):
            values = tuple(dict.fromkeys(str(part) for one in run for part in _parts(one.value)))
            text = message[first.start : last.end]
            found.append(Constraint(first.field, op, values, text, first.start, last.end, turn))
        else:
            found += [
                Constraint(one.field, op, one.value, message[one.start : one.end], one.start, one.end, turn)
                for one in run
            ]
    return found


def _parts(value: Attribute) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _known_values(message: str, fields: Fields) -> Iterator[tuple[str, int, int]]:
    """(normalised value, start, end) of what the catalogue's columns hold and the message says; the longest first, none within another."""
    tokens = [match.span() for match in _TOKEN.finditer(message)]
    plain = [normalise(message[start:end]) for start, end in tokens]
    position = 0
    while position < len(tokens):
        key, keys = plain[position], [plain[position]]
        for index in range(position + 1, min(position + 14, len(tokens))):
            key += ("" if tokens[index - 1][1] == tokens[index][0] else " ") + plain[index]
            keys.append(key)
        for length in range(len(keys), 0, -1):
            if keys[length - 1] in fields.by_value:
                yield keys[length - 1], tokens[position][0], tokens[position + length - 1][1]
                position += length - 1
                break
        position += 1


def _field_meant(message: str, start: int, end: int, text: str, fields: Fields, kinds: Collection[str]) -> Field | None:
    """The field whose value these words demand; None where they only happen to be the same."""
    for name in fields.by_value[text]:
        one = fields.by_name[name]
        if one.name == "creator":
            is_maker = _OF_MAKER.search(message[:start]) or has_cjk(text) and _OF_MAKER_ZH.match(message, end)
            if is_maker and not _LIKE_ONE.search(message[:start]):
                return one
        elif one.role == "near":
            if _NEAR_ZH.match(message, end) or _NEAR.search(message[:start]):
                return one
        elif one.role == "language":
            if has_cjk(text) or _LANGUAGE_CUE.search(message[:start]) or _LANGUAGE_AFTER.match(message, end):
                return one
        elif one.role == "actor":
            if re.search(r"(?:\b(?:starring|featuring|with|cast)|,|\band|\bor)\s+$", message[:start]) and " " in text:
                return one
        elif not one.is_switch and _is_name_of_value(message, start, end, one, fields.share(one, kinds)):
            return one
    return None


def _is_name_of_value(message: str, start: int, end: int, one: Field, share: float) -> bool:
    said = message[start:end]
    if has_cjk(said):
        if len(said) < 2 or share == 0:
            return False
        return len(said) > 2 or share >= _ENOUGH and _is_whole(message, start, end)
    if len(said) < 3 or said.isdigit():
        return False
    is_name = any(character.isupper() for character in said) and start > 0
    return share >= (0.0001 if is_name else _ENOUGH)


def _is_whole(message: str, start: int, end: int) -> bool:
    """Whether Chinese words begin and end here; a verb of wanting before settles the beginning ("吃生蚝" is cut in a wrong place)."""
    found = words(message)
    begins = message[start - 1 : start] in tuple("吃喝做有点") or any(word.start == start for word in found)
    return begins and any(word.end == end for word in found)


def _people(message: str, fields: Fields, kinds: Collection[str]) -> Iterator[_Named]:
    """Makers and actors who are named in part ("by Kubrick") or whom the catalogue does not know; whole known names are found as values."""
    for one, pattern in ((fields.by_name.get("creator"), _MAKER), (fields.of_role("actor", kinds), _ACTOR)):
        if one and fields.share(one, kinds) >= _ENOUGH:
            for match in pattern.finditer(message):
                name = normalise(match[1])
                known = [value for key, value in one.values.items() if key.endswith(f" {name}")]
                is_certain = " " in name and not match.group().lower().startswith(
                    "by "
                )  # "by Sunday Night" is no maker
                if name not in one.values and (known or is_certain):
                    yield _Named(one.name, tuple(known) if known else match[1], match.start(), match.end(1))
    creator, actor = fields.by_name.get("creator"), fields.of_role("actor")
    if creator and fields.share(creator, kinds) >= _ENOUGH:
        strangers: list[tuple[int, int, Field | None]] = [
            (*match.span("full" if match["full"] else "name"), creator)
            for match in _CERTAIN_MAKER.finditer(message)
            if (match["name"] or " " in match["full"]) and not _NO_NAME.match(match["name"] or match["full"])
        ]
        for start, end in person_spans(message):
            if made := _OF_PERSON_ZH.match(message, end):
                strangers.append((start, end, actor if made["acts"] else creator))
        for start, end, one in strangers:
            name = normalise(message[start:end])
            if not one or not any(f" {name} " in f" {key} " for key in one.values):
                yield _Named(one.name if one else "actor", message[start:end], start, end)
    if fields.by_name and not actor and set(kinds) <= {"film", "series"}:
        for match in _SHOWN_ACTOR.finditer(message):  # then the visitor hears that the catalogue does not say
            name = match["led"] or match["acting"]
            if " " in name:
                yield _Named("actor", name, match.start(), match.end())


def _switches(message: str, fields: Fields, kinds: Collection[str]) -> Iterator[_Named]:
    for one in fields.by_name.values():
        if one.is_switch and fields.share(one, kinds) >= _ENOUGH:
            for match in _switch_pattern(one.name).finditer(message):
                yield _Named(one.name, True, match.start(), match.end())


@lru_cache(maxsize=1024)
def _switch_pattern(name: str) -> re.Pattern[str]:
    bare = name.lower().strip()
    while (shorter := _SWITCH_AFFIXES.sub("", bare)) != bare:
        bare = shorter
    bare = bare.replace("_", " ").replace("-", " ").strip() or name
    ways = _SWITCHES.get(bare) or re.escape(bare).replace(r"\ ", r"[\s-]")
    return re.compile(rf"(?<![a-zA-Z])(?:{ways})(?![a-zA-Z])", re.IGNORECASE)


def _countries(
    message: str,
    turn: int,
    fields: Fields,
    kinds: Collection[str],
    countries: Sequence[tuple[str, int, int]],
    is_negated: Callable[[str, int], bool],
) -> list[Constraint]:
    country = fields.by_name.get("country")
    if not country or fields.share(country, kinds) < _ENOUGH:
        return []
    named = [
        _Named("country", country.values.get(normalise(name), name), start, end, is_negated(message, start))
        for name, start, end in countries
        if not _ABOUT_A_PLACE.search(message[:start]) and not _LANGUAGE_AFTER.match(message, end)
        if not re.match(r"[语文]", message[end:]) and not re.search(r"\bin\s+$", message[:start])
    ]
    return _joined(message, named, turn, fields)
