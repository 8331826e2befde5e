"""Reads a message: what the visitor wants and does not want, hard conditions, items he names, and what he asks for.

Rules over the words of the message, in English and Chinese; every finding keeps its character span. Later statements
win. The catalogue's titles and the vocabulary are handed in.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from rapidfuzz import process
from rapidfuzz.distance import OSA
from rapidfuzz.fuzz import partial_ratio_alignment

from genrec.constraints import DECADE, LESSER_KNOWN, Fields, clash, parse_comparisons, parse_constraints, subject
from genrec.schema import KINDS, WORKS, Constraint, Interest, Item, Profile
from genrec.text import has_cjk, normalise, sentences, words
from genrec.vocabulary import Found, Vocabulary

Intent = Literal["recommend", "more", "reject", "about", "why", "compare", "maker", "greeting", "thanks", "none"]
MAX_INTERESTS = 12  # kept in a profile; the oldest go first
MAX_READ = (
    8_000  # characters of a message that are understood sentence by sentence; more are chosen from by their known words
)
_MAX_PHRASE_WORDS = 6  # a longer phrase reads badly when it is quoted; it is parted at its last preposition
_MAX_PHRASE_HAN = 10

_CLAUSE = re.compile(
    r"\s*[(（]\d{4}[)）]|(?:[!?;:,/~…\n。！？；：，、()（）]|\.(?!\d)|\s[-–—]+\s)+|(?<!war)(?<!when)(?<!while)\s+(?=i(?:'?[md]|'ve|'ll)?\s)|(?<!anything)(?<!nothing)\s+but\s+|\s+(?:though|although|except for|except|because|so that|which|and also)\s+|但是|但|不过|而且|因为|(?=anything but)|(?=不含[^，。！？]{1,8}但)|(?<![特分区])(?=别[^的，。！？]{1,3}(?:但|的(?:$|[，。！？])))|\s+(?=that (?:isn'?t|is not|aren'?t|are not|doesn'?t))|\s+(?=without\b)|\s+(?=(?:with|and) no\b)|(?<!why)\s+(?=not\s)|(?=除了)",
    re.IGNORECASE,
)
# A kind that is named beside the one that is wanted: near it ("周边有什么餐馆"), or what it holds or is for ("something to do that includes songs").
_BESIDE = re.compile(r"(?:周边|附近|旁边|周围)[^，。！？；,]{0,8}$|\bnear(?:by)?\s+(?:\w+\s+){0,2}$", re.IGNORECASE)
_BESIDE_AFTER = re.compile(r"\s+(?:nearby|close\s+by|around\s+(?:it|there))\b", re.IGNORECASE)
_WITHIN = re.compile(
    r"\b(?:with|without|includ(?:es?|ing)|featur(?:es?|ing)|about|from|based\s+on|for|like\s+the|involv(?:es?|ing)|at|in|during|over)\s+(?:(?!and\b|or\b|to\b)[\w'-]+\s+){0,2}$",
    re.IGNORECASE,
)
_HOLDS_ZH = re.compile("提供|[带含]有|包括|配有")
_CONTRAST = re.compile(
    r"\b(?:but|though|although)\b|但是?|不过", re.IGNORECASE
)  # what follows is liked unless it says no itself
_NEGATIVE = re.compile(
    r"\b(?:not|no|without|don'?t|doesn'?t|didn'?t|hate[ds]?|dislike[ds]?|avoid(?:ed)?|nothing|never|except|anything but|isn'?t|aren'?t|wasn'?t|tired of|sick of|(?:can|could)(?:'?t|not) stand|less)\b"
    r"|不要|不想|不喜欢|不爱|不看|不吃|不能吃|讨厌|别|除了|受不了|不含|没兴趣|不感兴趣|不(?:太|怎么|大|是很)(?:喜欢|爱|想)|不太[^，。！？；的]{1,4}但",
    re.IGNORECASE,
)
_NOT_NEGATIVE = re.compile(
    r"\b(?:why not|are you looking for|do you like|not only|can'?t get enough|no problem|no idea|do not mind|(?:don|didn|doesn)'?t (?:mind|know|matter)|nothing like a|not sure|not (?:(?:so|too|very|that|really|as) )?(?:famous|popular|mainstream|(?:well|widely)[ -]known))\b|不(?:太|那么|怎么|大|是很)?(?:出名|有名|知名|热门)|不错|不知道|不确定|别的",
    re.IGNORECASE,
)
# A message is cut into noun phrases at its walls: words that no quoted phrase may hold. What a wall that wishes leads to is wanted
# ("looking for …"), what one that stops leads to is not ("that is …"); any other wall changes nothing ("you …").
_OFTEN = r"(?:(?:also|really|just|still|sometimes|usually|mostly|mainly|always|especially|particularly|definitely|actually|please|kindly|even|do)\s+)*"
_VERB = r"(?-i:[a-z][a-z']*)"  # where a verb must stand; the masks of terms and titles are capitals
_START = r"(?:(?<=[,;.!?:)]\s)|^)"  # of a clause
_WISHES_EN = "|".join((
    rf"(?:i|we|you|they|who|to|and|not|never|would|could|do|does|did|\w+n'?t|(?:i|we)'?d)\s+{_OFTEN}(?:like|love|need|fancy|feel\s+like)",
    r"like[ds]|love[ds]|enjoy\w*|(?:want|wish)(?:s|es|ed|ing)?|wanna|need(?:s|ed|ing)|prefer(?:s|red)?|adore[ds]?|crav(?:e|es|ing)|seek(?:ing)?|like(?=\s+(?:T|(?-i:[A-Z][a-z])))",
    r"(?:look|search|hop|hunt|ask|wish)(?:ing|ed)?\s+for|(?:think(?:ing)?|know)\s+(?:of|about)|in\s+search\s+of|in\s+the\s+mood\s+(?:for|to)|interested\s+in|into|i'?m\s+after",
    r"(?:familiar\s+with|open\s+to|(?:fans?|fond|get\s+enough)\s+of|favou?rites?(?:\s+\w+)?(?:\s+of\s+\w+)?\s+(?:is|are|was|were)|(?:how|what)\s+about)",
    rf"(?:can|could|will|would|won't|do)\s+(?:you|u|we|i)\s+{_OFTEN}{_VERB}|(?:let'?s|may\s+(?:i|we)|(?:hop|look|plan)ing\s+to)\s+{_OFTEN}{_VERB}",
    r"(?:find|recommend|suggest|search|locat|creat|mak|add)(?:e|ed|ing)?|(?:show|give|get|bring|send|tell|offer)\s+(?:me|us|some)|play|serv(?:e|es|ing)|to\s+(?:find|add)",
    r"(?:is|are)\s+there|there(?:'s|\s+is|\s+are)|(?:have|got)\s+any|(?:some(?:thing|where)|any(?:thing|where))(?:\s+(?:more|else|like))*|sounds?\s+like",
    rf"{_START}(?:some|more|any|another|like|love(?!\s+(?:songs?|stor(?:y|ies)|ballads?|letters?|poems?|poetry))|need|fancy)|(?:while|whilst|when)(?:\s+(?:i|we)(?:'m|'re|\s+am|\s+are))?(?=\s+\w+ing\b)",
))  # fmt: skip
_STOPS_EN = "|".join(
    (
        "who whom whose which that this where when while whilst if because than as what how why whatever there since until unless "
        "whether it's that's there's what's he's she's here's its thats they're you're we're your ur is isn't are aren't was wasn't were "
        "weren't be being has had having must should seem seems sound sounds saw seen watched heard listened played tried went gone found "
        "makes made got told said mean means meant yesterday"
    ).split()
)
_OTHERS_EN = "|".join((
    r"#+|hi+|hell+o+|hey+|u+m+|h+m+|m+hm*|haha\w*|happy\s+new\s+years?|(?:go|going|listen|listening|get|used|able)\s+to|(?:am|i'?m)\s+an?\s+(?:big|huge)",
    r"to\s+(?!(?:a|an|the|my|our|some|any|while|when|with|in|on|at|for|and|or)\b)(?-i:[a-z]+)|\w+n't|(?:tired|sick)\s+of|used\s+to\s+(?:like|love|enjoy)|anything\s+but|last\s+(?:night|week|month)|check(?:ing)?\s+out|put(?:ting)?\s+together",
    *(
        "hiya howdy greetings thank thanks thx please pls plz yes yeah yep ok okay well oh sure sorry lol i i'm im i've ive i'd id i'll u you "
        "you'd you've you'll we we've we'd we'll he she they they've it me us him them mine yours one ones am would could can will may might "
        "shall do does did have been dont cant cannot gonna help helping think thinking guess hope hoping wonder wondering trying try know go "
        "going come see seeing watch watching hear listen listening read eat get take give say let choose put provide keep start stuff thing "
        "things once maybe perhaps possibly preferably any not without nothing never except hate hates hated dislike dislikes disliked avoid "
        "avoided stand rather"
    ).split(),
))  # fmt: skip
_WALL_EN = re.compile(
    rf"(?<![\w'-])(?:(?P<wish>{_WISHES_EN})|(?P<stop>{_STOPS_EN})|(?P<other>{_OTHERS_EN}))(?![\w'-])", re.IGNORECASE
)
_PREPOSITIONS = r"like|such\s+as|similar\s+to|along\s+the\s+lines\s+of|with|by|\w+ed\s+by|from|about|for|in|on|at|around|featuring|starring|based\s+on|involv(?:es?|ing)|includ(?:es?|ing)|after|before|during|near|over|under|between|without"
_BEFORE_EN = re.compile(  # what a phrase does not begin with: articles, amounts, adverbs, "a list of"
    rf"(?:[\W_]+|(?:(?:(?:play)?lists?|mix(?:tapes?)?|collections?|selections?)\s+(?:of|for|with|to)|better\s+at|(?:ideas?|suggestions?|recommendations?|(?:my\s+)?knowledge|examples?|choices|versions?|types?|kinds?|sorts?|genres?)\s+(?:of|for|on|about)|"
    r"a|an|the|some|all|every|each|both|either|good|great|nice|decent|these|those|another|other|more|most|much|many|few|couple|lots?|plenty|bunch|little|bit|kinda|sorta|two|three|else|my(?=\s+favou?rite)|of|to|as|up|out|and|or|but|&|no|so|less|then|too|very|super|"
    rf"pretty|quite|really|just|also|probably|actually|especially|specifically|mostly|mainly|usually|currently|always|even|only|still|now|next|together|{_PREPOSITIONS})(?![\w'-]))",
    re.IGNORECASE,
)
_AFTER_EN = re.compile(  # what a phrase does not end with
    rf"(?:[^\w)]+|(?<![\w'-])(?:{_PREPOSITIONS}|to\s+(?:the|my|our|this)\s+(?:play)?list|a|an|the|some|my|of|to|as|such|up|along|and|or|but|so|no|too|also|really|very|just|more|most|much|lots?|even|though|however|fans?|buffs?|lovers?|ideas|suggestions|"
    r"today|tonight|now|next|right|lately|recently|soon|again|etc|set|thanks))$",
    re.IGNORECASE,
)
_JOINT_EN = re.compile(rf"\s+(?:(?:and|or|&)\s+)?(?:{_PREPOSITIONS}|and|or|&|a|an|the)\s+", re.IGNORECASE)
_MEASURE_ZH = "[一两二三四五几这那哪每某]?[个家部本张款道首位条种些点台辆套次顿份座间类]"
_WISHES_ZH = "想要|想|要|喜欢|爱|推荐|找|寻|求|需要|介绍|希望|有没有|有|吃到?|喝|看|听|读|学|买|逛|试试|尝尝|预定|预订|订|租|安排|提供|供|打听|来(?=$|[一两几点些部首本])"
_STOPS_ZH = "没有|没|拥有|获得|荣获|作为|成为|是|在|把|告诉|查|地址|电话|信息|评分|评价|价格|最低|票价|门票|人均|消费|预算|时长|时间|周边|符合|要求|条件|别的"
_OTHERS_ZH = (
    "你好|您好|嗨|哈喽|在吗|请问|请|麻烦|劳驾|谢谢|谢了|多谢|嗯|好的|好吗|行吗|吗|呢|呗|吧|啊|呀|哦|么|嘛|了|着|过|下|一下|一会|能不能|能否|能|可不可以|可以|可|会|帮忙|帮|给|为|替|咱|我|你|您|他|她|它|们|俩|大家|"
    "女朋友|男朋友|女友|男友|老婆|老公|妻子|丈夫|爸爸|妈妈|爸妈|父母|儿子|女儿|爷爷|奶奶|老爸|老妈|朋友|友人|同事|同学|对象|亲戚|客户|闺蜜|带|陪|去|来|到|出去|出来|外出|过来|一起|住下|住宿|住店|入住|住|用餐|就餐|聚餐|吃饭|休息|游玩|出游|出差|玩|转转|走走|看看|"
    "放[暑寒]?假|知道|了解|觉得|什么|啥|哪里|哪儿|哪|怎么样|多少|多久|多大|多长|最近|今天|明天|今晚|现在|刚刚|刚|最好|最|都|也|就|还|再|又|先|更好|更|比较|很|非常|特别|时候|如果|的话|然后|顺便|另外|对了|当然|行|不少|"
    f"不要|不想|不喜欢|不爱|不看|不吃|不能|不含|讨厌|除了|受不了|没兴趣|别|以外|之外|跟|{_MEASURE_ZH}"
)
_WALL_ZH = re.compile(f"(?:{_STOPS_ZH}|{_OTHERS_ZH}|{_WISHES_ZH})+")
_WISH_ZH, _STOP_ZH = re.compile(_WISHES_ZH), re.compile(f"(?:{_STOPS_ZH})+")
_BEFORE_ZH = re.compile(
    r"[^\w]+|(?:附近|旁边|周围)的?|(?:餐馆|餐厅|饭店|饭馆)[去里]?吃|[一两几这那][个家部本张款首条种些道门篇](?=.)|首(?=歌)|[这那][道些个种样][^的]{0,3}的|的|和|与|及|或者?|并且|且|做|吃|喝|讲|适合|关于|像|类似"
)
_AFTER_ZH = re.compile(
    r"(?:[^\w)）]+|》.*|[这那][一两道个]*菜|[这那]样|的|和|与|及|或者?|并且|且|之类|等等?|想|左右|(?<=[店馆点])好)$"
)
# Who looks for "能做烤鸭的餐馆" wants the dish.
_DONE_THERE = re.compile("(?:做[得的]?(?:很|比较|最)?好)?的(?:餐馆|餐厅|饭店|饭馆)$")
_HAS_ONLY = re.compile("[很还也都]?有[些点过]?")
_ASKS_ZH = re.compile("[?？吗么]|有没有|什么|啥|哪|推荐|[找求想要给帮]|来[一点几个]")
_JOINT_ZH = re.compile("的|和|与|或者?|以及|还有")
_AND = re.compile(r"\s+(?:and|or|&)\s+|[和与或]|以及|还有", re.IGNORECASE)
_EMPTY = frozenset(
    (
        "online it that this them those these one ones something anything thing things stuff movie movies film films flick flicks show shows tv "
        "series book books music song songs track tracks artist artists band bands album albums playlist list selection game games place "
        "places city area same good nice great best cool interesting perfect fine awesome excellent any some kind kinds type types genre genres "
        "sort style more other others else all both favorite favorites favourite favourites recommendation recommendations suggestion "
        "suggestions idea ideas option options similar choice choices attraction attractions lot mind bit time my your their a an the of for to with "
        "in on and or like recipe recipes dish dishes food course courses class classes activity activities product products gift gifts gadget "
        "gadgets novel novels record records trip trips people person someone somebody everyone folks 这个 那个 这些 那些 这里 那里 别的 其他 其它 东西 电影 片子 书 音乐 歌 歌曲 游戏 地方 景点 菜 道菜 这道菜 课程 活动 剧 好看 "
        "好听 好吃 好玩 好 不错 合适 的 主意 建议 办法 推荐 饭 行程 好吃的 好看的 好听的 "
        "好玩的 小说 剧集 电视剧 专辑 美食 食物 好物 礼物 课"
    ).split()
)

_EMPTY_ZH = re.compile("|".join(sorted((word for word in _EMPTY if has_cjk(word)), key=len, reverse=True)))
_ARE_KINDS_ZH = frozenset("书籍 书本 菜肴 歌单 剧作 课时".split())
_LONG_WORD = re.compile(r"[A-Za-z]{5,}")
# Ordinary words one edit from a term of the vocabulary: they are no typing errors. From the words of wordfreq's English list with a
# Zipf frequency of 3.3 or more (2026-11) that `_find` would else change for the worse.
_REAL_WORDS = frozenset(
    (
        "auction audit backing banking beads beams bears beats bench binds boast bolts boots braking break breed broad cafes cannon canon "
        "cares carry carter carver cases cheesy choking coarse cooling coral coupled curly curse defective dining divine dream dreams "
        "dreamt driving fanny feathers fired forming forrest framing freed friend fries funky gases gates habit heath hiding hiring leaning "
        "lightning login manic markers mastery medal mediation medication mental monkey moods moves nobel partly parts paste peace placed "
        "plane plate policy polite potter produce produces quite raging rains rating relating revenue rider roots rover ruining sacks "
        "scooter seeing serves sheep sheet shirt shoot shops shore shores shots shout signing sinking sleek sleepy sorts spaced spade "
        "spare spice spots sprint sprung spying stacks stationary steep stimulation string summed sweat sweep swept swing swinging tease "
        "tended thrilled topical trails traits trans vegas waiting waking watched winner"
    ).split()
)
_WITHOUT_ZH = re.compile(
    r"(?<!有)(没有|不带|少点)([^，。！？；的\s]{1,8})的(?=\w)"
)  # "没有暴力的动画": no violence, but animation
_TOO_ZH = re.compile(r"((?:不要|别|不)太[^，。！？；的\s]{1,4})的(?=\w)")  # "别太长的电影": not long, but a film
_BARE_NOT_ZH = re.compile(r"(?<![有好对了差])不([^，。！？；的不\s]{1,3})的(\w?)")  # "不辣的菜": not spicy, but a dish
_BARE_ZH = re.compile(r"^不([^，。！？；的不\s]{1,3})的?$")  # what 不辣的 turns down is 辣
_ANY_BUT = re.compile(r"\bany\s+\w+\s+(?:but|except)(?=\s)", re.IGNORECASE)  # "any language but English": not English
_UNIT_ZH = r"\s*(?:元|块|分钟|个?小时|天|分|点|岁|人|公里)"
_RANGE_ZH = rf"\d[\d.]*(?:{_UNIT_ZH})?(?:\s*[-~–—到至、]\s*\d[\d.]*)?"
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_SPENT = re.compile(  # no wish is in these: prices, ratings, counts and dates ("3 stars", "$20", "评分4.5分以上的"), idioms that hold a term's word
    rf"(?:(?:on|for)\s+)?\b(?:{_MONTHS})\s+\d+\w*|\d+\w*\s+of\s+(?:{_MONTHS})\b|"
    r"(?:(?:the\s+)?(?:last|past|next|top|over|under|around|at\s+(?:least|most))\s+)?(?:[$€£]\s?)?\b(?!\d{4}[)）])\d(?:[a-z\d]|[.,:](?=\d))*(?:[\s-]*(?:stars?|rooms?|dollars?|bucks|people|persons?|nights?|days?|years?(?:[\s-]olds?)?))?"
    rf"(?![a-z\d年]|{_UNIT_ZH})"
    rf"|\b(?:one|two|three|four|five)[\s-]+stars?\b"
    r"|\b(?:after\s+)?(?:an?\s+|my\s+|this\s+|such\s+an?\s+)?(?:(?:very|really|so|pretty)\s+)?(?:long|hard|tough|rough|busy|stressful|tiring|exhausting|hectic)\s+(?:day|week|month|year|shift)\b(?!\s*(?:end|night))(?:\s+(?:at\s+(?:work|school|the\s+office)|of\s+\w+))?"
    r"|\bgood\s+(?:morning|afternoon|evening|night|day)\b|\b(?:free|leisure)\s+(?:time|hours)\b|\b(?:as|how)\s+(?:long|fast)\b|\ba\s+couple\s+(?:of|more)\b|[女男]朋友一起"
    r"|(?:(?:评分|评价|人均(?:消费)?|最低价格|价格|票价|门票(?:价格)?|消费|预算|游玩(?:的?(?:时长|时间))?|能玩)[^，。！？；、\d]{0,6}"
    rf"{_RANGE_ZH}(?:{_UNIT_ZH})?|{_RANGE_ZH}{_UNIT_ZH})(?:以上|以下|以内|之间|左右|内)?的?",
    re.IGNORECASE,
)
_TITLE_WORD = r"(?:(?:Mr|Mrs|Ms|Dr|St|Jr)\.|[A-Z0-9][\w'&:,/+-]*)"
_TITLES = re.compile(  # what a year follows or 《》 holds is a title, in the catalogue or not
    rf"(?<![\w'])(?:(?:I|Like|Also|And|Or|But|Yes|Maybe|Something|Love[ds]?|Liked|Watched|Saw)\s+){{0,3}}"
    rf"({_TITLE_WORD}(?:\s+(?:{_TITLE_WORD}|&|of|the|a|an|and|in|on|to|for|from|with|at|is|by)){{0,11}}[.!?]*)(?=\s*[(（]\d{{4}}[)）])|(?<=《)([^》]{{1,40}})(?=》)"
)
_CAPITALS = re.compile(  # what may be a title though nothing marks it: two or more words with capitals
    rf"(?<![\w'])(?:(?:I|Like|Also|And|Or|But|Yes|Maybe|Something|Love[ds]?|Liked|Watched|Saw)\s+){{0,3}}"
    rf"({_TITLE_WORD}(?:\s+(?:of|the|a|an|and|in|on|to|for|from|with|at|is|by|&)){{0,2}}(?:\s+{_TITLE_WORD}){{1,8}})"
)
_DONE_WITH: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (kinds, re.compile(pattern, re.IGNORECASE))
    for kinds, pattern in (
        (("album",), r"\b(?:listen(?:ed|ing)?|music|bands?|artists?|singers?|rappers?|concerts?|play (?:me|us|some)|(?:can|could|will) you (?:please )?play)\b|(?:^|[.!?,;]\s*|\bplease )play (?=(?-i:[A-Z]))|听(?!说)|(?:爵士|摇滚|古典|交响|流行|电子|民)乐(?!队)"),
        (("film", "series"), r"(?<!\ba )\bwatch(?:ed|ing)?\b|\b(?:saw|seen?|seeing)\b[^.!?]{0,60}\(\d{4}\)|(?:想|要|爱|喜欢|刚|好)看(?![看书])|(?<!看)看(?:过|了|完)"),
        (("film",), r"\bwesterns\b|\b(?:an?|good|great|classic|another) western\b(?=\s*(?:[.!?,]|$|(?:like|with|set|from)\b))|(?:歌舞|西部|战争|恶搞|喜剧|爱情|恐怖|动作|科幻|悬疑|犯罪|惊悚|文艺|武侠|搞笑|剧情|灾难|警匪|谍战|青春)片"),
        (("book",), r"\bread(?:ing|s)?\b|\bauthors?\b|读"),
        (("dish",), r"\b(?:eat(?:ing)?|restaurants?|din(?:e|ing)|cuisine|hungry)\b|餐馆|餐厅|饭店|饭馆|吃|菜(?![单市鸟园])"),
        (("place",), r"\b(?:hotels?|attractions?|visit(?:ing)?|sightseeing)\b|酒店|景点|宾馆|民宿|住宿|游玩|出去玩|出游|(?:想|要)去(?![看吃学])"),
        (("activity",), r"\b(?:something|things?|anything|stuff)\b[\w ]{0,30}\bto do\b"),
        (("course",), r"\b(?:learn|study)(?:ing)?\b|学(?=[一点会])"),
        (("game",), r"\bplay(?:ing|ed)?\b"),
    )
)  # fmt: skip

_ASKS: tuple[tuple[Intent, str], ...] = (
    ("why", r"^why\b(?! not)|\bwhy (?:this|that|did you|do you|would|is it|these)\b|为什么|为啥|咋想到|凭什么"),
    ("maker", r"\bwho (?:made|directed|wrote|is the (?:director|author|artist|maker)|created|designed|sings|teaches|is it by)\b|谁(?:拍|写|唱|做|导|演|画|设计|出|教|开发|制作|创作|主演|发明)|(?:导演|作者|歌手|主唱|主创|设计师|讲师|老师|作家)是谁|是谁的|出自谁|哪年的|什么时候(?:出|上映)|\bwhen (?:was|did) (?:it|this|that)\b"),
    ("compare", r"\bcompare\b|\bversus\b|\bvs\b|\bdifference between\b|\bwhich (?:of the two|one is better|is better)\b|对比|比较一下|哪个(?:更)?好|有什么区别"),
    ("about", r"\btell me (?:more|about)\b|\bmore about\b|\bwhat(?:'s| is) (?:it|that|this|the \w+) (?:about|like)\b|\bmore (?:details|info)|\bdescribe\b|讲讲|说说|介绍一下|详细|讲的(?:是)?什么|多说"),
    ("reject", r"\b(?:seen|read|heard|played|watched|tried|own|know) (?:it|that|this|those|them|both|all|the (?:first|second|last|other))\b|\b(?:already|have) (?:seen|read|heard|played|watched|own|tried)\b|\bnot (?:that|this|those)(?: one)?s?\b|\bsomething else\b|\banother(?: one)?\b|\bdon'?t like (?:it|that|this|them|those)\b|\bnext\b$|看过|听过|读过|玩过|去过|吃过|换一个|换个|换一部|不要这个|不喜欢这|别的"),
    ("more", r"\bmore like (?:this|that|it|these)\b|\bsimilar\b|\bmore of (?:this|that|the same)\b|^more\b|再来|类似|差不多的|还有吗|同类"),
)  # fmt: skip
_LONG_TITLE = 8  # characters that a title must have to be known with a typing error inside a sentence
_INTENTS = tuple((intent, re.compile(pattern, re.IGNORECASE)) for intent, pattern in _ASKS)
_MANY = r"more|films|movies|series|shows|books|novels|albums|records|games|places|trips|dishes|recipes|courses|classes|activities|things|ideas|products|gifts|gadgets|options|suggestions|recommendations|picks"
_ASKING = r"(?:^|[.,;:!?]\s*|\b(?:me|us|gimme|show|find|recommend|suggest|want|need|pick|please|for|like|with)\s+)"  # "I watched three" asks for nothing
_MEASURE = "[个部本样首款张道]"
_ASKED_NUMBERS = tuple(
    (
        number,
        re.compile(
            rf"{_ASKING}(?:{word})\s+(?:{_MANY})\b(?!\s+(?:i|we|you)\b)|(?:给我|推荐|来|要|挑|选)\s*(?:{han})\s*{_MEASURE}|(?:{han}){_MEASURE}[^，。！？]{{0,6}}就(?:够|行|好)",
            re.IGNORECASE,
        ),
    )
    for number, word, han in ((3, "three|3", "三|3"), (2, "two|2|a couple of|a couple", "两|2"))
) + (
    (
        1,
        re.compile(
            r"(?<!not )\b(?:(?:just|only)(?:\s+(?:give|tell|show)\s+me)?|(?:give|show|tell|find)\s+me)\s+(?:one|1)\b(?!\s+(?:of|thing|question|condition|request|rule)\b)|\b(?:one|1)\s+more\b(?!\s+(?:thing|question|condition|request|rule)\b)"
            rf"|\banother one\b|^(?:one|1)\s+\w+\s+please\b|(?:只要|就|挑)一{_MEASURE}|一{_MEASURE}就(?:够|行|好)",
            re.IGNORECASE,
        ),
    ),
)  # fmt: skip
_QUESTION = re.compile(
    r"[?？]|吗|呢|怎么样|什么|多[长少久]|哪|^(?:is|are|does|do|how|what|who|when|where|can|could)\b", re.IGNORECASE
)
# What is said out of courtesy: how a talk begins, what thanks or ends it, and praise with nothing else beside it.
_GREETING = re.compile(
    r"\W*(?:hi+(?:ya)?|hell+o+|hey+|yo|howdy|greetings|sup|ciao|good (?:morning|evening|afternoon|day)|what'?s up|how(?:'s it| is it|'re| are| r)? (?:you|u|things|life|doing|going)|nice to meet you"
    r"|(?:i'?m|i am) (?:\w+ )?(?:fine|good|great|well|okay|ok)|(?:fine|good|great|well)\W+(?:and |how about )?(?:you|yourself))(?![\w-])|\W*(?:你好|您好|大家好|嗨|哈[喽罗啰]|[早中晚]上好|[上中下]午好|早安|早(?!\w)|在吗|在不在|有人吗|你是谁)",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"\b(?:thanks?|thx|ty|tysm|cheers|appreciate|(?:good)?bye|good ?night|see (?:you|ya)|take care|farewell|that(?:'s| is) all)\b"
    r"|(?:谢谢|[多感]谢)(?:(?:[你您]的?)?(?:推荐|介绍|建议|帮[助忙]))?|谢[了啦]|辛苦|3q|再见|拜拜|晚安|回见|(?:下次|下回|回头|明天|改天)见",
    re.IGNORECASE,
)
_PRAISED = re.compile(
    r"\W*(?:(?:ok(?:ay)?|oh|wow|that(?:'?s| is| was)?|it(?:'?s| is| was)?|this is|(?:that )?sounds?|looks?|you did|you'?re|me too|an?|the|so|very|really|pretty|just)\W+)*"
    r"(?:(?:great|perfect|cool|awesome|good|nice|excellent|wonderful|amazing|lovely|fantastic|brilliant|best|(?:i\W+)?(?:love|like)\W+(?:it|them|these|those|this|that)(?:\W+(?:both|all|one))?)\b\W*)+"
    r"(?:\b(?:job|work|one|idea|then|lol|haha|man|buddy)\b\W*)*"
    r"|\W*(?:太|很|真|挺|非常)?(?:好|棒|赞|不错|完美|可以)[了啊呀的吧]*\W*(?:就[这那它](?:[个部本张首道款样]|一[个部])?[了吧啦]*\W*)?",
    re.IGNORECASE,
)
_OF_SHOWN = re.compile(  # what is asked of something on the table: "Is it scary?", "who is in it?", 好看吗
    r"\W*(?:(?:and|but|so)\s+)?(?:is|are|was|were|does|did|who|where|how)\b(?!\s+there)[^.!?]*\b(?:it|he|she|they|(?:this|that|the\s+(?:first|second|last|other))\s+one)\b[^.!?]*\?*\W*"
    r"|\W*(?:[它这那][部个本张首道款门]?|第[一二][部个本张首道款门])?(?![还有能可会要想你])[^，。！？有来]{1,7}吗\W*",
    re.IGNORECASE,
)
_MAX_COURTESY = 10  # words of a message that is nothing else
_FACT_ASKED = re.compile(  # a fact of something, which must be on the table
    r"\b(?:how (?:long|old|big|tall|far|much)|where|when) (?:is|was|are|were|does|do|did) (?:it|that|this|he|she|they)\b"
    r"|(?:地址|电话|日期|(?:开放|营业|上映|发行)时间|创始人|岁数|年龄|奖项?|出品)[^，。！？]{0,8}(?:吗|呢|谁|哪|什么|多少|知道|清楚)|(?:知道|哪|清楚)[^，。！？]{0,8}(?:地址|电话|日期|时间|创始人|年龄|奖项?|出品)|什么时候[开出上发]"
    r"|多(?:久|大|长|高|少钱)|几[岁点]|哪一?年|哪国|在(?:哪[里儿]?|什么地方)(?:[啊呀呢吗]|知道)*\W*$",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    r"\b(?:recommend|suggest|find|give|show)\b|\b(?:some|any)(?:thing|where)\b|\b(?:surprise|bored|pick|choose)\b|推荐|介绍|随便|无聊|都[行好]|来点|找[点个些]",
    re.IGNORECASE,
)
_PRAISE = re.compile(
    r"\b(?:loved?|liked|enjoyed|great|amazing|favou?rite|i\s+(?:(?:really|also|do|still)\s+)?(?:like|enjoy|adore))\b|喜欢|很好看|爱",
    re.IGNORECASE,
)
_SEEN = re.compile(
    r"\b(?:seen|watched|saw|(?:have|'ve|already|just|i)\s+(?:already\s+|just\s+)?(?:read|heard|listened\s+to|played|tried|visited|finished|own|bought|done|eaten|cooked|made)|have\b[^.!?;]{1,80}\balready|know\s+(?:it|that|this|them|both)|been\s+to)\b"
    r"|[看听读玩去吃做学用买]过|[看读听]完了?",
    re.IGNORECASE,
)
_UNSEEN = re.compile(
    r"(?:\b(?:haven'?t|hasn'?t|have\s+not|have\s+never|never|not|didn'?t|yet\s+to)\s+(?:yet\s+|ever\s+|really\s+)?(?:seen?|watch(?:ed)?|read|heard?|play(?:ed)?|tr(?:y|ied)|visit(?:ed)?|been\s+to)\b|(?:没有?|从没|还没|未)[看听读玩去吃做学用买](?:过|完)?)",
    re.IGNORECASE,
)
_DISLIKED = re.compile(
    r"\b(?:hated?|disliked?|did(?:n'?t|\s+not)\s+(?:\w+\s+)?(?:like|enjoy|care)|do(?:n'?t|\s+not)\s+(?:\w+\s+)?like|boring|bored\s+me|awful|terrible|disappoint\w+|not\s+for\s+me|not\s+a\s+fan)\b|不(?:太|怎么)?(?:喜欢|好看|好听|好玩|好吃)|难看|难听|难吃|无聊|失望|没意思|讨厌",
    re.IGNORECASE,
)
_ALIKE = re.compile(r"\b(?:like|similar|alike|same)\b|类似|差不多|同类|那样|这样的", re.IGNORECASE)
_ASKS_US_ZH = re.compile(
    "你[^，。！？我]{0,8}[看听读玩去吃]过|^[^，。！？我]{0,6}[看听读玩去吃]过(?=[^，。！？了]{1,24}吗)"
)  # whether we know it
_PLACED = re.compile(  # what was shown, by its place: "the second one", 第二个
    r"\b(?:the|that|your|number)\s+(?:(first|one)|(second|two)|(third|three))(?:\s+(?:one|pick|choice|option|suggestion|recommendation)\b|(?=\s*(?:[,.!?]|$)))"
    r"|\b(?:(first)|(second)|(third))\s+(?:one|pick)\b|第(?:(一)|(二)|(三))[个部本张首款道座门样](?!月|星期|季)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?;\n。！？；]")
_LEARN_ONE = re.compile(  # "想学一道菜", "learn a new recipe": one thing, not how all such are made
    r"学(?:会|着|习)?[做玩唱弹]?[一几两二三个]{1,2}(?P<one>[道款首])|学(?:会|着|习)?做?[^，。！？\s]{0,8}(?P<dish>道)[^，。！？]{0,12}菜|\blearn\s+(?:(?:how\s+)?to\s+(?:make|cook|prepare)\s+)?(?:an?|one|some|two|three)\s+(?:\w+\s+){0,3}?(?:recipe|dish|meal)(?:e?s)?\b|\blearn\s+(?:how\s+)?to\s+(?:make|cook|prepare)\s+an?\b",
    re.IGNORECASE,
)
_PLACE_TO_EAT = re.compile(
    r"\b(?:places?|somewhere|where)\b[\w ]{0,20}\b(?:to\s+(?:eat|dine)|serv(?:e|es|ing))\b|\brestaurants?\b",
    re.IGNORECASE,
)
_IN_PLACE = re.compile(r"\b(?:in|around|near|to)\s+$", re.IGNORECASE)
_ANY_PLACE = re.compile(r"\bplaces?\b(?!\s+(?:to|of))|地方", re.IGNORECASE)
_LEARNT = {"道": "dish", "款": "game", "首": "album"}
_NOTHING_SAID = re.compile(
    r"\b(?:recommendations?|suggestions?|surprise|bored|whatever|random(?:ly)?|anything|everything|something|somewhere|nothing|no|fine|works?|idea|ideas|pick|choose|decide|dunno|no\s+preference|preferences?|in\s+particular|special|today|tonight|now|weekend|free|some\s+time|kill|pass|spend|time)\b"
    r"|随便|随意|任意|都行|都可以|都好|都成|无聊|一个|没事|什么|看着办|你定|你决定|你来定|你看|无所谓|没想法|不知道|不限|不|任何|东西|来点|今晚|周末|打发时间|好物",
    re.IGNORECASE,
)
_TO_US = re.compile(
    r"\b(?:are|do|did|have) you (?:look|lik|want|prefer|think|enjoy|see|watch)|你(?:[最也很]|们)?(?:喜欢|爱|觉得|认为)[^，。！？]*(?:吗|呢|哪|什么|谁)",
    re.IGNORECASE,
)  # a question to us tells nothing of him
_STATE = re.compile("[A-Z]{2}")
_GOES_ON = re.compile(r"[^A-Za-z.!?\n。！？]*?(?:[,;/，；、&]|(?:and|or|also)\b)", re.IGNORECASE)
_TO_PLACE_ZH = re.compile("(?:[去在到游逛飞]|[来去]一?趟|想念|离开)$")
_AT_PLACE_ZH = re.compile("有[没什哪啥]|附近|周边|旅[游行]|哪里|[好怎]玩|[玩逛]|的(?:景点|地方|好去处)")
_YEAR_AFTER = re.compile(r"\s*[(（](\d{4})[)）]")
_SAYS_NOT = re.compile(r"not\b|nobody|few|[不没]", re.IGNORECASE)  # itself, so that no other word need
_FOOD = re.compile(
    r"\b(?:meals?|lunch|dinner|supper|breakfast|brunch|snacks?|foods?|salads?|soups?|dish(?:es)?|recipes?|cook\w*|eat\w*|bites?|desserts?)\b",
    re.IGNORECASE,
)
# What a message lists after these it knows or likes, whether the titles are marked or not: "watched inception and the wire", 读过三体和活着.
_LIKE = r"(?:(?<![\w'])(?!(?:i|we|you|they|who|would|i'?d|d|t|to|also|really|do|not|don'?t|didn'?t|might|may|still)\b)[\w']+\s+like|^like|\bsimilar\s+to|\bsuch\s+as)\s+|(?:像|类似于?)"  # not the verb
_LISTS: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (kinds, re.compile(pattern, re.IGNORECASE))
    for kinds, pattern in (
        (("film", "series"), r"\b(?:seen|watched|saw)\s+"),
        (("film", "series", "book"), r"看(?:过|完)了?"),
        (("book",), r"\b(?:have|'ve|already|just|i)\s+(?:(?:already|just|also)\s+)?read\s+|[读念](?:过|完)了?"),
        (("album",), r"\b(?:heard|listened\s+to)\s+|听过了?"),
        (("game", "product"), r"\b(?:played|own(?:ed)?|bought)\s+|[玩买]过了?"),
        (("game", "book", "album", "product"), r"\bhave\s+(?=[^.!?;]{1,80}\balready\b)"),
        (("place", "activity"), r"\b(?:been\s+to|visited)\s+|去过了?"),
        (("dish",), r"\b(?:eaten|cooked|made|tried)\s+|[吃做喝]过了?"),
        (("course", "activity", "dish"), r"\b(?:taken|done|finished)\s+|学过了?"),
        (WORKS, r"\b(?:loved|liked|enjoyed|adored|hated?|disliked?)\s+|\bdidn'?t\s+(?:like|enjoy)\s+|\bfavou?rites?(?:\s+\w+)?\s+(?:is|are|was|were)\s+|\b(?:fans?|fond)\s+of\s+|喜欢(?:看|听|读|玩)?|最?爱(?:看|听|读|玩)"),
        (KINDS, _LIKE),
    )
)  # fmt: skip
_LIKE_BEFORE = re.compile(rf"(?:{_LIKE})(?:the\s+)?[《“\"*]*$", re.IGNORECASE)
_LOVES = re.compile(
    r"\b(?:love|like|enjoy|adore)\s+", re.IGNORECASE
)  # what may be a word as well as a title: "I love parks"
_LIST_END = re.compile(r"[.!?;\n。！？；]|\b(?:but|because|so|and\s+(?:i|now|want|need))\b|但|所以|因为", re.IGNORECASE)
_LIST_JOINT = re.compile(
    r"\s*[,，、&+]\s*(?:and\s+|or\s+|also\s+)?|\s+(?:and|or)\s+|还有|以及|[和跟与及]", re.IGNORECASE
)
_BEFORE_LISTED = re.compile(
    r"(?:(?:both|all|of|also|already|just|even|the|book|movie|film|show|series|game|album)\s+)*|了|电影|小说",
    re.IGNORECASE,
)
_AFTER_LISTED = re.compile(
    r"(?:\s+(?:already|before|too|again|yet|recently|lately|yesterday|today|tonight|(?:last|this)\s+\w+|twice|once|to\s+death|a\s+lot|so\s+much|very\s+much|a\s+million\s+times|as\s+well|what|next))+"
    r"|(?:了|都|这些|一样|之类|等等?)*(?:(?:这种|那样|这样|这类|那种)\w{0,8}|的\w{0,6})?",
    re.IGNORECASE,
)
# Titles that are everyday words: without a mark only "watched", "read" and the like make titles of them, no "I love blue" and no 我喜欢师父.
_EVERYDAY = frozenset(
    (
        "alive beloved blue caramel city civilisation clue code control cosmos courage cube dark daybreak designer detention discovery donuts fable "
        "firefly firework flights florence flow foundation friends gentleman glee grace hades heat hench hero home honeyland horses house immunity joker "
        "journey kindred kingdom kitchen kite lemonade light limbo lost loveless melodrama midnights monopoly monster moon moving november once parks "
        "parachutes passages patchwork photosynthesis planets plenty pop promises puzzles quartet reset root ruins rumours scenery secret seven shine "
        "shower silence sleep snow spaces spring stray summer tangerines tapestry teahouse thunderstorm timeline trapped twilight up veneer voodoo "
        "waterlog wild winter "
        "一一 七巧板 万物 丰盛 乒乓 书挡 二十一 二十三 云游 五子棋 亲缘 人世间 令牌 信号 假人 偏执狂 先知 光 免疫 公羊 农场主 冷战 冷血 初恋 制图师 办公室 功夫 "
        "勇气 匆匆 十一月 午餐盒 厨房 史诗 同质 同路人 后窗 吻别 囚徒 四重奏 围棋 圣礼 城堡 城市 基地 堤 大都会 大西洋 她 好家伙 宇宙 守望者 宠爱 寓言 小丑 小狼 "
        "山歌 师父 平方根 底层 废墟 异步 心理剧 怎么了 怪物 情书 情景剧 成长 承诺 抵岸 抵达 拆箱 挂毯 探索 控制 播种 散光 文明 斗地主 斗牛士 时间线 曾经 月球 朽木 "
        "枯叶 柠檬水 棋王 楼层 毛毛 氧气 沉醉 没关系 泳者 洗澡 流人 流行 流言 潜伏 火山 火线 烟火 焦糖 爵士乐 特写 狮子 独自 王国 王冠 甜甜圈 白板 睡眠 破晓 空间 "
        "突袭 纪念 经度 绅士 编码 罗马 老友 老街坊 羞耻 萤火虫 葡萄 蓝 蔚蓝 蒲公英 血型 裁缝 解密 设计师 谋杀 贤良 路 越狱 轮回 通道 重 野花 门 门徒 阿波罗 降临 降落伞 "
        "雪崩 雪豹 雪国 雷雨 颤栗 风声 风景 风筝 飞行棋 马群 骑手 鬼怪 麻将 黄狗 麻雀 国际象棋 中国象棋 民谣歌手 光合作用 爱情 流浪"
    ).split()
)
_DONE_BEFORE = re.compile(  # a list led by this names what was watched, read, …
    r"\b(?:seen|watched|saw|read|heard|listened\s+to|played|liked|loved|enjoyed|adored|hated?|disliked?|favou?rites?[\w\s]*)\s*$|[看听读念玩去吃做喝学买](?:过|完)?了?$",
    re.IGNORECASE,
)
_NEVER_LISTED = frozenset("plenty once most some many enough nothing everything lots loads thing them stuff".split())
_MAX_LISTS, _MAX_PARTS = 12, 12  # of a message, of a list: what is longer is no list of titles
_MAX_TITLE = 80  # characters of one of them with what stands around it
_MAX_LISTED = 160  # characters of a list that are looked at
_QUOTED = re.compile(r"[《“\"*]")


@dataclass(frozen=True, slots=True)
class Understanding:
    """What one message says: the profile with it taken in, what it asks for, the items it names, whether it holds any wish."""

    profile: Profile
    intent: Intent
    named: tuple[Item, ...] = ()
    has_wish: bool = False
    unknown: tuple[str, ...] = ()  # titles marked as such that the catalogue does not have


@dataclass(frozen=True, slots=True)
class Shortened:
    """A message as the flow uses it: of a long one the sentences that say most, and what the others say of wishes."""

    text: str
    rest: Profile = Profile()
    is_cut: bool = False


def understand(
    message: str,
    profile: Profile,
    *,
    vocabulary: Vocabulary,
    by_title: Mapping[str, tuple[Item, ...]],
    fields: Fields = Fields(),
    last_items: Sequence[Item] = (),
    turn: int = 0,
) -> Understanding:
    """The message read in the light of the profile so far. `fields` are the catalogue's columns, `last_items` those the last reply named."""
    text = message.replace("’", "'")  # of the same length; telephones write ’
    text = _WITHOUT_ZH.sub(lambda match: f"不含{match.group(2)}但", text)  # of the same length too
    text = _TOO_ZH.sub(r"\1但", text)
    text = _BARE_NOT_ZH.sub(lambda match: _turned(match, vocabulary), text)
    text = _ANY_BUT.sub(lambda match: "not".ljust(len(match.group())), text)
    known = _find(text, vocabulary)
    found = [one for one in known if not _is_other(text, one)]
    shown = {normalise(item.title): item for item in last_items}  # of namesakes, the one on the table is meant
    placed = _placed(last_items, text)
    titled = named_items(text, by_title) or _named_of(last_items, text) or placed
    marked = [(start, end) for _, start, end in titled]
    titled += [
        one
        for one in _listed(text, by_title, known)
        if not any(one[1] < end and start < one[2] for start, end in marked)
    ]
    is_outing = any(one.group == "kinds" and one.term in ("place", "dish", "activity") for one in found)
    named_spans = [
        (shown.get(normalise(item.title), item), start, end)
        for item, start, end in sorted(titled, key=lambda one: one[1])
        if not (is_outing and item.kind in WORKS and _IN_PLACE.search(text[:start]))  # "hotels in Atlanta"
        if _has_mark(text, start, end) or not _is_attribute(found, start, end)
    ]
    asides = _asides(text, found)
    found = [_described(one, text, vocabulary) if one in asides else one for one in found]
    titles = [match.span(match.lastindex or 0) for match in _TITLES.finditer(text)]
    spent = [*titles, *(span for _, *span in named_spans), *(match.span() for match in _SPENT.finditer(text))]
    found = _without(found, spent)
    named = tuple(dict.fromkeys(item for item, _, _ in named_spans))
    is_title = any(start <= 1 and end >= len(text.rstrip(" ?!.？！。")) for _, start, end in named_spans)
    intent: Intent = "none"
    if not is_title:  # whose words mean nothing else: "Regret Not Meeting Sooner?"
        rest = _blanked(
            text, [(start, end) for _, start, end in named_spans]
        ).strip()  # "Plants vs. Zombies" compares nothing
        rest = _ASKS_US_ZH.sub(lambda match: " " * len(match.group()), rest)
        intent = next((asked for asked, pattern in _INTENTS if pattern.search(rest)), "none")
    kinds = _kinds(_blanked(text, [(one.start, one.end) for one in asides]), found, fields, intent)
    if "dish" in profile.kinds and kinds == ("place",) and _ANY_PLACE.search(text) and not _implied_kinds(text):
        kinds = ()  # a place to eat, as before
    lesser_known = [
        match.span()
        for match in LESSER_KNOWN.finditer(text)
        if _SAYS_NOT.match(match.group()) or not _is_negated(text, match.start())
    ]
    if (told_kinds := kinds or _implied_kinds(text)) and not {"place", "activity"} & set(
        told_kinds
    ):  # only a way can be less travelled
        found = [one for one in found if one.term != "road less travelled"]
    if "album" in told_kinds:  # all of them are music
        found = [one for one in found if one.term != "music"]
    compared = parse_comparisons(
        text, turn, fields=fields, kinds=kinds or profile.kinds, shown=last_items, named=named_spans
    )
    found = _without(found, [(one.start, one.end) for one in compared])
    if compared and not kinds and not profile.kinds:
        kinds = tuple(dict.fromkeys(item.kind for item in last_items))
    stated = _constraints(
        message, text, turn, fields, kinds or profile.kinds or _implied_kinds(text), found, named_spans, titles
    )
    stated = [  # who is known by a title alone ("Beethoven: Symphony No. 5") is no stranger
        one
        for one in stated
        if one.field != "creator"
        or (maker := normalise(str(one.value))) in fields.by_value
        or isinstance(one.value, tuple)
        or not any(maker in title for title in by_title)
    ]
    names = [(one.start, one.end) for one in stated if one.field == "creator"]
    elsewhere = {one.term for one in _without(found, names)}
    kinds = (
        tuple(kind for kind in kinds if kind in elsewhere or kind not in KINDS) or kinds
    )  # "songs by Little Big Town"
    stated = [one for one in stated if not any(one.start < new.end and new.start < one.end for new in compared)]
    constraints = stated + [replace(one, text=message[one.start : one.end]) for one in compared]
    wishless = [
        *((start, end) for _, start, end in named_spans),
        *((one.start, one.end) for one in asides if _is_beside(text, one)),
    ]
    masked = _masked(text, titles, wishless, found, constraints, lesser_known)
    feelings = _feelings(text, named_spans, intent, last_items, compared)
    asked_for = [  # by its title; of a work that means "such as this one"
        Interest(
            "",
            True,
            tuple(
                dict.fromkeys(
                    one.term
                    for one in vocabulary.find(text[start:end])
                    if one.group != "kinds" and (one.end - one.start > 1)  # 上海 is not by the name of the sea
                )
            ),
            start,
            end,
            turn,
        )
        for item, start, end in named_spans
        if item.kind not in WORKS and item not in (*last_items, *feelings) and not _is_negated(text, start)
    ]
    interests = [*_interests(text, masked, found, turn), *asked_for]
    interests += [
        Interest("", True, (), start, end, turn)
        for start, end in lesser_known
        if not any(one.start < end and start < one.end for one in interests)
    ]
    if (
        last_items
        and not (kinds or compared or named and not placed or _REQUEST.search(text))
        and _OF_SHOWN.fullmatch(text)
    ):
        interests, intent = [], "about" if intent == "none" else intent
    interests = [replace(interest, text=message[interest.start : interest.end]) for interest in interests]
    interests = [one if one.is_like else replace(one, text=_BARE_ZH.sub(r"\1", one.text)) for one in interests]
    has_wish = bool(interests or constraints or named or kinds)
    if intent == "none":
        intent = "recommend" if has_wish else _courtesy(text)
    if intent == "recommend" and named and set(named) <= set(last_items) and not interests and not compared:
        rest = _blanked(text, [(start, end) for _, start, end in named_spans])  # a title may have a "not" in it
        intent = _of_the_shown(rest, len(words(rest)))
    if intent == "reject" and len(interests) > 0 and not last_items and not named:
        intent = "recommend"
    if intent == "recommend" and not kinds and not profile.kinds:
        kinds = _implied_kinds(text)

    if intent == "reject" and not named:
        feelings |= dict.fromkeys(
            last_items, ("disliked",) if _DISLIKED.search(text) and not _SEEN.search(text) else ("seen",)
        )
    new_texts = {normalise(interest.text) for interest in interests}
    kept = [
        interest
        for interest in profile.interests
        if normalise(interest.text) not in new_texts and not _contradicts(interests, interest)
    ]
    updated = replace(
        profile,
        interests=_latest(kept + interests),
        constraints=(*(one for one in profile.constraints if not _is_overruled(one, stated, compared)), *constraints),
        kinds=kinds or profile.kinds,
        liked=_with_feeling(profile.liked, feelings, "liked", "disliked"),
        disliked=_with_feeling(profile.disliked, feelings, "disliked", "liked"),
        seen=_with_feeling(profile.seen, feelings, "seen"),
    )
    unknown = [
        message[start:end]
        for start, end in titles
        if not any(low < end and start < high for _, low, high in named_spans)
    ]
    return Understanding(updated, intent, named, has_wish or bool(kinds), tuple(dict.fromkeys(unknown)))


