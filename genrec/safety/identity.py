"""Leaves out of a message, before anything is searched with it, what the visitor says of his own gender, adult age, origin, religion, ethnicity,
orientation or disability: "as a Muslim woman I want films" is a wish for films, "films about Muslim women" one for those films.

Why: measured by `python -m genrec evaluate fairness`, a word like "Mexican" or "woman" replaced the whole list of a plain request before. An age under 18 stays,
since what is fit for children depends on it; so do whom the visitor buys or chooses for, where he is now, and his trade unless it stands with another
such word ("a retired nurse from Kenya" goes as a whole).

How: a group of words goes only where it is complete. It begins with what people introduce themselves by ("as a", "I'm", "身为"), holds nothing
but words on persons, at least one of them of the kinds above, and ends where a clause ends. "I'm a Christian rock fan" is therefore left alone.
"""

from __future__ import annotations

import functools
import re

# Numbers from 18, in digits or words.
_TENS = r"twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_NUMBER = rf"(?:1[89]|[2-9]\d|eighteen|nineteen|(?:{_TENS})(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?)"
_DECADE = r"(?:twenties|thirties|forties|fifties|sixties|seventies|eighties|nineties|[2-9]0'?s)"
_AGE = (
    rf"(?:(?:now\s+)?in\s+(?:my|our|his|her|their)\s+(?:early\s+|mid[- ]?|late\s+)?{_DECADE}"
    rf"|(?:aged?\s+|over\s+)?{_NUMBER}(?:\s*-?\s*(?:years?|yrs?|yo)(?:[- ]?(?:old|young|of\s+age))?|\s*y/?o)?(?!\w)|(?:twenty|thirty|forty|fifty|sixty|seventy)-?something)"
)
_TERM = (
    r"(?:m[ae]n|wom[ae]n|guys?|gals?|lad(?:y|ies)|gentlem[ae]n|males?|females?|girls?|boys?|persons?|people|folks?|citizens?|nationals?|immigrants?|migrants?|refugees?|expats?|retirees?|pensioners?|seniors?|elders?"
    r"|young|old|older|younger|elderly|middle-aged|retired|adults?|millennials?|boomers?|non-?binary|genderqueer|trans(?:gender)?|cis(?:gender)?|gay|lesbians?|straight|heterosexual|homosexual|bi(?:sexual)?|queer|asexual|pansexual"
    r"|christians?|catholics?|protestants?|orthodox|evangelicals?|baptists?|methodists?|mormons?|muslims?|sunni|shia|jew(?:s|ish)?|hindus?|buddhists?|sikhs?|jains?|baha'?i|taoists?|pagans?|atheists?|agnostics?|religious|secular"
    r"|black|white|brown|asians?|latin[aox]s?|latine|hispanics?|caucasian|indigenous|native|aboriginal|m[aā]ori|inuit|arabs?|arabic|roman[iy]|kurdish|kurds?|african|europeans?|caribbean|mixed-race|biracial"
    r"|blind|deaf|disabled|autistic|wheelchair[- ]users?|neurodivergent|dyslexic|paraplegic"
    r"|americans?|british|brits?|english(?:m[ae]n|wom[ae]n)?|scots?|scottish|welsh(?:m[ae]n|wom[ae]n)?|irish(?:m[ae]n|wom[ae]n)?|canadians?|australians?|aussies?|new\s+zealanders?|kiwis?|mexicans?|brazilians?|argentin(?:e|ian)s?|chileans?|colombians?|cubans?|peruvians?|venezuelans?|jamaicans?|haitians?"
    r"|french(?:m[ae]n|wom[ae]n)?|germans?|italians?|spanish|spaniards?|portuguese|dutch(?:m[ae]n|wom[ae]n)?|belgians?|swiss|austrians?|swed(?:e|es|ish)|norwegians?|dan(?:es?|ish)|finn(?:s|ish)?|pol(?:es?|ish)|czech|slovak|hungarians?|romanians?|bulgarians?|serb(?:ian)?s?"
    r"|croat(?:ian)?s?|bosnians?|albanians?|greeks?|turk(?:s|ish)?|russians?|ukrainians?|georgians?|armenians?|israelis?|palestinians?|syrians?|lebanese|jordanians?|iraqis?|iranians?|persians?|saudi|yemenis?|egyptians?|libyans?|moroccans?|algerians?|tunisians?"
    r"|nigerians?|ghanaians?|kenyans?|ugandans?|tanzanians?|zimbabweans?|senegalese|congolese|ethiopians?|eritreans?|somalis?|sudanese|south|north|afghans?|pakistanis?|indians?|bangladeshis?|nepal(?:i|ese)|sri|lankans?|chinese|taiwanese|japanese|koreans?|vietnamese|thai|cambodians?|burmese|filipin[aox]s?|indonesians?|malaysians?|singaporeans?|mongolians?|tibetans?)"
)
_TERM = rf"(?:{_TERM}(?:-{_TERM})?)"  # Korean-American
# Trades and places in a family. They say nothing to leave out alone, and go with a word that does.
_ROLE = (
    r"(?:(?:school|taxi|bus|truck|police|software|civil|bank|factory|office|shop|care|social|university|college|army|ship'?s|fire)[- ])?"
    r"(?:nurses?|teachers?|doctors?|engineers?|drivers?|officers?|soldiers?|veterans?|farmers?|students?|professors?|lecturers?|librarians?|lawyers?|judges?|accountants?|clerks?|secretar(?:y|ies)|managers?|workers?"
    r"|carpenters?|plumbers?|electricians?|mechanics?|builders?|bricklayers?|miners?|sailors?|pilots?|fishermen|fisherman|fire(?:man|men|fighters?)|cleaners?|housewi(?:fe|ves)|homemakers?|carers?|midwi(?:fe|ves)|dentists?|pharmacists?|scientists?|programmers?|developers?"
    r"|journalists?|postm[ae]n|priests?|pastors?|imams?|rabbis?|nuns?|monks?|shopkeepers?|bakers?|butchers?|tailors?|m(?:other|um|om|am)s?|(?:father|dad)s?|parents?|grand(?:mother|father|ma|pa|parent)s?|gran(?:ny|nies|dads?)?"
    r"|wi(?:fe|ves)|husbands?|widow(?:er)?s?|bachelors?|couples?|siblings?|sisters?|brothers?|daughters?|sons?|family|families|single|married|divorced|divorcees?|working|stay-at-home|former|ex)"
)
_COUNTRY = r"(?:the\s+)?(?-i:[A-Z][\w'-]+(?:\s+(?:and\s+)?[A-Z][\w'-]+){0,2})"
_FROM = rf"(?:(?:originally\s+)?from\s+{_COUNTRY}|(?:born(?:\s+and\s+(?:raised|bred))?|raised|brought\s+up)\s+in\s+{_COUNTRY})"
_DESCENT = rf"(?:(?:of|with|from)\s+(?:an?\s+)?(?:{_TERM}(?:\s+and\s+|\s+))+(?:descent|origins?|heritage|ancestry|background|roots|extraction|parents|famil(?:y|ies)|household)(?:\s+in\s+{_COUNTRY})?)"
_LIVING = rf"(?:(?:who\s+)?(?:living|based|residing)\s+in\s+{_COUNTRY})"
_SMALL = r"(?:(?:an?|the|and|or|both|two|three|four|also|very|proud(?:ly)?|just|quite|rather|fairly)\s+)*"
_MARK = rf"(?:{_TERM}|{_AGE}|{_FROM}|{_DESCENT})(?![\w'-])"  # what is to be left out
_PLAIN = rf"(?:{_ROLE}|{_LIVING})(?![\w'-])"
_GROUP = rf"(?:{_SMALL}(?:{_PLAIN},?\s+{_SMALL})*{_MARK}(?:,?\s+{_SMALL}(?:{_MARK}|{_PLAIN}))*)"
_END = (
    r"(?=\s*(?:[,.;:!?()\n—–]|$|(?:and|but|so)\s+(?:i|we|my|also)\b|(?:and|but)\s+(?:like|love|enjoy|want|need|adore)\b|who\b|i\b|i'|i’|we\b|looking\b|living\b|hoping\b"
    r"|(?:like|love|enjoy|want|need|prefer|adore|still|really|usually)\b))"
)
_FAITH = r"(?:islam|christianity|catholicism|judaism|hinduism|buddhism|sikhism|taoism)"
_WHEN = r"(?:\s+(?:last|this)\s+(?:week|month|year|spring|summer|autumn|winter)|\s+(?:today|yesterday|recently|ago))?"
_START = r"(?:(?<![^\n])|(?<=[,.;:!?(]\s))"  # of a clause: "a man dressed as a woman" is not the visitor
_I_AM = r"\b(?:i\s*['’]?\s*m|i\s+am|we\s*['’]?\s*re|we\s+are|my\s+(?:\w+\s+)?\w+\s+and\s+i\s+are|as\s+(?:someone|somebody|(?:an?\s+)?persons?|people|one)\s+who(?:\s*['’]s|\s+is|\s+are|\s+was))(?!\w)"
_OFTEN = r"(?:\s+(?:also|just|now|almost|nearly|already|about|originally))*"
_OWN_EN = (
    rf"(?:{_START}(?:(?:speaking|talking|asking|writing|posting)\s+)?as|{_START}being|{_I_AM}|\bi\s+identify\s+as|\bi\s+consider\s+myself|\bi\s+was\s+born)(?![\w'-])\s+{_GROUP}{_END}",
    rf"(?:{_I_AM}|\b(?:i|we)\s+(?:come|hail|came)){_OFTEN}\s+from\s+{_COUNTRY}{_END}",
    rf"{_I_AM}\s+new\s+(?:here|in\s+(?:town|{_COUNTRY})){_END}",
    rf"\b(?:i|we)\s+(?:came|moved|emigrated|immigrated|fled)(?:\s+(?:over|here|to\s+{_COUNTRY}))?\s+from\s+{_COUNTRY}(?:\s+(?:\w+\s+){{1,2}}years?\s+ago|\s+in\s+(?:19|20)\d\d)?{_END}",
    rf"\b(?:i|we)(?:\s+(?:was|were))?\s+(?:grew\s+up|(?:born(?:\s+and\s+(?:raised|bred))?|raised|brought\s+up))(?:\s+(?:in|on|near)\s+{_COUNTRY})?(?:\s+in\s+(?:19|200)\d\d?)?{_END}",
    rf"(?:{_START}|\bi\s+)(?:come|coming|came)\s+{_DESCENT}{_END}",
    rf"\b(?:i|we)(?:['’]ve)?(?:\s+(?:have|will|have\s+just))?(?:\s+(?:just|recently|now))?\s+(?:turned|turn|reached)\s+{_NUMBER}{_WHEN}{_END}",
    rf"{_START}(?:now\s+(?:that\s+i\s*['’]?\s*a?m\s+)?|at\s+(?:the\s+age\s+of\s+)?|aged?\s+){_AGE}(?=,|\s+(?:i|and|of)\b){_END}",
    rf"{_START}(?:both|two|all)\s+(?:of\s+us\s+)?{_GROUP}(?=\s*[,.;:!?])",
    rf"(?:{_START}us|(?<=\bwe)(?<!\w\w\w)|{_START}(?=we\s))\s+(?:{_TERM}\s+)*{_TERM}(?=\s+(?:like|love|enjoy|want|need|prefer|are|do|watch|read)\b)",
    rf"\bmy\s+(?:age|gender|sex|religion|faith|nationality|ethnicity|race|origin|background|orientation)\s+is\s+(?:{_FAITH}|{_GROUP}){_END}",
    rf"\bmy\s+pronouns\s+are\s+[a-z/]+{_END}",
    rf"\bi\s+(?:follow|practi[sc]e|converted\s+to|believe\s+in){_OFTEN}\s+{_FAITH}{_END}",
    rf"(?<![\w'-])\(?{_NUMBER}\s?/?\s?(?-i:[MF]|NB)\)?(?:\s+from\s+{_COUNTRY})?(?:\s+here)?{_END}",
    # Three or more in a row that speak of nobody else, with a gender or an age among them: "Hindu, female, 34."
    rf"(?<![^\n])(?:(?:about\s+)?me\s*:\s*)?(?=[^.;!?\n]*\b(?:fe)?male\b|[^.;!?\n]*\bm[ae]n\b|[^.;!?\n]*\bwom[ae]n\b|[^.;!?\n]*\b{_NUMBER}\b)(?:{_MARK}\s*[,/]\s*(?:and\s+)?)+(?:{_MARK}|{_DECADE})(?=\s*[.;!?\n]|\s*,\s+(?:i|looking|seeking|here)\b)",
)

_HAN = "[\u4e00-\u9fff]"
_OF = "(?:(?![的喜爱想看听读玩学是])[\u4e00-\u9fff])"  # no wish: 我是喜欢爵士的人 says what he likes
_NUMBER_ZH = r"(?:1[89]|[2-9]\d|十[八九]|[二三四五六七八九]十[一二三四五六七八九]?)"
_AGE_ZH = rf"(?:{_NUMBER_ZH}(?:周岁|多?岁|来岁|出头)|[5-9]0后|零零后|00后|[五六七八九]零后|年过(?:半百|花甲|古稀)|花甲之年|古稀之年)"
_FAITH = r"(?:伊斯兰教|基督教|天主教|新教|东正教|佛教?|印度教|道教|犹太教|锡克教|主|耶稣|上帝|真主)"
_ROLE_ZH = r"(?:护士|教师|老师|医生|工程师|司机|军人|士兵|农民|工人|学生|大学生|教授|律师|会计|警察|厨师|程序员|公务员|职员|干部|妈妈|爸爸|母亲|父亲|奶奶|爷爷|主妇|家庭主妇|寡妇|丈夫|妻子|家长|上班族|员工|木匠|商人|牧师|神父|阿訇)"
_TERM_ZH = (
    rf"(?:(?:{_OF}{{1,5}}?)?(?:女生|男生|女人|男人|女性|男性|女孩子?|男孩子?|女士|先生|姑娘|小伙子?|大妈|大爷|阿姨|大叔|老太太|老头|老汉|移民|难民|侨民|华侨|混血儿?|混血)|跨性别者?|变性人|非二元|[男女]?同性恋者?|[男女]同|同志|双性恋者?|异性恋者?|直男|直女|(?<![\u4e00-\u9fff])[男女](?![\u4e00-\u9fff])"
    rf"|基督徒|天主教徒|新教徒|穆斯林|佛教徒|印度教徒|道教徒|犹太教徒|锡克教徒|无神论者|信徒|退休{_ROLE_ZH}?|(?:退休)?老人|年轻人|中年人|老年人|退休的?|盲人|聋哑?人|残疾人|残障人士|坐轮椅的人|自闭症患者|视障者|听障者"
    rf"|{_OF}{{1,3}}裔|(?:聋哑|失明|残疾|跨性别|同性恋|混血|土生土长)的|(?<=的)人|{_OF}{{1,5}}[人族]|{_AGE_ZH})"
)
# "++": what was read is not tried another way, which over "老人老人老人…" would take for ever.
_ONES_ZH = rf"(?:(?:{_ROLE_ZH}的?)*+(?:{_TERM_ZH}(?:{_ROLE_ZH}|家庭的?{_ROLE_ZH}|的|和|、)?+)++)"
_START_ZH = r"(?:^|(?<=[，。！？、；,.!?;\s]))"
_END_ZH = r"(?=[，。！？、,.!?；;\s]|$)"
_I_ZH = rf"{_START_ZH}(?:我(?:们)?(?:本人|自己)?|本人)"
_BEING_ZH = r"(?:就|也|还|都)?是(?:一?[个名位])?"
_OWN_ZH = (
    rf"(?:{_I_ZH}{_BEING_ZH}|{_START_ZH}(?:作为|身为|做为)(?:一?[个名位])?|(?<=[。！？，])我{_BEING_ZH}|(?<=[，,])(?:也|还|又)?是(?:一?[个名位])){_ONES_ZH}(?=[，。！？,.!?；;\s]|$|我|，?想|喜欢|爱)",
    rf"{_I_ZH}(?:今年|已经|现在|都|刚满|刚过|刚|快要?|马上)*(?:{_AGE_ZH}|{_NUMBER_ZH}(?:岁)?)了?{_END_ZH}",
    rf"{_START_ZH}(?:今年|已经|现年|刚满|年龄)(?:{_AGE_ZH}|{_NUMBER_ZH})了?{_END_ZH}",
    rf"{_I_ZH}(?:来自|老家在?是?|(?:出)?生(?:长)?[在于]|生在|长在|从小(?:在|长在))(?:{_OF}{{2,6}})(?:长大|出生)?{_END_ZH}",
    rf"{_I_ZH}从(?:{_OF}{{2,6}}?)(?:嫁|搬|移民|逃难?)(?:到|来|过来)?了?(?:{_OF}{{2,6}})?{_END_ZH}",
    rf"{_I_ZH}(?:从小)?在(?:{_OF}{{2,6}})(?:长大|出生){_END_ZH}",
    rf"(?:{_I_ZH}|{_START_ZH}(?:家里|全家)?)(?:都|也|从小)?(?:信仰?|信奉|皈依)(?:了)?{_FAITH}{_END_ZH}",
    rf"{_START_ZH}(?:我们?|咱们?)(?:这些|这种)?{_TERM_ZH}(?=都?(?:喜欢|爱|想|看|要))",
    rf"{_I_ZH}(?:性别)?[，,]?\s*[男女](?:性|生|士)?{_END_ZH}",
    rf"(?:^|(?<=[。！？\n]))(?=[^。！？]*[男女岁])(?:(?:{_TERM_ZH}|[男女])(?:[，,、\s]+|(?=[。！？]))){{2,}}+(?=[。！？]|(?<=[，,]))",
)


@functools.cache
def patterns() -> tuple[tuple[re.Pattern[str], ...], tuple[re.Pattern[str], ...]]:
    """What begins a self-description, and what goes on with one. Compiling them takes 0.4 s, which the page need not wait for."""
    own = [*(re.compile(pattern, re.IGNORECASE) for pattern in _OWN_EN), *map(re.compile, _OWN_ZH)]
    goes_on = (
        re.compile(rf"\s*,\s+{_GROUP}{_END}", re.IGNORECASE),
        re.compile(rf"\s*[，,、]\s*(?:{_ONES_ZH}|[男女]){_END_ZH}"),
    )
    return tuple(own), goes_on


def without_self_description(message: str) -> str:
    """The message with blanks for each character of what the visitor says he is; every other character stays in its place."""
    own, goes_on = patterns()
    for pattern in own:
        for found in pattern.finditer(message):
            end = found.end()
            while further := next((one for more in goes_on if (one := more.match(message, end))), None):
                end = further.end()  # "I'm from Kenya, 70, Muslim, …"
            message = message[: found.start()] + " " * (end - found.start()) + message[end:]
    return message
