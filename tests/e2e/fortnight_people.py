"""What people know and do in the fortnight: they have their mails and nothing else.

Each mail is looked at when it has arrived: does its link lead somewhere, at the time that it tells. What is wrong then
is kept in `wrongs`; at the end nobody could tell any more.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy

from tests.e2e.fortnight_script import CALLS, CALLS_NOTED_LATE, COMES, HOST_LATE, HOST_NEVER, MOVES, WAITS

KINDS = (
    ("confirmed", "予約が決まりました"), ("changed", "変わりました"), ("reminder_hour", "まもなく"),
    ("reminder_day", "日が近づきました"), ("cancelled", "キャンセルを承りました"), ("cancelled", "中止とおわび"),
    ("no_show", "についてのご連絡"), ("corrected", "の訂正とおわび"), ("office_fault", "おわび："),
    ("alternatives", "別の日時のご案内"), ("incomplete", "確認のお願い"), ("declined", "お電話のお願い"),
)  # fmt: skip
WITH_LINK = {"confirmed", "changed", "reminder_day", "reminder_hour"}
_LINK = re.compile(r"https://zoom\.example\.jp/j/(\d+)\?pwd=(\S+)")
_REFERENCE = re.compile(r"[MR]-[234679CFHJKMNPQRTWXY]{6}")
_START = re.compile(r"^DTSTART:(\d{8}T\d{6})Z", re.MULTILINE)


@dataclass(frozen=True)
class Letter:
    """A mail as its reader understands it. `start`: what its calendar entry says."""

    at: datetime
    to: str
    kind: str
    subject: str
    message_id: str
    reference: str | None
    meeting: str | None
    start: datetime | None


@dataclass
class Life:
    """One person: their letters, and what they did. `session`: when they believe to have one, and where."""

    person: object
    letters: list[Letter] = field(default_factory=list)
    session: tuple[datetime, str] | None = None
    came: list[datetime] = field(default_factory=list)
    shut_out: list[datetime] = field(default_factory=list)
    called: list[datetime] = field(default_factory=list)
    cancelled: datetime | None = None
    moved: datetime | None = None
    closed: bool = False
    """The office called their session off: its day became a closed one."""

    def kinds(self):
        return [letter.kind for letter in self.letters]


def read_letter(mail):
    """What stands in a stored mail of the stand-in mailbox."""
    parsed = message_from_bytes(mail.content, policy=policy.default)
    text = parsed.get_body(("plain",)).get_content()
    calendar = next((p.get_content() for p in parsed.walk() if p.get_content_type() == "text/calendar"), "")
    subject = parsed["subject"]
    kind = next((kind for kind, words in KINDS if words in subject), "other")
    link, reference, start = _LINK.search(text), _REFERENCE.search(text), _START.search(calendar)
    return Letter(
        datetime.fromisoformat(mail.entry.received_at),
        mail.recipient,
        kind,
        subject,
        str(parsed["message-id"]),
        reference and reference[0],
        link and link[1],
        start and datetime.strptime(start[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC),
    )


class People:
    """Everybody, and the letters to nobody of them (`others`: alarms to staff)."""

    def __init__(self, script, office):
        self.lives = {person.email: Life(person) for person in script.people}
        self.by_row = {life.person.row: life for life in self.lives.values()}
        self.office, self.others, self.wrongs = office, [], []
        self._read = 0

    def read_mails(self):
        """Let everybody read what has arrived since, in the order in which it came."""
        entries = self.office.mailbox.state.entries()
        for entry in entries[self._read :]:
            letter = read_letter(self.office.mailbox.state.read(entry))
            life = self.lives.get(letter.to)
            if life is None:
                self.others.append(letter)
                continue
            life.letters.append(letter)
            if life.person.conduct != "bounces":
                self._understand(life, letter)
        self._read = len(entries)

    def _understand(self, life, letter):
        if letter.kind in WITH_LINK:
            self._try_link(life, letter)
        if letter.kind in {"confirmed", "changed"}:
            life.session = (letter.start, letter.meeting)
        if letter.kind == "cancelled":
            life.session = None

    def _try_link(self, life, letter):
        doc = self.office.zoom.state.meeting(int(letter.meeting)) if letter.meeting else None
        who = f"row {life.person.row} {letter.kind}"
        if doc is None:
            self.wrongs.append(f"DEAD_LINK {who} at {letter.at:%d %H:%M}")
        elif letter.start and datetime.fromisoformat(doc["start_time"]) != letter.start:
            self.wrongs.append(f"WRONG_TIME {who}")
        if letter.kind.startswith("reminder"):
            if life.session is None or life.session[1] != letter.meeting:
                self.wrongs.append(f"REMINDER_OF_NOTHING {who}")
            elif letter.at >= life.session[0]:
                self.wrongs.append(f"REMINDER_LATE {who}")

    def acts(self, life, start):
        """What somebody does in Zoom: minutes after the start, who, act. Hosts: `host_acts`."""
        conduct, early = life.person.conduct, life.person.early
        if conduct in {COMES, MOVES}:
            return [(early, "guest", "join")]
        if conduct == WAITS:
            return [(min(early, 2), "guest", "wait")]
        if conduct in {HOST_LATE, HOST_NEVER}:
            return [(-2, "guest", "join"), *([(25, "guest", "leave")] if conduct == HOST_NEVER else [])]
        return []


def host_acts(conduct):
    """What the counsellor does: minutes after the start, act."""
    if conduct == HOST_NEVER:
        return []
    begins = 12 if conduct == HOST_LATE else -1
    admits = [] if conduct == WAITS else [begins + 1, begins + 3, begins + 6]
    ends = 13 if conduct in {"away", CALLS, CALLS_NOTED_LATE, "bounces", "cancels"} else 29
    return [(begins, "start"), *((minute, "admit") for minute in admits if minute < ends), (ends, "end")]
