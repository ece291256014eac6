"""Which characters are underlined."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.domain.terms_underline import folded, underline


def marked(runs):
    return "".join(f"[{run.text}]" if run.is_changed else run.text for run in runs)


@pytest.mark.parametrize(
    ("old", "new", "old_marked", "new_marked"),
    [
        ("３０分とし", "３５分とし", "[３０]分とし", "[３５]分とし"),
        ("30分", "45分", "[30]分", "[45]分"),
        ("１１：００から", "１１：３０から", "[１１：００]から", "[１１：３０]から"),
        ("令和７年６月１６日", "令和８年４月１日", "令和[７]年[６]月[１６]日", "令和[８]年[４]月[１]日"),
        ("録画は禁止とします。", "録画は停止とします。", "録画は[禁止]とします。", "録画は[停止]とします。"),
        ("利用できます。", "利用できません。", "利用[できます]。", "利用[できません]。"),
        ("前日までに", "前々日までに", "[前日]までに", "[前々日]までに"),
        (
            "千葉地方裁判所とします。",
            "東京地方裁判所とします。",
            "[千葉]地方裁判所とします。",
            "[東京]地方裁判所とします。",
        ),
        ("Winnyの禁止", "Winmxの禁止", "[Winny]の禁止", "[Winmx]の禁止"),
        ("スマートフォン等", "スマートデバイス等", "[スマートフォン]等", "[スマートデバイス]等"),
        ("電話、手紙で", "電話、メール、手紙で", "電話、手紙で", "電話、[メール、]手紙で"),
        ("本利用規約", "利用規約", "[本]利用規約", "利用規約"),
        ("第12 条(3)による", "第13 条(3)による", "第[12] 条(3)による", "第[13] 条(3)による"),
        ("(4） OS は３０分", "(4) OSは30分", "(4） OS は３０分", "(4) OSは30分"),
        ("", "新しい文", "", "[新しい文]"),
    ],
)
def test_whole_numbers_and_words_are_underlined(old, new, old_marked, new_marked):
    olds, news = underline(old, new)
    assert (marked(olds), marked(news)) == (old_marked, new_marked)


def test_a_sentence_that_is_another_one_is_underlined_as_a_whole():
    olds, news = underline("費用はすべて相談室が負担するものとします。", "録画と録音は、方法を問わず禁止です。")
    assert [run.is_changed for run in (*olds, *news)] == [True, True]


_TEXT = st.text(alphabet="あいのはを、。利用規約者本３0１5 Aaカナー（）(1)々", max_size=40)


@given(_TEXT, _TEXT)
def test_the_runs_are_the_texts_and_unmarked_is_what_both_have(old, new):
    olds, news = underline(old, new)
    assert "".join(run.text for run in olds) == old
    assert "".join(run.text for run in news) == new
    assert not any(left.is_changed == right.is_changed for left, right in pairwise(olds))
    same = ["".join(folded(run.text) for run in runs if not run.is_changed) for runs in (olds, news)]
    assert same[0] == same[1]
    assert any(run.is_changed for run in (*olds, *news)) == (folded(old) != folded(new))


def test_a_monotonous_text_of_any_length_is_compared_in_no_time():
    old, new = "初め。" + "甲乙丙丁です。" * 3000 + "終わり。", "初め。" + "甲丙乙丁だ。" * 3000 + "終わり。"
    started = time.perf_counter()
    before, after = underline(old, new)
    assert time.perf_counter() - started < 2
    assert ("".join(run.text for run in before), "".join(run.text for run in after)) == (old, new)
    assert (before[0].is_changed, after[0].is_changed) in {(False, False), (True, True)}