def shortened(
    message: str,
    limit: int,
    *,
    vocabulary: Vocabulary,
    by_title: Mapping[str, tuple[Item, ...]],
    fields: Fields = Fields(),
) -> Shortened:
    """A message of more than `limit` characters by its sentences that say most of what is wanted, in their order and each once; what the others say,
    as a profile without spans. A message that is short enough comes back as it is.

    Sentence by sentence, since the time that `understand` takes grows with the square of a message's length (20,000 Chinese characters: 76 s).
    """
    if len(message) <= limit:
        return Shortened(message)
    whole = sentences([message])
    parts = list(dict.fromkeys(part[at : at + limit] for part in whole for at in range(0, len(part), limit)))
    if sum(map(len, parts)) > MAX_READ:  # a quick look first
        told = [len(vocabulary.find(part)) + 2 * bool(_NEGATIVE.search(part)) for part in parts]
        parts = [parts[index] for index in _fitting(parts, told, MAX_READ)]
    read = [understand(part, Profile(), vocabulary=vocabulary, by_title=by_title, fields=fields) for part in parts]
    kept = _fitting(parts, [_relevance(one) for one in read], limit)
    rest = [read[index].profile for index in range(len(parts)) if index not in kept]
    interests = {normalise(one.text): replace(one, start=0, end=0) for said in rest for one in said.interests}
    summary = Profile(
        interests=_latest(list(interests.values())),
        constraints=tuple(
            {subject(one): replace(one, start=0, end=0) for said in rest for one in said.constraints}.values()
        ),
        liked=tuple(dict.fromkeys(id for said in rest for id in said.liked)),
        disliked=tuple(dict.fromkeys(id for said in rest for id in said.disliked)),
        seen=tuple(dict.fromkeys(id for said in rest for id in said.seen)),
    )
    return Shortened("".join(parts[index] for index in kept).strip(), summary, is_cut=True)


