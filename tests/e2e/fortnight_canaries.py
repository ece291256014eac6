"""After the fortnight: no name, number, address or link of anybody outside the sealed columns and the mails to them."""

import subprocess

from tests.e2e.test_privacy import access_of, canaries_of, files_below, written

THEIR_OWN = ("inbox/", "bounces/", "ballast")
"""The office's exports and what the mail system returns are other people's files: they hold what they hold."""
SAID = ("stdout", "stderr", "web.log", "server.log")


def places_of(fortnight):
    """Every byte that the machine has left, what its programs said, and what went to staff and to the webhook."""
    folder = fortnight.folder
    found = {
        name: content
        for name, content in files_below(folder / "var").items()
        if not name.removeprefix("var/").startswith(THEIR_OWN)
    }
    found |= {name: (folder / name).read_bytes() for name in SAID if (folder / name).exists()}
    to_people = set(fortnight.people.lives)
    for mail in fortnight.office.mailbox.state.mails():
        if mail.recipient not in to_people:
            found[f"mail to staff {mail.entry.file}"] = mail.content
    for number, (_, body) in enumerate(fortnight.heard):
        found[f"webhook {number}"] = body
    return found


def canaries(fortnight):
    """What must not be found: every personal cell of the export, every link and passcode."""
    return canaries_of(fortnight.folder / "draft.csv") | access_of(fortnight.office)


def leaked(fortnight):
    """Return where something personal lies; the lines name the place, never the value."""
    return [f"LEAK {name}" for name in found_in(places_of(fortnight), canaries(fortnight), fortnight.folder)]


def found_in(places, values, folder):
    """The places that hold one of the values in any of its forms; grep looks for thousands at once."""
    forms = {form for value in values for form in written(value) if len(form) >= 5 and b"\n" not in form}
    patterns = folder / "canaries"
    patterns.write_bytes(b"\n".join(sorted(forms)))
    search = ["grep", "--text", "--quiet", "--fixed-strings", f"--file={patterns}"]
    codes = {
        name: subprocess.run(search, input=content, env={"LC_ALL": "C"}, check=False).returncode
        for name, content in places.items()
    }
    assert set(codes.values()) <= {0, 1}, "grep could not search"
    return sorted(name for name, code in codes.items() if code == 0)
