"""Looks at what the visitor typed before anything else does: a cry for help, goods that nobody may sell, attempts to take over the prompt, hurtful
words, personal data, and questions for a doctor, a lawyer or a bank. And cleans what the model wrote of everything but text.

The rules are few and read the message with disguises undone (`normalise`). Each is tested on what it must find and on what only sounds like it
(tests/test_screen.py); `python -m genrec evaluate safety` counts false alarms on XSTest's safe questions and on benign wishes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from genrec.safety.injection import is_attack
from genrec.safety.normalise import normalise
from genrec.safety.personal import KINDS, mask_personal
from genrec.schema import Language
from genrec.text import is_printable, words

Reason = Literal["toxicity", "crisis", "injection", "illegal"]
Advice = Literal["medical", "legal", "financial"]
BLOCK_MESSAGE = 0.8  # a visitor's own words are taken more kindly than the model's: fans of dark films swear too
# Where the catalogue's own words are in it, a message asks for something. Of 500 composed Chinese wishes 8 scored .8 to .95 ("想要科幻，你懂的"), none more (26 Nov 2026).
BLOCK_REQUEST = 0.97
# One clause of several, without words of the catalogue (else BLOCK_REQUEST): "you idiot, recommend me a film" scores .8 as a whole and .99 in its first clause. Bare
# swearing ("fuck", "son of a bitch") stays under this harm (26 Nov 2026).
BLOCK_CLAUSE = 0.9
CLAUSE_HARM = 0.7

_ART = (
    r"\b(?:films?|movies?|books?|novels?|songs?|albums?|music|series|tv shows?|shows?|documentar(?:y|ies)|story|stories|memoirs?|plays?|poems?|podcasts?"
    r"|games?|manga|anime|comics?|squad|drama|thrillers?|characters?|paintings?|exhibitions?)\b|电影|影片|片子|小说|书|歌|纪录片|剧|漫画|动漫|游戏|专辑|音乐|故事|诗|题材"
)
_ABOUT_ART = re.compile(_ART)
_FICTION = re.compile(
    r"\b(?:films?|movies?|series|shows?|dramas?|thrillers?|novels?|comed(?:y|ies)|songs?|albums?|games?|fiction|anime|manga|stories|story)\b"
    r"|电影|影片|片子|剧|小说|漫画|动漫|游戏|歌|故事"
)
_WANT = r"(?:want|wanna|going|gonna|need|plan(?:ning)?|think(?:ing)?|thoughts?|feel(?:ing)?|urges?|try(?:ing)?|keep|about|might|will|ready|wish|like|ll)"
_FIRST_PERSON = re.compile(  # no art in it passes: "I want to die, recommend me a film" is a cry for help
    rf"\b{_WANT} (?:\w+ ){{0,3}}(?:kill|hurt|harm|cut|hang|drown|shoot)(?:ing)? myself\b(?! laughing| with laugh)"
    r"|\b(?:kill(?:ing)?|unalive|hang(?:ing)?) myself\b(?! laughing| with laugh)|\bkms\b"
    r"|\bi(?:'m| am| just|'d)? (?:\w+ ){0,3}(?:want to|wanna|going to|gonna|ready to|wish i (?:could|would)) (?:die\b(?! laughing| of | hard| for | another| in (?:a|the|every)\b)|be dead\b|not exist|never wake up)"
    r"|\bwish i (?:was|were) (?:dead|never born)\b"
    r"|\b(?:end|take|taking|ending) my (?:own )?life\b|\b(?:end|ending) it all\b"
    r"|\b(?:don'?t|do not|no longer) (?:want|wish) to (?:live\b(?! in| with| like| near| at| there| on| by| under| off)|be alive|exist\b(?! in)|be here any ?(?:more|longer)|wake up any ?more)"
    r"|\b(?:no|any) (?:reason|point) (?:to|in|of) (?:live|living|going on)\b|\bnothing (?:left )?to live for\b|\bbetter off (?:dead|without me)\b"
    r"|\bmy life (?:is not|isn'?t) worth|\btired of (?:being alive|living\b(?! in| with| near| at| on| alone))|\bcan'?t go on (?:living|like this)\b"
    r"|\bi(?:'m| am|'ve been| have been| feel| felt| have)? (?:\w+ ){0,2}suicidal\b|\b(?:thinking|thoughts) (?:of|about) (?:suicide|dying|ending it)|\bcontemplating suicide\b"
    r"|\bi(?:'ve| have)? (?:just |\w+ly )?(?:cut|hurt|harm(?:ed)?|burn(?:ed|t)?) myself(?= *(?:$|[.!?,;]| again| last night| today| tonight| yesterday| on purpose| every| when i'?m| to feel))"
    r"|\b(?:don'?t|do not|can'?t|cannot|no longer) see (?:the|a|any) (?:point|reason) (?:any ?more\b|(?:in|of|to) (?:anything|liv(?:e|ing)|life|going on|being here)\b)"
    r"|\b(?:want to|wanna|wish i could) (?:just )?disappear (?:forever|for good|from (?:the|this) (?:world|earth))\b|\b(?:left me|alone|hopeless|worthless|empty)\b[^.!?]{0,20} (?:want to|wanna) disappear\b(?! (?:in|to|for|with|on)\b)"
    r"|\bi\b(?: \w+){0,4} (?:commit(?:ting)? suicide|self[- ]?harm)|\b(?:urge|want|need|going) to self[- ]?harm\b"
    r"|\b(?:how (?:to|do i|can i|should i)|ways? to|methods? (?:to|of|for)|painless(?:ly)?) (?!prevent|stop|cope|deal|talk|help|avoid|survive|understand)(?:\w+ ){0,3}(?:suicide|overdose|die painlessly|self[- ]?harm)\b"
    r"|我[^，。！？,.!?]{0,8}(?<!笑得)(?:想|要|打算|准备|决定|考虑|计划)(?:去|要|从[^，。！？]{1,4})?(?:死(?![你磕亡侍神党机角敌守战]|在[^这])|自杀|自残|自尽|轻生|寻死|结束(?:自己的?|我的?)?(?:生命|一切|性命)|跳楼|割腕|上吊|离开这个世界|一了百了)"
    r"|我[^，。！？,.!?]{0,8}(?:不想活|活不下去|不想再活|没有?活下去)|(?:^|[，。！？,.!?\s])(?:好|真|只|就)?想(?:自杀|自残|轻生|死了?$|一了百了)|(?:^|[，。！？,.!?\s])(?:真的?|都|已经)?不想活了?(?=$|[，。！？,.!?\s])"
    r"|活着(?:真|好|太|很|还|也|实在)*(?:有什么意[思义]|没(?:有)?(?:什么)?意[思义]|没劲)|活得[^，。！？,.!?]{0,4}累[^。！？.!?]{0,6}没(?:有)?(?:什么)?(?:意[思义]|希望)|(?:割|划|砍)(?:伤)?了?自己|(?:想|要)(?:彻底|永远|从[^，。！？]{0,4}世界上?)消失|不如死了|死了算了|想伤害自己|(?:怎么|如何|怎样|无痛)(?:样|才能|可以)?(?:自杀|自残|死得?不痛|结束生命)|自杀的(?:方法|办法)"
)
_THEY = r"(?:friend|brother|sister|son|daughter|mother|mom|mum|father|dad|wife|husband|partner|girlfriend|boyfriend|child|kid|roommate|colleague|neighbou?r|teenager)"
_SOMEONE = re.compile(  # art in it passes: "a film about a boy who wants to kill himself"
    rf"\bmy {_THEY}\b[^.!?]{{0,30}}\b(?:wants?|going|threaten(?:s|ing)?|plans|planning|about|trying|tried|keeps?) (?:to )?(?:(?:kill|hurt|harm|cut)(?:ing)? (?:him|her|them)sel(?:f|ves)|end (?:it all|(?:his|her|their) (?:own )?life)|take (?:his|her|their) (?:own )?life|die\b)"
    rf"|\bmy {_THEY} (?:is|seems|has been) (?:\w+ )?suicidal\b|^\W*(?:suicide|suicidal|self[- ]?harm(?:ing)?|自杀|自残|轻生|想死)\W*$"
    r"|(?:朋友|弟弟|妹妹|哥哥|姐姐|儿子|女儿|孩子|妈妈|爸爸|同学|同事|男友|女友|老公|老婆)[^，。！？,.!?]{0,8}(?:想|要|打算|试图|准备)(?:自杀|自残|轻生|跳楼|寻死)|(?:朋友|儿子|女儿|孩子|同学)[^，。！？,.!?]{0,4}(?:不想活|活不下去)"
)
_GOODS = (
    r"(?:cocaine|heroin|(?:crystal )?meth(?:amphetamines?)?|fentanyl|mdma|lsd|ghb|roofies|rohypnol|date[- ]rape drugs?|(?:hard|illegal|street) drugs"
    r"|(?:illegal|stolen|unregistered|untraceable|unlicensed|ghost|black[- ]market) (?:guns?|firearms?|weapons?|rifles?|pistols?|organs?|passports?|phones|bikes|cars)"
    r"|(?:guns?|firearms?|pistols?|rifles?|weapons?) without (?:a |any )?(?:licen[cs]e|background check|permit|papers)|pipe bombs?|explosives|hand grenades?|nerve gas|ricin"
    r"|(?:fake|forged|counterfeit) (?:ids?|id cards?|passports?|driver'?s licen[cs]es?|driving licen[cs]es?|diplomas?|money|bank ?notes|bills|currency|prescriptions?|documents?|visas?)"
    r"|stolen (?:credit )?(?:cards?|card (?:numbers|data)|passwords|accounts|identit(?:y|ies)|data)|elephant ivory|ivory|rhino horns?|tiger bones?|pangolin scales|human (?:organs?|kidneys?)"
    r"|hit ?m[ae]n|contract killers?|ransomware|malware|botnets?|child porn\w*|csam)"
)
_GET = r"(?:buy(?:ing)?|purchas(?:e|ing)|order(?:ing)?|get(?:ting)?|find|sell(?:ing)?|sells|obtain|import|smuggl(?:e|ing)|hir(?:e|ing)|dealers?|seller|supplier|vendor|source|cheap(?:est)?|recommend|need)"
_NO_ART_BEHIND = r"(?![^.!?]{0,15}\b(?:films?|movies?|books?|songs?|bears?|bands?|albums?|documentar|series|stor(?:y|ies)|props?|replicas?|toys?|costumes?|games?|addiction|recovery|epidemic|carvings? museum)\b)"
_ILLEGAL = re.compile(
    rf"\b{_GET}\b(?:(?!\b(?:about|of|like|with|on|films?|movies?|books?|songs?|stor(?:y|ies)|documentar\w+|series|games?|props?)\b)[^.!?]){{0,30}}\b{_GOODS}\b{_NO_ART_BEHIND}"
    r"|\b(?:how (?:to|do i|can i)|teach me(?: how)? to|instructions? (?:for|to|on)|recipes? (?:for|to)|guides? to|(?:course|tutorial|book|video)s? (?:on|about) (?:how to )?) ?(?:\w+ ){0,2}?"
    r"(?:mak|build|cook|synthesi[sz]|assembl|forg|manufactur|print)(?:e|ing)? (?:\w+ ){0,3}?(?:(?<!bath )(?<!chocolate )(?<!cocoa )(?<!seed )(?<!water )(?<!glitter )bombs?|explosives?|(?:crystal )?meth|methamphetamine|cocaine|heroin|fake ids?|counterfeit (?:money|bills)|ricin|nerve gas|ghost guns?|ransomware)\b(?! (?:shelter|in minecraft|cyclone|squad|ass))"
    r"|\bchild porn\w*\b(?![^.!?]{0,25}(?:documentar|film|book|law|investigat))"
    r"|(?:买|购买|卖|出售|搞到|弄到|入手|订购|哪里有|哪有|渠道|代办|办(?:一张|个|张)?|求购|走私|雇|找(?:一个|个)?|推荐)(?:(?!玩具|模型|道具|仿真|水枪)[^，。！？的]){0,8}(?:毒品|冰毒|海洛因|可卡因|摇头丸|k粉|芬太尼|大麻|枪支|真枪|手枪|步枪|子弹|炸药|雷管|手榴弹|假身份证|假证|假护照|假币|假钞|假发票|假文凭|假学历|象牙|犀牛角|虎骨|穿山甲|人体器官|肾源|职业杀手|杀手(?:杀|帮)|迷药|迷奸药|听话水|儿童色情|被盗信用卡|盗刷)(?![^，。！？]{0,6}(?:电影|影片|小说|书|剧|游戏|歌|纪录片|故事|题材|模型|玩具|道具))"
    r"|(?:怎么|如何|怎样|教我|教程|方法)[^，。！？]{0,4}(?:制作|制造|自制|合成|做|造)[^，。！？]{0,4}(?:炸弹|炸药|冰毒|毒品|枪支|真枪|假币|假钞)(?![^，。！？]{0,6}(?:电影|小说|剧|游戏|纪录片))"
)
_ADVICE: Mapping[Advice, re.Pattern[str]] = {
    "medical": re.compile(
        r"\b(?:symptoms?|diagnos(?:is|ed)|dosages?|side effects?|prescriptions?|medications?|antidepressants?|antibiotics?|painkillers?|chemotherapy"
        r"|(?:cure|treatments?|remed(?:y|ies)|exercises?|diets?|supplements?|medicine) (?:for|against)|treat(?:ing)? (?:my|a|an)|lower(?:ing)? (?:my )?(?:blood pressure|cholesterol|blood sugar)"
        r"|my (?:doctor|blood pressure|diabetes|cancer|migraines?|back pain|asthma|arthritis|pregnancy)|(?:managing|manage|(?:cop|deal|liv)(?:e|ing) with) (?:\w+ )?(?:diabetes|cancer|depression|anxiety|adhd|chronic pain|arthritis|ptsd|ocd|bipolar))\b"
        r"|症状|吃什么药|用药|服药|药量|剂量|副作用|治疗|偏方|怎么治|治好|降(?:血压|血糖|血脂)|(?:高血压|糖尿病|抑郁症|失眠症?|癌症|颈椎病|腰椎|痛风|焦虑症|胃病)[^，。！？]{0,6}(?:吃|怎么|如何|饮食|书|科普|调理|护理|康复|食谱)"
    ),
    "legal": re.compile(
        r"\b(?:sue|suing|lawsuits?|lawyers?|attorneys?|legal (?:advice|help|rights|questions?|guides?)|my (?:landlord|visa|divorce|custody|tenancy|court case)|custody|eviction|divorce (?:law|process|papers|settlement)"
        r"|immigration (?:law|process)|visa applications?|contract law|tenants?'? rights|employment law|inheritance (?:law|tax)|copyright law|patents?|my rights)\b"
        r"|律师|打官司|起诉|诉讼|离婚(?:财产|协议|程序|手续)|劳动(?:仲裁|合同|法)|法律(?:咨询|问题|建议|知识|书|常识|援助)|遗产|签证申请|维权|租房合同|抚养权"
    ),
    "financial": re.compile(
        r"\b(?:invest(?:ing|ments?)?|stocks|stock (?:market|trading|picks?)|etfs?|index funds?|mutual funds?|crypto(?:currency|currencies)?|bitcoin|mortgages?|retirement (?:saving|plan|fund)\w*|pensions?|401k|tax(?:es)? (?:returns?|advice|planning)|my taxes"
        r"|personal finance|(?:my |get out of )debt|loans?|budgeting|day trading|forex|save for retirement)\b"
        r"|理财|投资|炒股|股票|基金|比特币|加密货币|房贷|贷款|养老金|保险(?:怎么买|配置)|报税|个税"
    ),
}
_CLAUSE_END = re.compile(r"[,.!?;:\n，。！？；：、…]+")
_QUOTED = re.compile(
    r"“[^”\n]{2,200}”|\"[^\"\n]{2,200}\"|「[^」\n]{2,200}」|『[^』\n]{2,200}』|《[^》\n]{1,60}》|(?<!\w)'[^'\n]{2,200}'(?!\w)|‘[^’\n]{2,200}’"
)
_TEXTS: Mapping[Reason | Literal["masked", "advice"], Mapping[Language, str]] = {
    "toxicity": {
        "en": "That reads as {}, so I have not answered it. Put it another way, and I will gladly find you something.",
        "zh": "这句话读起来像{}，所以没有作答。换个说法，我很乐意为你推荐。",
    },
    "crisis": {
        "en": "That sounds very heavy, and I am only a recommender. Please talk to someone now: a person you trust, a local helpline (findahelpline.com lists them by country), or your emergency number.",
        "zh": "听起来这真的很难熬，而我只会做推荐。请现在就和一个人说说：信任的人、当地的心理援助热线（findahelpline.com 按国家列出；中国大陆可拨打 12356），或当地的急救电话。",
    },
    "injection": {
        "en": "I only recommend things, and my instructions stay as they are. Tell me what you like, and I will find something.",
        "zh": "我只做推荐，我的设定不会改变。告诉我你喜欢什么，我来找。",
    },
    "illegal": {
        "en": "I cannot help with finding that. Tell me what else you enjoy, and I will gladly look.",
        "zh": "这个我没法帮忙找。说说你还喜欢什么，我很乐意推荐。",
    },
    "masked": {
        "en": "Personal data ({}) was taken out of your message before it was used.",
        "zh": "你的消息里的个人信息（{}）已先行隐去。",
    },
    "advice": {
        "en": "This is general reading, not {} advice; for your own case please ask someone qualified.",
        "zh": "以下只是一般性的推荐，不是{}建议；具体情况请咨询专业人士。",
    },
}
HARM_NAMES: Mapping[str, Mapping[Language, str]] = {
    "insult": {"en": "an insult", "zh": "侮辱"},
    "threat": {"en": "a threat", "zh": "威胁"},
    "identity_attack": {"en": "words against a group of people", "zh": "针对群体的言辞"},
    "obscene": {"en": "coarse words", "zh": "粗口"},
}
_ADVICE_NAMES: Mapping[Advice, str] = {"medical": "医疗", "legal": "法律", "financial": "理财"}


@dataclass(frozen=True, slots=True)
class Screened:
    """The message as the rest of the flow may use it; where it must not be answered, why; and what to say to the visitor in any case."""

    message: str
    refused: Reason | None = None
    notice: str = ""
    score: float = 0.0
    masked: tuple[str, ...] = ()  # kinds of personal data that were taken out


def screen(
    message: str,
    scores: Mapping[str, float],
    language: Language,
    *,
    is_request: bool = False,
    parts: Sequence[tuple[Mapping[str, float], bool]] = (),
) -> Screened:
    """The verdict on a visitor's message, given the toxicity scores (probabilities in [0, 1]) of its own words (`own_words`), whether it holds
    words of the catalogue; and both of each of its `clauses`."""
    own = normalise(own_words(message))
    if _FIRST_PERSON.search(own) or (_SOMEONE.search(own) and not _ABOUT_ART.search(own)):
        return Screened(message, "crisis", _TEXTS["crisis"][language])
    if _ILLEGAL.search(own):
        return Screened(message, "illegal", _TEXTS["illegal"][language])
    if is_attack(message):
        return Screened(message, "injection", _TEXTS["injection"][language])
    judged = [(scores, BLOCK_REQUEST if is_request else BLOCK_MESSAGE, 0.5)]
    judged += [(own, BLOCK_REQUEST if wishes else BLOCK_CLAUSE, CLAUSE_HARM) for own, wishes in parts]
    for own_scores, limit, least_harm in judged:
        kind = max(("insult", "threat", "identity_attack"), key=lambda label: own_scores.get(label, 0.0))
        if own_scores.get("toxicity", 0.0) >= limit and own_scores.get(kind, 0.0) >= least_harm:
            told = _TEXTS["toxicity"][language].format(HARM_NAMES[kind][language])
            return Screened(message, "toxicity", told, own_scores["toxicity"])
    masked, kinds = mask_personal(message)
    notices = []
    if kinds:
        join = "、" if language == "zh" else ", "
        notices.append(_TEXTS["masked"][language].format(join.join(KINDS[kind][language] for kind in kinds)))
    if advice := _advice(own):
        notices.append(_TEXTS["advice"][language].format(_ADVICE_NAMES[advice] if language == "zh" else advice))
    return Screened(masked, notice=" ".join(notices), masked=kinds)


def own_words(message: str) -> str:
    """The message without what stands in quotation marks, which others said; the whole message where little else is left."""
    rest = _QUOTED.sub(" … ", message)
    return rest if len(words(rest)) > 2 else message


def clauses(message: str) -> list[str]:
    """The clauses of two words or more of what the visitor says himself; [] where there is but one."""
    found = [part.strip() for part in _CLAUSE_END.split(own_words(message)) if words(part)]
    return [part for part in found if len(words(part)) > 1] if len(found) > 1 else []


def _advice(message: str) -> Advice | None:
    """What kind of professional the wish is really for; stories about doctors, courts and banks need none."""
    if _FICTION.search(message):
        return None
    return next((kind for kind, pattern in _ADVICE.items() if pattern.search(message)), None)


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