def _fitting(parts: Sequence[str], relevances: Sequence[float], limit: int) -> list[int]:
    """The indices, in order, of the most relevant parts that have room in `limit` characters together; of equals the later, which are nearer to what is
    asked."""
    kept: list[int] = []
    for index in sorted(range(len(parts)), key=lambda index: (-relevances[index], -index)):
        if len(parts[index]) <= limit:
            kept.append(index)
            limit -= len(parts[index])
    return sorted(kept)


def _relevance(understanding: Understanding) -> float:
    """How much a sentence says of what is wanted: conditions and dislikes, which are demands, before likes, known words before others."""
    profile = understanding.profile
    likes = sum(2.0 if interest.tags else 0.5 for interest in profile.likes)
    return (
        3.0 * (len(profile.constraints) + len(profile.dislikes))
        + likes
        + 2.0 * len(understanding.named)
        + 1.5 * len(profile.kinds)
    )


def _without(found: list[Found], spans: Iterable[Sequence[int]]) -> list[Found]:
    """The terms that do not stand in one of the spans."""
    taken = [(start, end) for start, end in spans]
    return [one for one in found if not any(start < one.end and one.start < end for start, end in taken)]


def _latest(interests: Sequence[Interest]) -> tuple[Interest, ...]:
    """The latest likes, and the latest dislikes, which no number of later likes may push out: "no horror" holds to the end of the talk."""
    places = [[index for index, one in enumerate(interests) if one.is_like == is_like] for is_like in (True, False)]
    return tuple(interests[index] for index in sorted(index for own in places for index in own[-MAX_INTERESTS:]))


