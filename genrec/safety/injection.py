"""Attempts to take over the prompt, in what visitors write and in what a catalogue holds.

Three layers, since no list of phrases is complete: phrases that give orders to a model are found here and refused or cut out; strings that a chat template
would read as control are broken up by the engine (`engines/local.py`) and refused here; and a reply that recites the instructions is stopped
(`recites`). Examples of the phrases: OWASP's LLM01 (https://genai.owasp.org/llmrisk/llm01-prompt-injection/).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace
from functools import lru_cache

from genrec.safety.normalise import aligned
from genrec.schema import Item
from genrec.text import has_cjk, sentences, words

# What chat templates and their imitators mark roles and turns with.
_CONTROL = re.compile(
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>|\[/?(?:INST|SYS|SYSTEM|ASSISTANT|USER|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS)\]|<</?SYS>>|</?s>"
    r"|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|</?(?:system|assistant|user|developer|instructions?|prompt|think|tool_call|im_start|im_end)>"
    r"|(?m:^[ \t]*#{0,4}[ \t]*(?:system|assistant|developer|new instructions?|系统|助手|系统提示|新指令)[ \t]*[:：])",
    re.IGNORECASE,
)
_ORDERS = r"(?:instruction|prompt|rule|guideline|direction|directive|command|programming|restriction|polic(?:y|ie)|order|constraint|limit|safety|filter|training|task)s?"
_BEFORE = r"(?:above|previous|prior|earlier|preceding|former|original|initial|system|existing|current|all|any|every|your|these|those|safety)"
_OUT = r"(?:say|print|output|reply|respond|write|return|echo|type|answer|repeat|display)"
_SHOW = r"(?:reveal|print|repeat|show|display|output|tell|give|share|leak|expose|dump|write|translate|summari[sz]e|list|quote|recite|copy|paste|disclose|describe|read|what(?:'s| is| are| was| were))"
# Read in normalised text (lower case, disguises undone).
_ATTACK = re.compile(
    rf"\b(?:ignore|disregard|forget|override|bypass|discard|overrule|abandon|neglect|(?:do not|don'?t|stop|no longer) (?:follow|obey)(?:ing)?)\b[^.!?\n]{{0,30}}\b{_BEFORE}\b[^.!?\n]{{0,25}}\b{_ORDERS}\b"
    rf"|\b(?:ignore|disregard|forget|override|bypass)\b[^.!?\n]{{0,15}}\b{_ORDERS} (?:above|before|earlier|so far|given|you (?:have|had|were|got))\b"
    rf"|\b(?:ignore|disregard|forget)\b (?:\w+ ){{0,3}}(?:above|before|previous\w*|so far|i told you|you were told|you know)\b[^\n]{{0,40}}\b{_OUT}\b"
    rf"|\b{_SHOW}\b[^.!?\n]{{0,40}}\b(?:(?:system|hidden|initial|secret|internal|original|developer|confidential|full)\s+(?:prompt|instruction|rule|guideline|directive|configuration)s?|system (?:text|message))\b"
    rf"|\b{_SHOW}\b[^.!?\n]{{0,20}}\byour (?:\w+ )?(?:prompt|instructions|rules|guidelines|directives|configuration)\b"
    rf"|\b{_SHOW}\b (?:\w+ ){{0,4}}(?:above|before this|verbatim|word for word)\b(?! (?:average|all|and beyond))"
    r"|\b(?:developer|debug|admin|god|dan|jailbreak|sudo|maintenance|unrestricted)[ -]mode\b|\bjailbr(?:eak|oken)\b|\bdo anything now\b"
    r"|\byou are (?:now|no longer|from now on)\b[^.!?\n]{0,30}\b(?:dan|unrestricted|free|unfiltered|uncensored|restrictions?|limits?|rules|genrec|pirate|hacker|evil|linux|terminal|chatgpt|gpt|assistant|ai)\b"
    r"|\b(?:act|behave|respond|pretend)\b[^.!?\n]{0,20}\b(?:unrestricted|unfiltered|uncensored|without (?:any )?(?:restrictions|rules|limits|filters)|no (?:restrictions|rules|limits)|linux terminal|python interpreter)\b"
    r"|\bnew (?:instructions?|system prompt|rules?|task)\s*[:：]|\bsystem (?:prompt|override|message|notice)\b"
    rf"|\b(?:instead|only|just|must|now|please|and|then|always|you will|you should|should|to)\b,? {_OUT} (?:only |just |exactly |back |with |me |the |a |this |following |single |one )*(?:[\"'“‘]|(?:word|phrase|string|sentence|text|token|message|password|secret)\b)"
    rf"|^{_OUT} (?:only |just |exactly |back |with |the |this |following )+(?:[\"'“‘]|(?:word|phrase|string|sentence|token|password|secret)\b)|\brepeat after me\b"
    rf"|\b{_OUT} (?:only|exactly|nothing (?:else )?but|nothing else)\b[^.!?\n]{{0,15}}[\"'“‘:]|\b{_OUT} nothing (?:else|but)\b"
    r"|\b(?:begin|start|end|finish|prefix) (?:your|the|each|every) (?:answer|reply|response|message|sentence)s? (?:with|by)\b|\b(?:ai|language) model\b[^.!?\n]{0,30}\b(?:must|should|will|instruct\w*|told)\b"
    r"|(?:忽略|无视|忘记|忘掉|忘了|不要?理会|不要管|抛开|抛弃|取消|覆盖|绕过|推翻|解除|(?:不用|不必|不要|不再|停止)(?:再)?(?:遵守|遵循|执行|服从))[^。！？\n]{0,8}(?:以上|之前|前面|上面|上述|所有|一切|全部|你的|系统|原有|原来|此前|先前|任何|现有|你被)[^。！？\n]{0,8}(?:指令|指示|提示|规则|设定|限制|命令|约束|规定|要求你|安全|准则|任务)"
    r"|(?:忽略|无视|忘记|忘掉|不要?理会)(?:以上|上面|上述|前面|之前|前文)[^。！？\n]{0,10}[，,。]?[^。！？\n]{0,6}(?:说|输出|回复|回答|打印|写|告诉|重复)"
    r"|(?:输出|显示|打印|告诉|展示|透露|泄露|公开|重复|复述|说出|给我看|列出|翻译|总结|背诵|写出|念出|发给我|贴出)[^。！？\n]{0,12}(?:系统|隐藏|初始|内部|原始|机密|你的|你收到|上面|以上|开头)[^。！？\n]{0,6}(?:提示|指令|设定|规则|指示|说明|文字|prompt|配置|内容)"
    r"|(?:系统|隐藏的?|初始|内部)(?:提示词?|指令|设定|prompt)|你的(?:提示词|指令|设定|系统提示|规则)(?:是|有|都)"
    r"|(?:开发者|调试|上帝|越狱|无限制|管理员|维护|dan) ?模式|(?:从现在(?:开始|起)|现在起|接下来)[^。！？\n]{0,3}你(?:是|将|就是|必须|只能|不再|要扮演|扮演)|你(?:现在|已经)?不再是"
    r"|你(?:现在)?(?:没有|不受)(?:任何|一切)?(?:限制|约束|规则)|新(?:的)?(?:指令|系统提示|规则)[:：]|(?:扮演|假装)[^。！？\n]{0,8}(?:没有|不受|无)[^。！？\n]{0,4}(?:限制|约束|审查)"
    r"|(?:只|仅|直接|必须|请你?|然后|并且?|而是|改为|务必|就)(?:需要?|要|能|准)?(?:回复|输出|打印|说出?|回答|重复|写出?)(?:一句|一遍|三遍|这句|以下|下面|单词|这个词|词语|文字|口令|密码)*[:：]?[\"'“‘「『]"
    r"|(?:只|仅)(?:需要?|要|能|准)?(?:回复|输出|打印)|(?:回复|输出|打印|重复)(?:单词|这个词|词语|口令|密码|暗号)|跟我(?:念|说|重复)|(?:每|你的)[^。！？\n]{0,4}(?:回答|回复|句话)[^。！？\n]{0,4}(?:开头|结尾|都要)",
)
_CANARY = re.compile(  # an order to say one thing in capitals; "say" and "write" are too common before names
    rf"\b(?:{_OUT}|(?:S|P|O|R|W|E|T|A|D)(?:ay|rint|utput|eply|espond|rite|eturn|cho|ype|nswer|epeat|isplay))(?: (?:only|just|exactly|back|with|the|word|phrase)){{0,3}}:? [A-Z][A-Z0-9_-]{{4,}}\b"
    r"|(?:说|输出|回复|打印|回答|重复|写)[^。！？\n]{0,3} ?[A-Z][A-Z0-9_-]{3,}"
)
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20,}={0,2}(?![A-Za-z0-9+/_=-])")
_SHARED = 8  # words (Chinese: a word of the segmenter) in a row that a reply shares with the instructions only by reciting them


def is_attack(text: str) -> bool:
    """Whether a text gives orders to the model, imitates a chat's control marks, or hides a readable text in base64."""
    return bool(
        _CONTROL.search(text) or _ATTACK.search(aligned(text).text) or _CANARY.search(text) or _hidden_text(text)
    )


