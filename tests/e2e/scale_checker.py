"""What must hold after a load of many exports, whoever worked on them and whoever died."""

from collections import Counter, defaultdict

from madoguchi.sandbox.mailbox_store import recipient_hash
from tests.e2e.checker import State, violations_of_the_day


def violations(office, exports, as_of, *, uncertain):
    """Return what is wrong. `exports`: by file name, the mail address of each row in order; rows count from 2."""
    state = State(office)
    found = violations_of_the_day(office, {}, as_of, events=0, uncertain=(0, uncertain), arrived=(0, uncertain))
    return [*found, *_rows(state, exports), *_addresses(state, exports)]


def _rows(state, exports):
    names = {file.id: file.name for file in state.files}
    for file in state.files:
        if file.status != "read" or file.counts["in"] != len(exports.get(file.name, ())):
            yield f"FILE {file.status} {file.counts}"
    for name, often in Counter(names.values()).items():
        if often != 1:
            yield f"FILE_TWICE {name}: {often}"
    for name in exports.keys() - set(names.values()):
        yield f"FILE_LOST {name}"
    rows = defaultdict(Counter)
    for request in state.requests:
        rows[names[request.file_id]][request.row_number] += 1
        if request.status == "staged":
            yield f"STAGED {request.reference}"
    for name, addresses in exports.items():
        if rows[name] != Counter(dict.fromkeys(_numbers(rows[name], addresses), 1)):
            yield f"ROWS {name}: {len(rows[name])} of {len(addresses)}"


def _numbers(found, addresses):
    # The first number depends on how the product counts its heading; they must be one after the other.
    first = min(found, default=0)
    return range(first, first + len(addresses))


def _addresses(state, exports):
    names = {file.id: file.name for file in state.files}
    first = {}
    for request in state.requests:
        first[request.file_id] = min(first.get(request.file_id, request.row_number), request.row_number)
    people = {
        request.id: exports[names[request.file_id]][request.row_number - first[request.file_id]]
        for request in state.requests
    }
    known = {message.message_id: message for message in state.messages}
    for mail in state.mails:
        message = known.get(mail.message_id)
        if message and message.request_id and recipient_hash(people[message.request_id]) != mail.recipient:
            yield f"MAIL_TO_ANOTHER {message.id}"


def blind_spots(office, exports):
    """Return what this file's own checks would not see, tried on false lists of what was exported."""
    state = State(office)
    name, addresses = max(exports.items(), key=lambda item: len(item[1]))
    tried = {
        "FILE_LOST": _rows(state, exports | {"another.csv": []}),
        "FILE ": _rows(state, exports | {name: addresses[1:]}),
        "ROWS": _rows(state, exports | {name: [*addresses, addresses[0]]}),
        "MAIL_TO_ANOTHER": _addresses(state, exports | {name: [*addresses[1:], addresses[0]]}),
    }
    return [f"BLIND {said}" for said, found in tried.items() if not any(line.startswith(said) for line in found)]


def figures(office):
    """Return what came of it, as counts."""
    state = State(office)
    return {
        "exports": len(state.files),
        "rows": len(state.requests),
        **{f"requests {status}": n for status, n in sorted(Counter(r.status for r in state.requests).items())},
        "meetings": len(state.zoom),
        "mails": len(state.mails),
        **{f"messages {status}": n for status, n in sorted(Counter(m.status for m in state.messages).items())},
    }