def _is_overruled(old: Constraint, stated: Sequence[Constraint], compared: Sequence[Constraint]) -> bool:
    """Whether later statements take an earlier one's place: one about the same; of a comparison ("something shorter") only what limits the same side,
    or cannot be met together with it ("older" after "since 1990")."""
    if any(subject(old) == subject(new) for new in stated):
        return True
    return any(
        subject(old) == subject(new) and (old.op in (new.op, "==") or clash(old, new) or clash(new, old))
        for new in compared
    )


def _feelings(
    text: str,
    named: Sequence[tuple[Item, int, int]],
    intent: Intent,
    shown: Sequence[Item],
    compared: Sequence[Constraint],
) -> dict[Item, tuple[str, ...]]:
    """What a message says of the items it names: "liked", "disliked", "seen". Who has seen something need not dislike it: what he brings up himself is
    to his taste, of what was shown to him only praise says so."""
    feelings: dict[Item, tuple[str, ...]] = {}
    for item, start, end in named:
        low = max((match.end() for match in _SENTENCE_END.finditer(text, 0, start)), default=0)
        high = next((match.start() for match in _SENTENCE_END.finditer(text, end)), len(text))
        around = text if len(named) == 1 else text[low:high]
        is_seen = bool(_SEEN.search(_ASKS_US_ZH.sub("", _UNSEEN.sub("", around))))
        if _UNSEEN.search(around) and not is_seen or any(one.start <= start < one.end for one in compared):
            continue
        after = text[end : min([high, *(other for _, other, _ in named if other > start)])]
        contrast = (
            _CONTRAST.search(after) if end + len(after) < high else None
        )  # "I love A but hate B" says nothing bad of A
        is_disliked = bool(_DISLIKED.search(after[: contrast.start()] if contrast else text[end:high]))
        is_bad = _is_negated(text, start) and not is_seen or is_disliked
        is_praised = bool(_PRAISE.search(_DISLIKED.sub("", around)))
        if is_bad and (item.kind in WORKS or intent == "reject" or is_seen):
            feelings[item] = ("disliked", "seen") if is_seen else ("disliked",)
        elif is_seen:
            is_taste = is_praised or item.kind in WORKS and (item not in shown or bool(_ALIKE.search(text)))
            feelings[item] = ("seen", "liked") if is_taste else ("seen",)
        elif intent == "reject":
            feelings[item] = ("seen", "liked") if is_praised else ("disliked",)
        elif (item.kind in WORKS or _LIKE_BEFORE.search(text, 0, start)) and intent not in (
            "about",
            "why",
            "compare",
            "maker",
        ):
            feelings[item] = ("liked",)
    return feelings