def without_orders(text: str) -> str:
    """Catalogue text without the sentences in which `is_attack` finds an order or a control mark."""
    read = aligned(text)
    bad = [read.written(match.start(), match.end()) for match in _ATTACK.finditer(read.text)]
    bad += [
        match.span()
        for pattern in (_CONTROL, _CANARY, _BASE64)
        for match in pattern.finditer(text)
        if is_attack(match.group())
    ]
    if not bad:
        return text
    kept, position = [], 0
    for sentence in sentences([text]):
        end = position + len(sentence)
        if all(high <= position or end <= low for low, high in bad):
            kept.append(sentence)
        position = end
    return "".join(kept).strip()


@lru_cache(maxsize=4096)
def harmless(item: Item) -> Item | None:
    """The item with no orders in its text: None where its title or maker is one, the same object where there is none at all."""
    if any(is_attack(text) for text in (item.title, item.title_zh, item.creator, item.creator_zh) if text):
        return None
    clean = replace(
        item,
        pitch=without_orders(item.pitch),
        pitch_zh=without_orders(item.pitch_zh),
        other_pitch=without_orders(item.other_pitch),
        other_pitch_zh=without_orders(item.other_pitch_zh),
        tags=tuple(tag for tag in item.tags if not is_attack(tag)),
        moods=tuple(mood for mood in item.moods if not is_attack(mood)),
        country="" if is_attack(item.country) else item.country,
    )
    return item if clean == item else clean


def recites(text: str, instructions: str) -> bool:
    """Whether a text shares eight words in a row with the instructions."""
    own, told = _runs(text), _runs(instructions)
    return not own.isdisjoint(told)


def _runs(text: str) -> set[tuple[str, ...]]:
    spoken = [word.text.lower() for word in words(text)]
    return {tuple(spoken[start : start + _SHARED]) for start in range(len(spoken) - _SHARED + 1)}


def _hidden_text(text: str) -> bool:
    """Whether a run of base64 decodes to words: nobody who asks for a film writes so."""
    for match in _BASE64.finditer(text):
        code = match.group().rstrip("=").replace("-", "+").replace("_", "/")
        try:
            decoded = base64.b64decode(code + "=" * (-len(code) % 4), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
        if decoded.isprintable() and (" " in decoded or has_cjk(decoded)):
            return True
    return False
