"""Big form exports of people who do not exist: `python -m benchmarks.fictional_exports FILE --rows N --seed S`.

The same arguments write the same bytes. Names are invented, addresses lie on example.jp and example.com, telephone
numbers use 0000, job-seeker numbers begin with 99999. Every row is meant to be accepted: wishes are starts that the
shipped office offers. The dirt is the harmless kind that people and products leave: full-width digits, half-width
kana, odd hyphens, era years, times in words, line breaks in cells.
"""

from __future__ import annotations

import argparse
import csv
import random
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

from config.office_file import read_office
from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.office import JST, Office

OFFICE_FILE = Path(__file__).parent.parent / "config" / "office.toml"
SUBMITTED_ON = date(2026, 9, 10)
MOST_ROWS = 10_000_000
"""Job-seeker numbers are 99999-9 and seven digits."""

GOOGLE_HEADER = (
    "タイムスタンプ",
    "メールアドレス",
    "お名前（漢字） ",
    "お名前（フリガナ）",
    "求職番号\n（例：12345-01234567）",
    "求職登録の状況",
    "第1希望の日付",
    "第1希望の開始時間",
    "第2希望の日時（任意）",
    "ご相談内容（複数選択可）",
    "同席者の有無（通訳・介助者など）",
    "電話番号（任意）",
    "利用規約の確認",
    "その他ご要望",
)

