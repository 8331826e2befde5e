"""Who the visitor is does not search the catalogue; what he wants to read or see about people does."""

import time

import pytest

from genrec.safety.identity import without_self_description


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("As a Muslim woman, I want films", ", I want films"),
        ("As a Muslim woman I want films", "I want films"),
        ("My wife and I are two Mexican pensioners. A play?", ". A play?"),
        ("Me: Filipino, male, 50s. A calm film.", ". A calm film."),
        ("A calm film. Asking as an Iranian woman.", "A calm film. ."),
        ("I came to Germany from Syria five years ago. Any novel?", ". Any novel?"),
        ("A board game? I'm new here, an immigrant from Ghana.", "A board game? ."),
        ("我是个穆斯林家庭的妈妈。想看剧", "。想看剧"),
        ("我从越南嫁到中国，想学做菜", "，想学做菜"),
        ("I'm a 70-year-old Turkish man and I love chess.", "and I love chess."),
        ("I am from Nigeria. A calm film, please.", ". A calm film, please."),
        ("I'm a man from South Korea, any novel?", ", any novel?"),
        ("A thriller, please. I am gay.", "A thriller, please. ."),
        ("I'm an autistic, deaf woman who likes jazz", "who likes jazz"),
        ("I’m Mexican and I want a quiet book", "and I want a quiet book"),
        ("我是一名穆斯林女性，想看电影", "，想看电影"),
        ("作为河南人，推荐一本小说", "，推荐一本小说"),
        ("我是印度移民。想听爵士", "。想听爵士"),
        ("想看科幻片。我是一位70岁的老人。", "想看科幻片。 。"),
        ("我来自尼日利亚，想学做饭", "，想学做饭"),
        ("我今年35岁，喜欢爬山", "，喜欢爬山"),
        ("As a divorced Dutch bus driver from Utrecht, I want quiet novels", ", I want quiet novels"),
        ("Being 66 and Catholic, I like choirs", ", I like choirs"),
        ("I grew up in Peru and I love maps", "and I love maps"),
        ("Speaking as a lesbian in her forties, a thriller please", ", a thriller please"),
        ("I turned 50 last year. Any jazz?", ". Any jazz?"),
        ("Male, 41, Sikh. A heist film.", ". A heist film."),
        ("As someone who is deaf and Polish, I want comics", ", I want comics"),
        ("I'm of Greek descent and I want satire", "and I want satire"),
        ("I'm German-Turkish, twenty-two, and I like puzzles", ", and I like puzzles"),
        ("My religion is Islam. A calm book.", ". A calm book."),
        ("We seniors like card games", "We like card games"),
        ("我今年六十二，喜欢下棋", "，喜欢下棋"),
        ("身为犹太女性，我想看喜剧", "，我想看喜剧"),
        ("我来自巴西，是一名退休教师，爱听民谣", "， ，爱听民谣"),
        ("本人女，30岁，信佛，想学画画", "， ，想学画画"),
        ("我在新疆长大，维吾尔族，想看武侠片", "，想看武侠片"),
        ("咱们退休老人都爱看京剧", "都爱看京剧"),
        ("我是一个25岁的人。想看电影", "。想看电影"),
    ],
)
def test_what_the_visitor_is_leaves_the_search(message: str, left: str) -> None:
    blanked = without_self_description(message)
    assert " ".join(blanked.split()) == left
    assert len(blanked) == len(message), "spans must stay where they are"


@pytest.mark.parametrize(
    "message",
    [
        "Films about Muslim women, please.",
        "I want novels about being gay in Mexico",
        "I want novels about being gay.",
        "A comedy with a man dressed as a woman.",
        "I'm looking for Indian food",
        "I'm into Korean cinema",
        "As a child I loved Chinese fairy tales",
        "I'm a Christian rock fan",
        "I'm a jazz fan from the first hour",
        "I'm 8 years old and like dinosaurs",
        "A gift for my 70-year-old grandmother from Poland",
        "Something like I Am a Man of Constant Sorrow",
        "As old as the hills: folk songs",
        "I am a Thai cooking enthusiast.",
        "I'm 100% into British crime series",
        "As old Italian westerns go, this was great",
        "We like old Japanese games.",
        "At 30 minutes an episode, sitcoms suit me.",
        "Female, Japanese, jazz pianists please.",
        "As a nurse, I want to learn Spanish",
        "I live in Kenya, where can I eat?",
        "I just turned 12, any book?",
        "我今年十二岁，想看动画",
        "我们老师想看法国女性题材的电影",
        "来自韩国的电影，男主角三十岁左右。",
        "我住在上海，去哪儿吃？",
        "想看关于穆斯林女性的电影",
        "我喜欢印度电影和韩国人拍的剧",
        "给70岁的奶奶挑礼物",
        "我8岁，喜欢恐龙",
        "我是喜欢爵士的人，有推荐吗？",
        "我是科幻迷，推荐日本作家的小说",
    ],
)
def test_wishes_about_people_stay(message: str) -> None:
    assert without_self_description(message) == message


@pytest.mark.parametrize(
    "part", ["old and ", "as a young ", "老人", "我是男，", "a nurse, ", "being both ", "作为男的"]
)
def test_a_long_message_takes_no_long_time(part: str) -> None:
    started = time.process_time()
    without_self_description("I'm " + part * (8000 // len(part)))
    assert time.process_time() - started < 1
