"""Three exports of fictional people for the demonstration, as three products write them, dated around the present."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from openpyxl import Workbook

from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.office import JST

GOOGLE_HEADER = (
    "タイムスタンプ", "メールアドレス", "お名前（漢字）", "お名前（フリガナ）", "求職番号", "求職登録の状況",
    "第1希望の日付", "第1希望の開始時間", "第2希望の日時（任意）", "同席者の有無", "利用規約の確認",
)  # fmt: skip
LOGO_HEADER = (
    "回答ID", "回答日時", "氏名", "フリガナ", "求職番号", "メールアドレス", "電話番号", "希望日（第１希望）",
    "希望時間（第１希望）", "希望日時（第２希望）", "求職登録の状況", "同席者", "利用規約への同意", "備考",
)  # fmt: skip
MICROSOFT_HEADER = (
    "ID", "開始時刻", "完了時刻", "メール", "名前", "氏名", "フリガナ", "求職番号", "メールアドレス", "求職登録の状況",
    "第1希望の日付", "第1希望の開始時間", "第2希望の日時", "利用規約への同意",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DemoExports:
    """The three files, and what the story must come to."""

    google: Path
    logo: Path
    microsoft: Path
    rows: int
    outcomes: dict[str, int]
    confirmed: int
    mails: dict[str, int]
    starts: Sequence[datetime]
    """Session starts from the first day on; the day of the story is that of the first."""
    day_before: date
    """The working day before it; later than the day on which the exports are read."""


def write_demo_exports(folder: Path, calendar: OfficeCalendar, as_of: datetime) -> DemoExports:
    """Write the exports into `folder`, for sessions from the second working day after `as_of` on."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = _starts(calendar, as_of)
    office = calendar.office
    places = min(sum(c.works_on(starts[0].date()) for c in office.counsellors), len(office.hosts))
    sent = as_of.astimezone(JST) - timedelta(days=1)
    google = folder / "google_forms.csv"
    logo = folder / "logo_form.csv"
    microsoft = folder / "microsoft_forms.xlsx"
    google_rows = _google(starts, sent, places)
    logo_rows = _logo(starts, sent)
    microsoft_rows = _microsoft(starts, sent)
    with google.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([GOOGLE_HEADER, *google_rows])
    with logo.open("w", encoding="cp932", newline="") as stream:
        csv.writer(stream, lineterminator="\r\n").writerows([LOGO_HEADER, *logo_rows])
    _workbook(microsoft, microsoft_rows)
    rows = len(google_rows) + len(logo_rows) + len(microsoft_rows)
    # A place each for `places` people, a second wish for one, an offer of other times for one; the rest as wished.
    accepted = places + 2 + 2 + 3 + 3
    return DemoExports(
        google,
        logo,
        microsoft,
        rows,
        {"accept": accepted, "needs_review": 3, "reject": 4, "skip": 1},
        confirmed=accepted - 1,
        mails={"confirmed": accepted - 1, "incomplete": 2, "alternatives": 2},
        starts=starts,
        day_before=calendar.previous_working_day(starts[0].astimezone(JST).date()),
    )


def _starts(calendar: OfficeCalendar, as_of: datetime) -> list[datetime]:
    """Return the starts of the second working day after `as_of`, and of some days after it."""
    day = calendar.next_working_day(as_of.astimezone(JST).date())
    found: list[datetime] = []
    while len(found) < 40:
        day = calendar.next_working_day(day)
        found += calendar.starts_on(day)
    return found


