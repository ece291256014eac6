"""How a rehearsal speaks: one sentence as the state of the run, one page as its artifact. No personal data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from madoguchi.domain.lifecycle import BookingStatus
from madoguchi.domain.message import MailKind
from madoguchi.domain.office import JST
from madoguchi.domain.verdict import reason_ja
from tasks.artifacts import Page
from tasks.day_list import MAIL_STATES, MAILS, STATES

_LISTED: Final = 200
_ABOUT: Final = (
    "**何も送っていません。何も変えていません。** いま動かすとこうなる、という内容です。"
    "今の記録から見込んだもので、その時までに新しい申込みやご連絡があれば変わります。"
    "これから付く番号は、実際に動かすまで決まりません。それまでの番号か、ファイル名と行番号で示します。"
)
_ACTIONS: Final[Mapping[str, str]] = {
    "create": "作る",
    "update": "変える",
    "delete": "消す",
    "end": "終わらせる",
}
_TABLES: Final[Mapping[str, str]] = {
    "evidence": "出欠の裏づけ",
    "bounce": "戻ってきたメール",
    "blocked_address": "止めたアドレス",
    "notice": "規約のお知らせをする方",
    "restriction": "利用の制限",
    "alarm": "警報",
    "deletion": "個人情報の消去の記録",
    "record_hold": "記録の保存の指示",
    "disclosure": "開示の記録",
    "zoom_event": "Zoomからの通知",
    "amendment": "規約の変更",
    "client": "新しい方",
    "export_file": "読んだファイル",
}


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What one rehearsal showed. References and codes only; instants are ISO 8601 in Asia/Tokyo.

    `mails`: kind, reference, when, state, reason. `meetings`: action (create, update, delete, end), reference, when.
    `verdicts`: reference, verdict, reasons, number. `changes`, `tasks`: what would become of applications, bookings
    and the list of staff. `rows`: how many more rows other tables would have. `state`, `message`, `counts`,
    `incomplete`: as the real run would end. `waits`: it would wait for a person's answer at that point.
    """

    flow: str
    as_of: str
    state: str
    message: str
    counts: dict[str, Any]
    incomplete: list[Any]
    waits: bool
    mails: list[dict[str, Any]]
    meetings: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    tasks: list[dict[str, Any]]
    rows: dict[str, int]
    pages: list[Page] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as `madoguchi run --json` prints it: a summary, and under `rehearsal` what would happen."""
        return {
            "flow": self.flow,
            "as_of": self.as_of,
            "state": "rehearsed",
            "would_be": self.state,
            "waits": self.waits,
            "counts": self.counts,
            "incomplete": self.incomplete,
            "rehearsal": {
                "mails": self.mails,
                "meetings": self.meetings,
                "verdicts": self.verdicts,
                "changes": self.changes,
                "tasks": self.tasks,
                "rows": self.rows,
            },
        }


def sentence(found: Rehearsed) -> str:
    """Return the state message: it begins with 予行 and says what the real run would do, and how it would end."""
    sent = sum(mail["state"] == "sent" for mail in found.mails)
    actions = Counter(change["action"] for change in found.meetings)
    parts = [f"送るお知らせ {sent}通"]
    parts += [f"{words}ミーティング {actions[name]}件" for name, words in _ACTIONS.items() if actions[name]]
    parts.append(f"決める出欠 {len(found.verdicts)}件")
    said = f"予行（何も送らず、何も変えていません）: {'、'.join(parts)}。"
    if found.waits:
        return f"{said}このあと、承認を待つところで止まります。"
    if found.state == "failed":
        return f"{said}実際に動かすと、次のようになります: {found.message}"
    return said


def markdown(found: Rehearsed) -> str:
    """Return the artifact."""
    as_of = datetime.fromisoformat(found.as_of).astimezone(JST)
    parts = [
        f"# 予行: {found.flow}（{as_of:%Y-%m-%d %H:%M} の時点）",
        _ABOUT,
        sentence(found),
        _table("送るお知らせ", ("番号", "お知らせ", "日時", "状態"), found.mails, _mail_row),
        _table("ミーティング", ("番号", "すること", "開始"), found.meetings, _meeting_row),
        _table("出欠", ("番号", "出欠", "理由"), found.verdicts, _verdict_row),
        _table("予約と申込み", ("番号", "今", "このあと", "開始"), found.changes, _change_row),
        _table("職員の確認を待つもの", ("番号", "内容", "理由", "状態"), found.tasks, _task_row),
        _table("そのほかの記録", ("種類", "増減"), list(found.rows.items()), _count_row),
        *_pages(found),
    ]
    return "\n\n".join(part for part in parts if part)


def _table(heading: str, columns: tuple[str, ...], rows: list[Any], row_of: Callable[[Any], Iterable[str]]) -> str:
    if not rows:
        return ""
    lines = [f"## {heading}（{len(rows)}件）", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join(row_of(row))} |" for row in rows[:_LISTED]]
    if len(rows) > _LISTED:
        lines.append(f"| ほか {len(rows) - _LISTED} 件 |" + " |" * (len(columns) - 1))
    return "\n".join(lines)


def _mail_row(mail: dict[str, Any]) -> Iterable[str]:
    kind = MAILS.get(MailKind(mail["kind"]), mail["kind"])
    state = MAIL_STATES.get(mail["state"], mail["state"]) if mail["state"] != "sent" else "送る"
    return mail["reference"] or "—", kind, _moment(mail["when"]), state


def _meeting_row(change: dict[str, Any]) -> Iterable[str]:
    return change["reference"] or "Zoomにだけあるもの", _ACTIONS[change["action"]], _moment(change["when"])


def _verdict_row(verdict: dict[str, Any]) -> Iterable[str]:
    name = _state("booking", verdict["verdict"])
    return verdict["reference"], name, "、".join(reason_ja(code) or code for code in verdict["reasons"])


def _change_row(change: dict[str, Any]) -> Iterable[str]:
    old, new = (_state(change["kind"], change[key]) for key in ("old", "new"))
    return change["reference"], old, new, _moment(change.get("start"))


def _task_row(task: dict[str, Any]) -> Iterable[str]:
    return (
        task["reference"] or "—",
        task["kind"],
        task["reason"] or "",
        "新しい" if task["state"] == "opened" else "済み",
    )


def _count_row(row: tuple[str, int]) -> Iterable[str]:
    return _TABLES.get(row[0], row[0]), f"{row[1]:+d}"


def _state(kind: str, status: str | None) -> str:
    if status is None:
        return "（新しい）"
    if kind == "booking":
        return STATES.get(BookingStatus(status), status)
    return status


def _moment(text: str | None) -> str:
    return f"{datetime.fromisoformat(text).astimezone(JST):%Y-%m-%d %H:%M}" if text else ""


def _pages(found: Rehearsed) -> list[str]:
    """Return what the run itself would publish, the day list aside: for an amendment, the preview."""
    shown = [page for page in found.pages if page.key.startswith(found.flow)]
    return (
        ["---\n\n実際に動かすと、次のページが出ます（新しい番号は変わります）。", *(page.markdown for page in shown)]
        if shown
        else []
    )
