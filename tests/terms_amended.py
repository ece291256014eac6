"""Amended copies of the sample terms and of any real ones: what an office does to its terms, as functions of text."""

import re


def put(text, old, new):
    """`text` with `old` replaced, which has to stand there exactly once."""
    assert text.count(old) == 1, (old, text.count(old))
    return text.replace(old, new)


def articles_of(text):
    """The text before the first article, each article with its caption and blank line, and what follows the last."""
    starts = [match.start() for match in re.finditer(r"^（[^）\n]+）\s*\n+第", text, re.MULTILINE)]
    last = re.search(r"^令和", text, re.MULTILINE).start()
    spans = zip(starts, [*starts[1:], last], strict=True)
    return text[: starts[0]], [text[start:end] for start, end in spans], text[last:]


def renumbered(articles, first=1):
    """The articles with the numbers of a row; what sentences cite is not touched."""
    return [
        re.sub(r"(?m)^第[0-9０-９]+ ?条", f"第{_digits(number)}条", article, count=1)
        for number, article in enumerate(articles, first)
    ]


def _digits(number):
    wide = str(number).translate(str.maketrans("0123456789", "０１２３４５６７８９"))
    return wide if number < 10 else f"{number}"


NEW_ARTICLE = """（アンケート）
第０条 相談室は、相談のあとに、次のことをお尋ねすることがあります。答えるかどうかは自由です。
(1) 映像と音声の状態
(2) 相談にかかった時間

"""


def article_added(text, after=6):
    head, articles, tail = articles_of(text)
    return head + "".join(renumbered([*articles[:after], NEW_ARTICLE, *articles[after:]])) + tail


def article_removed(text, number=10):
    head, articles, tail = articles_of(text)
    return head + "".join(renumbered(articles[: number - 1] + articles[number:])) + tail


def articles_swapped(text, number=9):
    head, articles, tail = articles_of(text)
    articles[number - 1], articles[number] = articles[number], articles[number - 1]
    return head + "".join(renumbered(articles)) + tail


def several(text):
    text = put(text, "１回につき３０分です。原則として、前日までに", "１回につき４５分です。原則として、前々日までに")
    text = put(text, "１５：００までの間の３０分間", "１６：３０までの間の４５分間")
    text = put(text, "② 求職番号\n", "② 求職番号\n③ 電話番号\n")
    text = put(text, "③ 希望する日時", "④ 希望する日時")
    text = put(
        text, "電話でお知らせください。お知らせがないまま", "電話又は申込みページでお知らせください。ご連絡がないまま"
    )
    text = put(text, "・ 通信の状態に問題がないこと。\n", "")
    text = put(text, "みどり相談室 室長", "みどり相談室 所長")
    text = put(text, "令和７年４月１日", "令和８年１０月１日")
    text = put(text, "第12条(3)のとおり", "第13条(3)のとおり")
    return article_added(text, after=7)


def article_emptied(text):
    return re.sub(r"（損害の負担）\n第10条 .*\n", "第10条 削除\n", text)


def item_moved(text):
    text = put(text, "(2) 安全かどうか分からない無料のWi-Fiを使わないこと。\n(3)", "(2)")
    text = put(text, "(4) ファイル", "(3) ファイル")
    return put(
        text,
        "・ カメラとマイクが動くこと。\n",
        "・ カメラとマイクが動くこと。\n(5) 安全かどうか分からない無料のWi-Fiを使わないこと。\n",
    )


def paragraph_split(text):
    text = put(text, "お知らせください。お知らせがないまま(2)の", "お知らせください。\n(4) お知らせがないまま(2)の")
    return put(text, "同意していただきます。申込みをされた方は", "同意していただきます。\n申込みをされた方は")


def paragraphs_joined(text):
    return put(text, "残すことがあります。\n(2) 前項の記録は、", "残すことがあります。この記録は、")


AMENDMENTS = {
    "unchanged": lambda text: text,
    "respelled": lambda text: put(text, "(2) 相談室で日程", "(2）相談室で 日程").replace("３０分", "30分"),
    "word": lambda text: put(text, "方法を問わず禁止します", "方法を問わずお断りします"),
    "number": lambda text: text.replace("３０分", "４５分"),
    "article-added": article_added,
    "article-removed": article_removed,
    "article-emptied": article_emptied,
    "articles-swapped": articles_swapped,
    "paragraph-split": paragraph_split,
    "paragraphs-joined": paragraphs_joined,
    "caption": lambda text: put(text, "（免責）", "（責任を負わない場合）"),
    "item-added": lambda text: put(
        text,
        "(4) ファイル共有ソフト（Winny、Share等）を入れていないこと。\n",
        "(4) ファイル共有ソフト（Winny、Share等）を入れていないこと。\n"
        "(5) ウイルス対策ソフトを入れ、最新の状態にすること。\n",
    ),
    "item-moved": item_moved,
    "closing-date": lambda text: put(text, "令和７年４月１日", "令和８年１０月１日"),
    "preamble": lambda text: put(
        text,
        "（映像と音声による仕事の相談、仕事の紹介、面接の練習をいいます。",
        "（映像と音声による仕事の相談、仕事の紹介、面接の練習、書類の添削をいいます。",
    ),
    "several": several,
}
"""Names of amended copies of `fixtures/terms/base.txt`, and what was done to it."""