def _with_feeling(
    ids: Sequence[str], feelings: Mapping[Item, tuple[str, ...]], wanted: str, opposite: str = ""
) -> tuple[str, ...]:
    """Item ids with those added of which this is said now, less those of which now the opposite is."""
    gone = {item.id for item, said in feelings.items() if opposite in said and opposite}
    return tuple(
        dict.fromkeys(
            (*(id for id in ids if id not in gone), *(item.id for item, said in feelings.items() if wanted in said))
        )
    )


def _courtesy(text: str) -> Intent:
    """What a message without any wish is: a greeting, thanks (also a farewell or praise), a question about what is on the table, else a request."""
    if _REQUEST.search(_THANKS.sub("", text)):  # 谢谢你的推荐 asks for none
        return "recommend"
    if len(words(text)) <= _MAX_COURTESY:
        if _GREETING.match(text):
            return "greeting"
        if _THANKS.search(text) or _PRAISED.fullmatch(text):
            return "thanks"
    return "about" if _FACT_ASKED.search(text) else "recommend"


def without_greeting(message: str) -> str:
    """The message less how it says hello: "HI" is no part of a title."""
    greeting = _GREETING.match(message)
    return message[greeting.end() :] if greeting else message


def _placed(shown: Sequence[Item], message: str) -> list[tuple[Item, int, int]]:
    """Those of the items just shown that a message means by their place, with its span."""
    found = []
    for match in _PLACED.finditer(message):
        place = ((match.lastindex or 1) - 1) % 3  # groups come in threes
        if place < len(shown):
            found.append((shown[place], *match.span()))
    return found