def _google(starts: Sequence[datetime], sent: datetime, places: int) -> list[tuple[str, ...]]:
    popular = starts[0]
    rows: list[tuple[str, ...]] = []

    def add(
        name: str, kana: str, number: str, date: str, time: str, second: str = "", *, companion: str = "なし"
    ) -> None:
        moment = sent + timedelta(minutes=len(rows))
        half = "午前" if moment.hour < 12 else "午後"
        stamp = f"{moment:%Y/%m/%d} {moment.hour % 12 or 12}:{moment:%M:%S} {half} GMT+9"
        mail = f"demo{len(rows) + 1:02}@example.jp"
        rows.append(
            (
                stamp,
                mail,
                name,
                kana,
                number,
                "ハローワーク利用登録者",
                date,
                time,
                second,
                companion,
                "確認し、同意します",
            )
        )

    # One more than there are places wish for the same start; the last of them named a second wish, one more did not.
    for n in range(places):
        add(
            f"見本　{'一二三四五六七八九'[n % 9]}郎",
            "ミホン タロウ",
            f"99999-8000{n:04}",
            f"{popular:%Y/%m/%d}",
            f"{popular:%H:%M}",
        )
    second = f"{starts[9]:%Y/%m/%d %H:%M}"
    add("架空 次子", "カクウ ツギコ", "99999-80000101", f"{popular:%Y/%m/%d}", f"{popular:%H:%M}", second)
    add("見本 待子", "ミホン マチコ", "99999-80000107", f"{popular:%Y/%m/%d}", f"{popular:%H:%M}")
    wide = str.maketrans("0123456789/:-", "０１２３４５６７８９／：－")
    add(
        "例示 全角",
        "ﾚｲｼﾞ ｾﾞﾝｶｸ",
        "99999-80000102".translate(wide),
        f"{starts[1]:%Y/%m/%d}".translate(wide),
        f"{starts[1]:%H:%M}".translate(wide),
    )
    add("試験 同席", "シケン ドウセキ", "99999-80000103", f"{starts[2].month}月{starts[2].day}日", f"{starts[2].hour}時{starts[2].minute:02}分", companion="あり：手話通訳1名")  # fmt: skip # noqa: E501 — a row stays on its line
    add("仮名 番号", "カメイ バンゴウ", "", f"{starts[3]:%Y/%m/%d}", f"{starts[3]:%H:%M}")
    saturday = starts[0] + timedelta(days=(5 - starts[0].weekday()) % 7 or 7)
    add("見本 土曜", "ミホン ドヨウ", "99999-80000105", f"{saturday:%Y/%m/%d}", "11:00")
    wrong_day = "月火水木金土日"[(starts[4].weekday() + 1) % 7]
    add("架空 曜日", "カクウ ヨウビ", "99999-80000106", f"{starts[4].month}月{starts[4].day}日（{wrong_day}）", "11:00")
    rows.append(("",) * len(GOOGLE_HEADER))
    return rows


def _logo(starts: Sequence[datetime], sent: datetime) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []

    def add(name: str, number: str, start: datetime, mail: str, status: str = "利用登録者", note: str = "") -> None:
        moment = sent + timedelta(minutes=30 + len(rows))
        rows.append(
            (
                str(7001 + len(rows)), f"{moment:%Y/%m/%d %H:%M}", name, "ﾐﾎﾝ", number, mail, "047-000-0001",
                f"{start:%Y年%m月%d日}", f"{start:%H:%M}～", "", status, "", "同意する", note,
            )
        )  # fmt: skip

    add("髙見本　﨑子", "99999-81000001", starts[4], "demo31@example.jp")
    add("例示 網子", "99999-81000002", starts[5], "demo32@example.jp", "オンライン登録者")
    add("架空 誤字", "99999-81000003", starts[6], "demo33@example.con")
    # The same person sends the same wish again, under another answer id.
    add("髙見本 﨑子", "99999-81000001", starts[4], "demo31@example.jp", note="届いていますか")
    add("試験 予備", "99999-81000005", starts[10], "demo35@example.jp")
    return rows


def _microsoft(starts: Sequence[datetime], sent: datetime) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []

    def add(name: str, number: str, date: object, time: object, second: str = "", consent: str = "同意する") -> None:
        moment = (sent + timedelta(minutes=60 + len(rows))).replace(tzinfo=None, microsecond=0)
        rows.append(
            (
                len(rows) + 1, moment, moment, "anonymous", "", name, "シケン", number,
                f"demo{51 + len(rows)}@example.com", "利用登録者", date, time, second, consent,
            )
        )  # fmt: skip

    def naive(start: datetime) -> datetime:
        # A cell of Excel has no zone.
        return start.replace(tzinfo=None)

    add("仮名 表子", "99999-82000001", naive(starts[11]), starts[11].time())
    add("見本 表太", "99999-82000002", naive(starts[12]), f"{starts[12]:%H時%M分}")
    add("例示 日無", "99999-82000003", None, None)
    add("架空 不同意", "99999-82000004", naive(starts[13]), starts[13].time(), consent="同意しない")
    add("試験 列子", "99999-82000005", f"{starts[14]:%Y-%m-%d}", starts[14].time())
    return rows


def _workbook(path: Path, rows: Sequence[Sequence[object]]) -> None:
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.append([name.replace("の", "の\u00a0") if name.startswith("第") else name for name in MICROSOFT_HEADER])
    for row in rows:
        sheet.append(list(row))
    book.save(path)