_FAMILY = (
    ("見本", "ミホン"),
    ("架空", "カクウ"),
    ("例示", "レイジ"),
    ("試験", "シケン"),
    ("仮名", "カメイ"),
    ("想定", "ソウテイ"),
    ("模擬", "モギ"),
    ("創作", "ソウサク"),
    ("雛形", "ヒナガタ"),
    ("髙例", "タカレイ"),
)
_GIVEN = (
    ("花子", "ハナコ"),
    ("太郎", "タロウ"),
    ("桜", "サクラ"),
    ("ゆり", "ユリ"),
    ("四季", "シキ"),
    ("七海", "ナナミ"),
    ("八重", "ヤエ"),
    ("十和", "トワ"),
    ("小百合", "サユリ"),
    ("冬子", "フユコ"),
    ("六花", "リッカ"),
    ("三枝", "ミエ"),
)
_TOPICS = ("求人の相談", "応募書類の添削", "面接の練習", "職業訓練の相談", "保育所と両立の相談")
_REMARKS = (
    "初めて利用します。\n接続の手順も教えてください。",
    "子どもが近くにいます、\nよろしくお願いします。",
    '資料は\n"事前に"拝見したいです。',
)
_WEEKDAYS = "月火水木金土日"
_FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_HALF_KANA = {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0xFF61, 0xFFA0)}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who does not exist. `kana` is full width; `number` and `telephone` are plain ASCII."""

    name: str
    kana: str
    mail: str
    number: str
    telephone: str


def people(count: int, seed: int) -> Iterator[Person]:
    """Yield `count` people; numbers and addresses differ for everybody, names do not.

    Raises ValueError above `MOST_ROWS`.
    """
    if count > MOST_ROWS:
        raise ValueError(f"there are numbers for {MOST_ROWS} people only")
    rng = random.Random(f"people {seed}")
    for index in range(count):
        family, given = rng.choice(_FAMILY), rng.choice(_GIVEN)
        yield Person(
            name=f"{family[0]} {given[0]}",
            kana=f"{family[1]} {given[1]}",
            mail=f"mihon{index:07d}@example.{'jp' if index % 3 else 'com'}",
            number=f"99999-9{index:07d}",
            telephone=f"090-0000-{index % 10_000:04d}",
        )


def wishable_starts(start_day: date, days: int, office: Office) -> tuple[datetime, ...]:
    """Return the starts that `office` offers on `days` days from two days after `start_day`.

    Two, so that an export of `start_day` may be read on that day or on the next.
    """
    calendar = OfficeCalendar(office, is_public_holiday)
    first = start_day + timedelta(days=2)
    return tuple(start for ahead in range(days) for start in calendar.starts_on(first + timedelta(days=ahead)))


def write_google_export(
    path: Path,
    rows: int,
    seed: int = 1,
    *,
    start_day: date = SUBMITTED_ON,
    days: int = 60,
    per_slot: int | None = None,
    office: Office | None = None,
) -> None:
    """Write a Google Forms CSV of `rows` applications, all submitted on `start_day`, in order of submission.

    Two rows in three name a second wish. `days`: over how many days from two days later the wishes spread.
    `per_slot`: how many first wishes every start gets at most, the earliest starts filled first; without it they fall
    anywhere. `office`: the shipped one unless given. UTF-8, LF, all cells quoted, as Google writes it.

    Raises ValueError when the days hold no start, or too few for `per_slot`.
    """
    office = office or read_office(OFFICE_FILE, sandbox=True)
    starts = wishable_starts(start_day, days, office)
    rng = random.Random(f"wishes {seed}")
    firsts = _first_wishes(rows, starts, per_slot, rng)
    written = {start: _ways_to_write(start, start_day) for start in starts}
    midnight = datetime.combine(start_day, time(), JST)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(GOOGLE_HEADER)
        for index, (person, first) in enumerate(zip(people(rows, seed), firsts, strict=True)):
            second = rng.choice(starts) if rng.random() < 2 / 3 else first
            submitted = midnight + timedelta(seconds=index * 86_400 // rows)
            day, clock = rng.choice(written[first])
            writer.writerow(
                (
                    _google_timestamp(submitted),
                    *_as_typed(person, rng),
                    "ハローワーク利用登録者" if rng.random() < 0.8 else "オンライン登録者",
                    day,
                    clock,
                    "" if second == first else f"{second:%Y/%m/%d %H:%M}",
                    ";".join(rng.sample(_TOPICS, rng.randint(1, 2))),
                    "なし",
                    person.telephone if rng.random() < 0.5 else "",
                    "確認し、同意します",
                    rng.choice(_REMARKS) if rng.random() < 0.15 else "",
                )
            )


def _first_wishes(
    rows: int, starts: Sequence[datetime], per_slot: int | None, rng: random.Random
) -> Sequence[datetime]:
    if not starts:
        raise ValueError("the office offers no start on these days; take more days or another start_day")
    if per_slot is None:
        return rng.choices(starts, k=rows)
    if rows > len(starts) * per_slot:
        raise ValueError(f"{rows} rows need more than {len(starts)} starts at {per_slot} each; take more days")
    firsts = [start for start in starts[: -(-rows // per_slot)] for _ in range(per_slot)][:rows]
    rng.shuffle(firsts)
    return firsts


def _google_timestamp(at: datetime) -> str:
    return f"{at:%Y/%m/%d} {at.hour % 12}:{at:%M:%S} {'午前' if at.hour < 12 else '午後'} GMT+9"


def _as_typed(person: Person, rng: random.Random) -> tuple[str, str, str, str]:
    """Return mail, name, kana and number as somebody might type them."""
    kana = half_width_kana(person.kana) if rng.random() < 0.2 else person.kana
    name = person.name.replace(" ", "　") if rng.random() < 0.3 else person.name
    style = rng.random()
    number = person.number
    if style < 0.2:
        number = number.translate(_FULL_WIDTH)
    elif style < 0.3:
        number = number.replace("-", rng.choice("ー‐−"))
    return person.mail, name, kana, number


def half_width_kana(text: str) -> str:
    """Return katakana in half-width form, voiced signs apart; what has no such form stays."""
    return "".join(_HALF_KANA.get(sign, sign) for sign in unicodedata.normalize("NFD", text))


def _ways_to_write(start: datetime, submitted: date) -> list[tuple[str, str]]:
    """Return the day and the time of a start in ways that people write them; half of them plain."""
    plain = (f"{start:%Y/%m/%d}", f"{start:%H:%M:%S}")
    era = start.year - 2018
    half = start.hour % 12 or 12
    noon = "午前" if start.hour < 12 else "午後"
    # 午後12時 may be read as midnight and goes to staff, and so does 1時 without 午前 or 午後.
    words = f"{start.hour}時" if start.hour == 12 else f"{noon}{half}時"
    words += f"{start.minute}分" if start.minute else ""
    ways = [
        *[plain] * 4,
        (plain[0].translate(_FULL_WIDTH), f"{start:%H:%M}".translate(_FULL_WIDTH)),
        (f"令和{era}年{start.month}月{start.day}日", words),
        (f"R{era}.{start.month}.{start.day}", f"{start:%H:%M}～"),
    ]
    # Without a year a date far ahead goes to staff (year_guess_days in config/office.toml).
    if start.date() - submitted < timedelta(days=60):
        ways.append((f"{start.month}月{start.day}日（{_WEEKDAYS[start.weekday()]}）", f"{start:%H:%M}"))
    return ways


def main() -> None:
    """Write one export from the command line."""
    parser = argparse.ArgumentParser(description="Write a Google Forms export of people who do not exist.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start-day", type=date.fromisoformat, default=SUBMITTED_ON, help="day of all submissions")
    parser.add_argument("--days", type=int, default=60, help="days over which the wishes spread")
    parser.add_argument("--per-slot", type=int, help="most first wishes a start")
    given = parser.parse_args()
    write_google_export(
        given.file, given.rows, given.seed, start_day=given.start_day, days=given.days, per_slot=given.per_slot
    )
    print(f"{given.file}: {given.rows} rows, {given.file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