def _turned(match: re.Match[str], vocabulary: Vocabulary) -> str:
    """The words of "不辣的菜" as "别辣但菜", of the same length, where what follows 不 is a tag or mood; else as they are."""
    said = match.group(1)
    is_term = any(one.end - one.start == len(said) and one.group != "kinds" for one in vocabulary.find(said))
    return f"别{said}{'但' if match.group(2) else '的'}{match.group(2)}" if is_term else match.group()


def is_vague(message: str) -> bool:
    """Whether a message says nothing of what is wanted: every word of it could stand in any request ("recommend something", "随便")."""
    text = message.replace("’", "'")
    text = _NOTHING_SAID.sub(
        " ", _EMPTY_ZH.sub(" ", _WALL_ZH.sub(" ", text)) if has_cjk(text) else _WALL_EN.sub(" ", text)
    )
    return all(word.text.lower() in _EMPTY or word.text.isdigit() for word in words(_BEFORE_EN.sub(" ", text)))


def _kinds(text: str, found: list[Found], fields: Fields, intent: Intent) -> tuple[str, ...]:
    """The kinds that a message names: by the catalogue's own words for them where it uses those, else by the vocabulary's. Who wants to learn one dish wants
    the dish; who has read what he was shown does not ask for books."""
    learnt = (
        []
        if "dish" not in fields.sizes and fields.sizes
        else [(*match.span(), match) for match in _LEARN_ONE.finditer(text)]
    )
    spent = [match.span() for match in _SEEN.finditer(text)] if intent == "reject" else []
    found = _without(found, [*((start, end) for start, end, _ in learnt), *spent])
    own = [
        kind
        for kind in fields.sizes
        if kind not in KINDS and (match := _kind_pattern(kind).search(text)) and not _is_negated(text, match.start())
    ]
    named = [one.term for one in found if one.group == "kinds" and not _is_negated(text, one.start)]
    named += [kind for _, _, match in learnt for kind in (_LEARNT[(match["one"] or "道")],) if kind in fields.sizes]
    if _PLACE_TO_EAT.search(text):
        named = [kind for kind in named if kind != "place"]
        named += ["dish"] if "dish" in fields.sizes or not fields.sizes else []
    return tuple(dict.fromkeys(own or named))


def _asides(text: str, found: Sequence[Found]) -> list[Found]:
    """The kinds that a message names beside the one it wants; none where no other would be left."""
    kinds = [one for one in found if one.group == "kinds"]
    clause_ends = [match.start() for match in re.finditer(r"[，。！？；,.!?;\n]", text)] + [len(text)]
    asides = []
    for one in kinds:
        low = max((end + 1 for end in clause_ends if end < one.start), default=0)
        high = min(end for end in clause_ends if end >= one.end)
        others = [other for other in kinds if other.term != one.term]
        if _is_beside(text, one):
            is_aside = bool(others)
        elif has_cjk(text[one.start : one.end]):  # of 提供早餐的酒店, not of 好看的电影和好听的歌
            is_held = bool(_HOLDS_ZH.search(text, low, one.start)) or any(
                text.startswith("有", other.end) for other in others if low <= other.start < one.start
            )
            is_joined = text[one.end : one.end + 1] in tuple("和与及、")
            is_part = any(one.end < other.start < high and text[other.start - 1] == "的" for other in others)
            is_aside = bool(others) and (is_held or is_part and not is_joined or text[one.start : one.end] == "地方")
        else:
            is_aside = any(other.start == one.end + 1 for other in others)  # "holiday songs"
            is_aside |= bool(_WITHIN.search(text, low, one.start)) and (
                any(low <= other.start < one.start for other in others)
                or not {one.term} & set(_implied_kinds(text[low : one.start]) or {one.term})
            )
        if is_aside:
            asides.append(one)
    return asides


def _is_beside(text: str, found: Found) -> bool:
    return bool(_BESIDE.search(text[: found.start]) or _BESIDE_AFTER.match(text, found.end))


def _described(kind: Found, text: str, vocabulary: Vocabulary) -> Found:
    """What a kind that is named beside another says of it: "songs" are music; else only that no other is wanted."""
    tag = vocabulary.tag(text[kind.start : kind.end])
    return replace(kind, group="tags", term=tag) if tag in vocabulary.terms["tags"] else replace(kind, group="aside")


@lru_cache(maxsize=1024)
def _kind_pattern(kind: str) -> re.Pattern[str]:
    word = re.escape(kind)
    return re.compile(word if has_cjk(kind) else rf"(?<!\w){word}(?:s|es)?(?!\w)", re.IGNORECASE)


def _constraints(
    message: str,
    text: str,
    turn: int,
    fields: Fields,
    kinds: tuple[str, ...],
    found: list[Found],
    named: list[tuple[Item, int, int]],
    titles: list[tuple[int, int]],
) -> list[Constraint]:
    """What the message demands (`text` is how it is read); a number of people is a demand only of what is played or done together."""
    is_played = any(one.group == "kinds" and one.term in ("game", "activity") for one in found)
    constraints = parse_constraints(
        text,
        turn,
        fields=fields,
        kinds=kinds,
        taken=[*titles, *((start, end) for _, start, end in named)],
        countries=[(one.term, one.start, one.end) for one in found if one.group == "countries"],
        is_negated=_is_negated,
    )
    terms = {(one.start, one.end) for one in found}
    return [
        replace(one, text=message[one.start : one.end])
        for one in constraints
        if one.field != "creator" or (one.start, one.end) not in terms  # 安静 is a name, too
        if one.field != "players" or is_played or "player" in one.text.lower()
    ]


def _blanked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    for start, end in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def _of_the_shown(message: str, num_other_words: int) -> Intent:
    """What a message asks for that names what was just shown, and nothing else: "Alien?" wants to know more, "fell asleep during Alien"
    wants another, "I loved Alien" wants more like it."""
    if _NEGATIVE.search(message):
        return "reject"
    if num_other_words <= 1 or _QUESTION.search(message):
        return "about"
    return "more" if _PRAISE.search(message) else "reject"


def asked_number(message: str) -> int:
    """How many things the message asks for in so many words ("just one", "三个"): 1, 2 or 3, the first that is said; 0 when none is."""
    said = [(match.start(), number) for number, pattern in _ASKED_NUMBERS if (match := pattern.search(message))]
    return min(said)[1] if said else 0


def named_items(message: str, by_title: Mapping[str, tuple[Item, ...]]) -> list[tuple[Item, int, int]]:
    """Items whose title the message names, with half-open spans; the longest title wins, a year tells namesakes apart.

    A title of one common word counts only where it is marked: a capital inside the sentence, quotes, 《》, or a year after it.
    """
    found: list[tuple[Item, int, int]] = []
    tokens = [
        (match.start(), match.end()) for match in re.finditer(r"[\u3400-\u9fff]|[^\W_]+(?:['’][^\W_]+)?", message)
    ]
    plain = [normalise(message[start:end]) for start, end in tokens]
    position = 0
    while position < len(tokens):
        keys = [plain[position]]  # the normalised texts of one token, of two, …
        for before, after in zip(range(position, len(tokens) - 1), range(position + 1, position + 14), strict=False):
            keys.append(keys[-1] + ("" if tokens[before][1] == tokens[after][0] else " ") + plain[after])
        for last in range(position + len(keys), position, -1):
            items = by_title.get(keys[last - position - 1], ())
            if not items:
                continue
            start, end = tokens[position][0], tokens[last - 1][1]
            if found and _YEAR_AFTER.fullmatch(message, found[-1][2], end + 1):
                continue  # the year of the title before it is not the film "1984"
            year = _YEAR_AFTER.match(message, end)
            if year and (len(items) > 1 or last - position == 1):
                of_year = tuple(item for item in items if item.year == int(year.group(1)))
                items = of_year if last - position == 1 else of_year or items
            if items and (_is_marked(message, start, end, last - position) or _is_visited(message, start, end, items)):
                found.append((max(items, key=_prominence), start, end))
                position = last - 1
                break
        position += 1
    for one in _misspelt(message, by_title):
        if not any(one[1] < end and start < one[2] for _, start, end in found):
            found.append(one)
    return sorted(found, key=lambda one: one[1])


