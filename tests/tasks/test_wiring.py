"""Building the services: what stops a start, and that a relay which is merely down does not."""

import ssl
from datetime import timedelta

import pytest

from config.settings import ROOT, Settings, SettingsError, SmtpSettings, ZoomSettings
from madoguchi.store.database import Database
from madoguchi.store.models import TermsVersion
from tasks.wiring import Run, build_services, use_services
from tasks.wiring import services as present_services
from tests.adapters.relay_help import Relay, certificate
from tests.world import AS_OF, World

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OTHER_KEY = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Live settings; the relay comes with `smtp`."""
    monkeypatch.chdir(tmp_path)
    office = (ROOT / "config" / "office.toml").read_text(encoding="utf-8")
    (tmp_path / "office.toml").write_text(
        office.replace('telephone = ""', 'telephone = "047-111-2222"'), encoding="utf-8"
    )

    def make(**changes):
        values = {
            "mode": "live", "var_dir": tmp_path / "var", "office_file": tmp_path / "office.toml",
            "encryption_keys": KEY, "zoom": ZoomSettings(account_id="a", client_id="c", client_secret="a-secret"),
            "smtp": SmtpSettings(host="127.0.0.1", port=9, user="u", password="a-secret"),
        } | changes  # fmt: skip
        return Settings(**values)

    return make


@pytest.fixture
def build():
    built = []

    def go(settings):
        built.append(build_services(settings))
        return built[-1]

    yield go
    for services in built:
        services.database.close()


def relay(tmp_path, security):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path, "127.0.0.1"))
    return Relay(context=context) if security == "tls" else Relay(extensions=("STARTTLS",), starttls=context)


@pytest.mark.parametrize("security", ["tls", "starttls", None])
def test_live_refuses_a_relay_whose_certificate_cannot_be_verified(tmp_path, settings, security):
    with relay(tmp_path, security).running() as server:
        smtp = SmtpSettings(host="127.0.0.1", port=server.port, user="u", password="a-secret", security=security)
        with pytest.raises(SettingsError, match="MADOGUCHI_SMTP__CA_FILE") as caught:
            build_services(settings(smtp=smtp))
        assert caught.value.__cause__ is None
        assert not (tmp_path / "var").exists(), "nothing was begun"
        assert not any(line.startswith("AUTH") for line in server.heard), "no password went to it"


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_live_starts_with_the_certificates_authority_named(tmp_path, settings, build, security):
    with relay(tmp_path, security).running() as server:
        smtp = SmtpSettings(
            host="127.0.0.1", port=server.port, user="u", password="a-secret", security=security,
            ca_file=tmp_path / "127.0.0.1.pem",
        )  # fmt: skip
        assert build(settings(smtp=smtp)).office.telephone == "047-111-2222"
        assert not any(line.startswith("AUTH") for line in server.heard)


@pytest.mark.parametrize(
    ("security", "steps", "remedy"),
    [("starttls", {}, "STARTTLS"), ("tls", {}, "does not speak TLS")],
)
def test_live_refuses_a_relay_without_the_tls_that_is_set(settings, security, steps, remedy):
    with Relay(steps=steps).running() as server:
        smtp = SmtpSettings(host="127.0.0.1", port=server.port, user="u", password="a-secret", security=security)
        with pytest.raises(SettingsError, match=remedy):
            build_services(settings(smtp=smtp))


def test_live_refuses_an_authority_that_is_no_certificate(tmp_path, settings):
    (tmp_path / "ca.pem").write_text("no certificate", encoding="utf-8")
    smtp = SmtpSettings(host="127.0.0.1", port=9, user="u", password="a-secret", ca_file=tmp_path / "ca.pem")
    with pytest.raises(SettingsError, match="MADOGUCHI_SMTP__CA_FILE"):
        build_services(settings(smtp=smtp))


def test_a_relay_that_is_merely_down_stops_no_application(settings, build):
    assert build(settings()).office.code == "matsudo-mothers"


@pytest.mark.parametrize("says", ["421 too busy", "554 go away"])
def test_a_relay_in_a_bad_mood_stops_no_application(settings, build, says):
    with Relay(steps={"greeting": says}).running() as server:
        smtp = SmtpSettings(host="127.0.0.1", port=server.port, user="u", password="a-secret")
        assert build(settings(smtp=smtp))


def test_a_relay_on_this_machine_without_tls_is_not_asked(settings, build):
    with Relay().running() as server:
        build(settings(smtp=SmtpSettings(host="127.0.0.1", port=server.port, security="none")))
        assert server.connections == 0


# --- the record


def test_the_record_is_made_and_the_terms_are_in_it_once(settings, build):
    for _ in range(2):
        services = build(settings())
        with services.database.read() as session:
            assert session.query(TermsVersion).count() == 2


def test_a_lost_key_is_said_with_its_remedy(settings, build):
    build(settings())
    with pytest.raises(SettingsError, match="add that key to the list again"):
        build_services(settings(encryption_keys=OTHER_KEY))


@pytest.mark.parametrize("keys", ["not base64 at all", "c2hvcnQ="])
def test_a_key_that_is_none_is_said_without_repeating_it(settings, keys):
    with pytest.raises(SettingsError, match="MADOGUCHI_ENCRYPTION_KEYS") as caught:
        build_services(settings(encryption_keys=keys))
    assert keys not in str(caught.value)


def test_a_database_that_does_not_answer_is_said_without_its_address(settings):
    url = "postgresql+psycopg://user:a-password@127.0.0.1:9/madoguchi"
    with pytest.raises(SettingsError, match="MADOGUCHI_DATABASE_URL") as caught:
        build_services(settings(database_url=url))
    assert "127.0.0.1" not in str(caught.value)
    assert "a-password" not in str(caught.value)


def test_terms_that_changed_under_the_same_number_are_refused(tmp_path, settings, build):
    folder = tmp_path / "terms"
    folder.mkdir()
    for file in (ROOT / "config" / "terms").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    build(settings(terms_dir=folder))
    [text] = folder.glob("service*.txt")
    text.write_text(text.read_text(encoding="utf-8") + "第99条 追加\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="other words than the record"):
        build_services(settings(terms_dir=folder))


def test_missing_terms_and_broken_form_mappings_are_refused(tmp_path, settings):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="service terms"):
        build_services(settings(terms_dir=tmp_path / "empty"))
    forms = tmp_path / "forms"
    forms.mkdir()
    (forms / "google.toml").write_text("source = 1", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"google\.toml"):
        build_services(settings(forms_dir=forms))


# --- services of the process, runs


def test_tests_put_their_own_services_in_place(database):
    world = World(database)
    use_services(world.services)
    try:
        assert present_services() is world.services
    finally:
        use_services(None)


def test_business_time_goes_on_with_the_clock(database):
    world = World(database)
    run = Run("process-requests", AS_OF - timedelta(days=2), AS_OF, prefect_run="abc")
    world.clock.forward(minutes=7)
    act = run.act(world.services)
    assert act.happened_at == AS_OF - timedelta(days=2) + timedelta(minutes=7)
    assert act.recorded_at == world.clock.now
    assert (act.actor, act.run, act.office) == ("flow:process-requests", "abc", world.office.code)


def test_only_owners_that_are_certainly_gone_count_as_dead(database):
    world = World(database, owner="me", is_alive={"a": True, "b": False, "c": None, "me": False}.get)
    assert world.services.dead_among(["a", "b", "c", "me"]) == ["b"]


def test_a_database_can_be_opened_by_two_processes_one_after_the_other(database_url):
    first, second = Database(database_url), Database(database_url)
    World(first)
    World(second)
    first.close()
    second.close()