def _listed(
    message: str, by_title: Mapping[str, tuple[Item, ...]], found: Sequence[Found]
) -> Iterator[tuple[Item, int, int]]:
    """Items that a message lists as known or liked, though nothing marks their titles, and with a typing error in a longer one. A part of a list must be
    the whole title; one that is a term of the vocabulary as well ("I loved jazz"), or an everyday word ("I love blue"), is none."""
    terms = {(one.start, one.end) for one in found}
    begun = [
        (match.start(), match.end(), kinds, True) for kinds, pattern in _LISTS for match in pattern.finditer(message)
    ]
    begun += [(match.start(), match.end(), WORKS, False) for match in _LOVES.finditer(message)]
    begun = sorted(begun)[:_MAX_LISTS]
    for _, low, kinds, is_sure in begun:
        high = min([low + _MAX_LISTED, len(message), *(other for other, *_ in begun if other >= low)])
        listed = [one for one in _titles_of_list(message, low, high, kinds, by_title) if one[1:] not in terms]
        if not _DONE_BEFORE.search(message, 0, low):
            listed = [one for one in listed if normalise(message[one[1] : one[2]]) not in _EVERYDAY]
        if is_sure:
            yield from listed
        else:  # nor is what is only like a title one: "I love garden"
            many = len(listed) > 1
            yield from (
                one
                for one in listed
                if many or " " in message[one[1] : one[2]] or normalise(message[one[1] : one[2]]) in by_title
            )


def _titles_of_list(
    message: str, low: int, high: int, kinds: Collection[str], by_title: Mapping[str, tuple[Item, ...]]
) -> Iterator[tuple[Item, int, int]]:
    """The items of the list that begins at `low` and ends before `high`."""
    end = _LIST_END.search(message, low, high)
    high = end.start() if end else high
    joints = [(low, low), *(joint.span() for joint in _LIST_JOINT.finditer(message, low, high)), (high, high)]
    first = 0
    while first < min(len(joints) - 1, _MAX_PARTS):
        for last in range(min(len(joints) - 1, first + 3), first, -1):  # a title may have an "and" in it
            item, start, stop = _whole_title(message, joints[first][1], joints[last][0], kinds, by_title)
            if item:
                yield item, start, stop
                first = last - 1
                break
        first += 1


def _whole_title(
    message: str, start: int, end: int, kinds: Collection[str], by_title: Mapping[str, tuple[Item, ...]]
) -> tuple[Item | None, int, int]:
    """The item of one of the kinds whose title a part of a list is, articles before and adverbs after it aside, and its span."""
    end = start + len(message[start:end].rstrip())
    if end - start > _MAX_TITLE:
        return None, start, end
    begin = _BEFORE_LISTED.match(message, start, end)
    inner = begin.end() if begin else start
    for low in dict.fromkeys((start, inner)):
        high = next((at for at in range(low + 1, end) if _AFTER_LISTED.fullmatch(message, at, end)), end)
        for stop in dict.fromkeys((end, high)):
            said = normalise(message[low:stop])
            if said in _NEVER_LISTED or len(said) < (2 if has_cjk(said) else 4):
                continue
            whole = [name for name in (said, f"the {said}") if name in by_title][:1]  # "like Avengers"
            names = whole or _spelt_like(said, by_title)
            items = [item for name in names for item in by_title[name] if item.kind in kinds]
            if items:
                return max(items, key=_prominence), low, stop
    return None, start, end


def _spelt_like(said: str, by_title: Mapping[str, tuple[Item, ...]]) -> list[str]:
    """The nearest title that begins alike, with one error in six letters or two in twelve (one in four Chinese characters)."""
    most = len(said) // (4 if has_cjk(said) else 6)
    if not most or " " not in said and said in _EMPTY:
        return []
    near = process.extract(said, by_title.keys(), scorer=OSA.distance, score_cutoff=min(most, 2), limit=3)
    return [title for title, _, _ in near if title[0] == said[0]][:1]


def _misspelt(message: str, by_title: Mapping[str, tuple[Item, ...]]) -> Iterator[tuple[Item, int, int]]:
    """Items whose title is written with one or two typing errors where a title must stand: before a year, in 《》, or as several words with
    capitals."""
    titles = list(by_title) if "《" in message or _CAPITALS.search(message) else []
    for match in (*_TITLES.finditer(message), *_CAPITALS.finditer(message)) if titles else ():
        start, end = match.span(match.lastindex or 0)
        typed = normalise(message[start:end])
        year = _YEAR_AFTER.match(message, end)
        if typed in by_title or len(typed) < (3 if has_cjk(typed) else 6 if year else 9):
            continue
        most = 2 if len(typed) >= (9 if year else 15) else 1
        for title, _, _ in process.extract(typed, titles, scorer=OSA.distance, score_cutoff=most, limit=3):
            items = [item for item in by_title[title] if not year or item.year in (None, int(year.group(1)))]
            if items and title[0] == typed[0]:
                yield max(items, key=_prominence), start, end
                break


_ASKED_OF = re.compile(
    r"^(?:how (?:long|old|big|hard|expensive|much) is|how many pages (?:is|has)|who (?:made|wrote|directed|composed|sings|is behind)|when (?:was|is)|where is|what(?:'s| is)"
    r"|(?:tell me |say )?more (?:about|on)|tell me about|is)\s+",
    re.IGNORECASE,
)  # fmt: skip


def _named_of(items: Sequence[Item], message: str) -> list[tuple[Item, int, int]]:
    """Those of the items just shown that a message names, where no mark tells that it does: the whole message is the title, as in "chess?" (an
    edit of six letters is a typing error), or all of it after words that ask ("how long is barbie"), or a title of several words, or a long one
    with a typing error, stands in it."""
    whole = re.fullmatch(r"\W*(.*?)\W*", message, re.DOTALL)
    low, high = whole.span(1) if whole else (0, 0)
    asked = normalise(message[low:high])
    of_whom = _ASKED_OF.sub("", message[low:high])
    found = []
    for item in items:
        for title in {normalise(item.title), normalise(item.title_zh)} - {""}:
            if OSA.distance(asked, title, score_cutoff=len(title) // 6) <= len(title) // 6:
                return [(item, low, high)]
            if normalise(of_whom) == title:
                return [(item, high - len(of_whom), high)]
            spelt = r"\W+".join(re.escape(word) for word in title.split())
            if " " in title and (match := re.search(rf"\b{spelt}\b", message, re.IGNORECASE)):
                found.append((item, *match.span()))
            elif len(title) >= _LONG_TITLE and (
                near := partial_ratio_alignment(title, message.lower(), score_cutoff=88)
            ):
                found.append((item, near.dest_start, near.dest_end))  # "plants vs.z ombies"
    return found


def _prominence(item: Item) -> tuple[float, int]:
    """Which of two namesakes is meant: the better known, and of equals the film before the book before the album."""
    return item.popularity, -WORKS.index(item.kind) if item.kind in WORKS else -len(WORKS)


def _is_marked(message: str, start: int, end: int, num_words: int) -> bool:
    text = message[start:end]
    if num_words == 1 and not has_cjk(text) and _is_within_name(message, start, end):
        return False
    if _has_mark(message, start, end):
        return True
    if has_cjk(text):
        return len(text) >= 4
    if num_words >= 3:
        return True
    if text.isdigit() and len(text) < 3 or text.isupper() and len(text) == 2:  # "3" in "3 films", "IT" that is not "It"
        return False
    capitals = [word[0].isupper() or word[0].isdigit() for word in text.split()]
    return all(capitals) and not (_starts_sentence(message, start) and num_words == 1)


def _is_visited(message: str, start: int, end: int, items: Sequence[Item]) -> bool:
    """Whether a short Chinese title is a place that the message is about ("在杭州的地方", "苏州有什么好玩的")."""
    if not has_cjk(message[start:end]) or all(item.kind != "place" for item in items):
        return False
    return bool(_TO_PLACE_ZH.search(message[:start]) or _AT_PLACE_ZH.match(message, end))


def _has_mark(message: str, start: int, end: int) -> bool:
    """Whether a year follows, or a quotation mark stands before."""
    return bool(_YEAR_AFTER.match(message, end) or start > 0 and _QUOTED.match(message[start - 1]))


def _is_within_name(message: str, start: int, end: int) -> bool:
    """Whether a word is part of a longer name: "House" in "The Lake House", "City" in "Mexico City"."""
    before = re.search(r"(?<![\w'])[A-Z][\w']* $", message[:start])
    return bool(before and before.group() != "I " and not _starts_sentence(message, before.start())) or bool(
        re.match(r" (?!I\b)(?:[A-Z]\w|\d)", message[end:])
    )


def _is_attribute(found: list[Found], start: int, end: int) -> bool:
    """Whether a title's words are here a kind, or a term that says something of the next: "Fantasy" in "a Fantasy movie"."""
    groups = {one.group for one in found if one.start <= start and end <= one.end}
    return "kinds" in groups or bool(groups) and any(one.start == end + 1 for one in found)


def _starts_sentence(message: str, start: int) -> bool:
    before = message[:start].rstrip()
    return not before or before[-1] in ".!?"


def _find(message: str, vocabulary: Vocabulary) -> list[Found]:
    """The vocabulary's terms in a message, also where a word is one typing error away; spans are the visitor's spelling."""
    found, spelt = vocabulary.find(message), message
    changed: list[tuple[int, int, int]] = []  # (start, length of the right spelling, length as typed), in `spelt`
    for match in _LONG_WORD.finditer(message):
        typed, start = match.group(), match.start()
        is_name = typed.istitle() and not _starts_sentence(message, start)
        if is_name or typed.lower() in _REAL_WORDS or any(one.start <= start < one.end for one in found):
            continue
        spellings = _spellings(vocabulary).get(typed[0].lower(), ())
        nearest = process.extractOne(typed.lower(), spellings, scorer=OSA.distance, score_cutoff=1)
        if nearest and nearest[1]:
            start += len(spelt) - len(message)
            spelt = spelt[:start] + nearest[0] + spelt[start + len(typed) :]
            changed.append((start, len(nearest[0]), len(typed)))

    def typed_at(position: int) -> int:
        return position + sum(typed - right for start, right, typed in changed if start + right <= position)

    if not changed:
        return found
    return [replace(one, start=typed_at(one.start), end=typed_at(one.end)) for one in vocabulary.find(spelt)]


@lru_cache(maxsize=8)
def _spellings(vocabulary: Vocabulary) -> dict[str, tuple[str, ...]]:
    """The words that a typing error may have been meant to be, by first letter: short ones resemble too many others."""
    spellings = {"movie", "movies", "novel", "recipe", "playlist", "hotel", "hotels", "restaurant"}
    for term in (*vocabulary.terms["tags"], *vocabulary.terms["moods"], *vocabulary.terms["kinds"]):
        parts = re.findall(r"[a-z]+", term)
        spellings.update(part for part in parts if len(part) >= (5 if len(parts) == 1 else 7))
    plurals = {f"{one[:-1]}ies" if one.endswith("y") else f"{one.removesuffix('s')}s" for one in spellings}
    by_letter: dict[str, tuple[str, ...]] = {}
    for spelling in sorted(spellings | {one for one in plurals if len(one) >= 8}):
        by_letter[spelling[0]] = (*by_letter.get(spelling[0], ()), spelling)
    return by_letter


def _masked(
    text: str,
    titles: list[tuple[int, int]],
    named: list[tuple[int, int]],
    found: list[Found],
    constraints: list[Constraint],
    lesser_known: list[tuple[int, int]],
) -> str:
    """The text with # for what is no wish (named items, conditions, amounts), X for terms, decades and "not too famous", and T for other titles, which
    no rule may part: of the same length, so that spans hold."""
    characters = list(text)

    def cover(spans: Iterable[tuple[int, int]], mask: str) -> None:
        for start, end in spans:
            characters[start:end] = mask * (end - start)

    cover((match.span() for match in _SPENT.finditer(text)), "#")
    is_wish = lambda start, end: any(start < one.end and one.start < end for one in found)
    cover(((one.start, one.end) for one in constraints if not is_wish(one.start, one.end)), "#")
    cover(
        ((one.start, one.end) for one in found if one.group != "kinds" and not has_cjk(text[one.start : one.end])), "X"
    )
    cover((match.span() for match in DECADE.finditer(text)), "X")
    cover(((start, end) for start, end in lesser_known if not has_cjk(text[start:end])), "X")
    cover(titles, "T")
    cover(named, "#")
    return "".join(characters)


def _interests(message: str, masked: str, found: list[Found], turn: int) -> list[Interest]:
    """Likes and dislikes, clause by clause. A short clause goes on with the wish before the comma: "I like A, B and C"."""
    interests: list[Interest] = []
    is_wished, is_like, start = False, True, 0
    joint = ""  # what stands before the clause
    is_asking = bool(_ASKS_ZH.search(message))
    bounds = list(_CLAUSE.finditer(masked))
    ends = [match.start() for match in bounds] + [len(message)]
    nexts = [match.end() for match in bounds] + [len(message)]
    for end, following in zip(ends, nexts, strict=True):
        clause = masked[start:end]
        walls = _walls(message, masked, start, end, found)
        is_negative = bool(_NEGATIVE.search(_NOT_NEGATIVE.sub(lambda match: " " * len(match.group()), clause)))
        has_own_wish = any(effect == "wish" for _, _, effect in walls)
        is_new = not _GOES_ON.match(joint + clause) or len(words(clause)) > 5
        if has_own_wish or is_negative or is_new or _CONTRAST.search(joint):
            is_like = not is_negative
        is_wished = is_wished and not is_new
        for low, high, is_object in _phrases(message, masked, start, end, walls, found, is_wished):
            terms = [one for one in found if low <= one.start < high]
            if (place := _DONE_THERE.search(message[low:high])) and all(one.group == "kinds" for one in terms):
                low, high = _trimmed(message, masked, low, low + place.start(), found)
                is_object = is_object or is_asking
            tags = tuple(dict.fromkeys(one.term for one in terms if one.group in ("tags", "moods", "countries")))
            text = message[low:high]
            is_kind = any(one.group in ("kinds", "aside") and (one.start, one.end) == (low, high) for one in terms)
            if not tags and _STATE.fullmatch(text) and message[:low].rstrip().endswith(","):
                continue  # "Atlanta, GA"
            if not _TO_US.search(clause) and (tags or is_object and is_like and not is_kind and not _is_empty(text)):
                interests.append(Interest(text, is_like, tags, low, high, turn))
        is_wished = is_wished or has_own_wish
        joint, start = masked[end:following], following
    once = list({(one.is_like, normalise(one.text)): one for one in reversed(interests)}.values())[::-1]
    return list(_latest([one for one in once if not any(_says_more(other, one) for other in once)]))


def _walls(message: str, masked: str, start: int, end: int, found: list[Found]) -> list[tuple[int, int, str]]:
    """The walls of a clause: spans, each with what it does to the phrase after it ("wish", "stop" or "other")."""
    if not has_cjk(message[start:end]):
        return [(*match.span(), match.lastgroup or "") for match in _WALL_EN.finditer(masked, start, end)]
    walls: list[tuple[int, int, str]] = []
    is_asking = bool(_ASKS_ZH.search(message))
    for word in words(message[start:end]):
        low, high = start + word.start, start + word.end
        is_term = any(one.group != "kinds" and one.start < high and low < one.end for one in found)
        if "#" in masked[low:high]:
            walls.append((low, high, "other"))
        elif not is_term and _WALL_ZH.fullmatch(masked[low:high]):
            is_stop = (
                bool(_STOP_ZH.fullmatch(word.text))
                or word.text[0] == "有"
                and message[low - 1 : low] in "我他她们"
                or bool(_HAS_ONLY.fullmatch(word.text))
                and not is_asking  # "他很有眼光" says what is, not what is wanted
            )
            walls.append((low, high, "stop" if is_stop else "wish" if _WISH_ZH.search(word.text) else "other"))
    return walls


def _phrases(
    message: str,
    masked: str,
    start: int,
    end: int,
    walls: list[tuple[int, int, str]],
    found: list[Found],
    is_object: bool,
) -> Iterator[tuple[int, int, bool]]:
    """The spans of the noun phrases between the walls of a clause, each with whether a wish leads to it."""
    low = start
    for wall_start, wall_end, effect in (*walls, (end, end, "")):
        parts = _parted(message, masked, low, wall_start, found)
        for part_start, part_end in parts:
            yield part_start, part_end, is_object
        if parts or effect in ("wish", "stop"):
            is_object = effect == "wish"
        low = wall_end


def _parted(message: str, masked: str, low: int, high: int, found: list[Found]) -> list[tuple[int, int]]:
    """The phrases of a run of words: parted at "and" where both sides hold a term, and from the end where it is too long to quote."""
    starts = [one.start for one in found if low <= one.start < high]
    spans, cut = [], low
    for joint in _AND.finditer(masked, low, high):
        if starts and starts[-1] >= joint.end() and bisect_left(starts, cut) < bisect_left(starts, joint.start()):
            spans.append((cut, joint.start()))
            cut = joint.end()
    parts: list[tuple[int, int]] = []
    for start, end in [*spans, (cut, high)]:
        start, end = _trimmed(message, masked, start, end, found)
        joints = list((_JOINT_ZH if has_cjk(message[start:end]) else _JOINT_EN).finditer(masked, start, end))
        later: list[tuple[int, int]] = []
        while joints and not _is_quotable(message[start:end]):
            joint = joints.pop()
            later.append((joint.end(), end))
            end = joint.start()
        parts += [(start, end), *reversed(later)]
    trimmed = [_trimmed(message, masked, start, end, found) for start, end in parts]
    return [part for span in trimmed if (part := _quoted_span(message, masked, *span, found))]


def _quoted_span(message: str, masked: str, low: int, high: int, found: list[Found]) -> tuple[int, int] | None:
    """The span itself where it can be quoted, else that of its first term."""
    is_term = any(low <= one.start and one.end <= high and one.group != "kinds" for one in found)
    if sum(character.isalpha() for character in message[low:high]) < (1 if is_term else 2):  # "辣" says enough
        return None
    if _is_quotable(message[low:high]) or set(masked[low:high]) == {"T"}:
        return low, high
    return next(((one.start, one.end) for one in found if low <= one.start < high), None)


def _trimmed(message: str, masked: str, low: int, high: int, found: list[Found]) -> tuple[int, int]:
    before, after = (_BEFORE_ZH, _AFTER_ZH) if has_cjk(message[low:high]) else (_BEFORE_EN, _AFTER_EN)
    terms = [one for one in found if one.group != "kinds"]
    while low < high and not any(one.start == low for one in terms) and (match := before.match(masked, low, high)):
        low = match.end()
    while low < high and not any(one.end == high for one in terms) and (match := after.search(masked, low, high)):
        high = match.start()
    return low, high


def _is_quotable(text: str) -> bool:
    num_han = sum("\u3400" <= character <= "\u9fff" for character in text)
    return num_han <= _MAX_PHRASE_HAN and len(text.split()) <= _MAX_PHRASE_WORDS


def _is_empty(text: str) -> bool:
    found = [word.text.lower() for word in words(text)]
    return found[:1] in (["my"], ["our"]) or all(word in _EMPTY for word in found)  # "my husband" is nobody's wish


def _says_more(one: Interest, other: Interest) -> bool:
    """Whether the first makes the second of the same message superfluous: the same words earlier, or more of them."""
    if one is other or one.is_like != other.is_like or not set(other.tags) <= set(one.tags):
        return False
    text, within = normalise(other.text), normalise(one.text)
    return one.start < other.start if text == within else text in within


def _implied_kinds(text: str) -> tuple[str, ...]:
    """Kinds that are not named but told by what is done with them: who wants to listen wants an album."""
    ends = [
        (match.end(), kinds)
        for kinds, pattern in _DONE_WITH
        for match in pattern.finditer(text)
        if not _is_negated(text, match.start())
    ]
    return max(ends, key=lambda one: one[0], default=(0, ()))[1]  # "I saw Dune, what should I read next?"


def _is_negated(message: str, start: int) -> bool:
    clause = _CLAUSE.split(message[:start])[-1]
    return bool(_NEGATIVE.search(_NOT_NEGATIVE.sub("", clause)))


def _is_other(message: str, found: Found) -> bool:
    """Whether a term's word is used as something else: "book a table", "of course", "play me a song", "that would work", "a long weekend", "a light
    comedy" and 经济型酒店 (an economy hotel)."""
    before, after = message[: found.start].lower(), message[found.end :].lower()
    if before.endswith(" by ") and message[found.start].isupper():
        return True  # "Marry Me by Train"
    if found.term == "economics":
        return bool(re.match(r"型|舱|实惠|适用|快捷|连锁", after))
    if found.term == "science fiction" and message[found.start : found.end] == "SF":  # the city
        return bool(re.search(r"\b(?:in|to|around|near|from|at|visit(?:ing)?)\s+$", before))
    if found.term == "long":
        return bool(re.match(r"\s+(?:week-?ends?|days?|weeks?|months?|years?|nights?|time|while|ago)\b", after))
    if found.term == "healthy" and message[found.start : found.end].lower() == "light":
        return not _FOOD.search(message)
    if found.term == "course":
        return before.endswith("of ")
    if found.group == "kinds" and found.end - found.start == 1:  # 剧场, 书店 and 歌手 are no series, books and songs
        token = next((word for word in words(message) if word.start <= found.start < word.end), None)
        is_begun = token is not None and token.end > found.end and token.text not in _ARE_KINDS_ZH
        return is_begun or found.term == "album" and before.endswith(("唱", "儿", "国", "诗", "高"))
    if found.term == "online":  # of a film it says nothing that a catalogue could tell
        return bool(
            re.search(r"(?:movies?|films?|watch|shows?|series|music|songs?)\b[^.!?]{0,12}$", before)
            or re.match(r"\s+(?:movies?|films?|shows?|series|music|songs?)\b", after)
        )
    if found.term == "book":
        return bool(
            re.match(
                r"\s+(?:a|an|me|the|it|us|my|our|one|two|three|\d+|rooms?|tickets?|hotels?|flights?|tables?)\b", after
            )
        )
    if found.term in ("play", "work"):
        return bool(
            re.match(r"\s+(?:a|an|me|some|us|my|out)\b", after)
            or re.match(r"\s+[A-Z]", message[found.end :])
            and not re.search(r"\b(?:a|an|the|this|that|stage|radio)\s+$", before)
            or re.search(r"(?:\b(?:to|you|i|we|they|who|would|will|can|don't|please|let'?s)|^)\s*$", before)
        )
    return False


def _contradicts(new: list[Interest], old: Interest) -> bool:
    return any(
        interest.is_like != old.is_like and interest.tags and set(interest.tags) & set(old.tags) for interest in new
    )
