"""Settings of a form: what a clerk's typing slip leads to."""

from __future__ import annotations

import pytest

from madoguchi.adapters.form_export import MappingError, load_mapping
from tests.intake_help import ROOT

GOOD = """
source = "demo"
form = "f"
zone = "Asia/Tokyo"
separators = [";"]
required = ["name"]
delimiter = ";"
[columns]
name = "^氏名$"
"""


def test_a_mapping_is_read(tmp_path):
    path = tmp_path / "demo.toml"
    path.write_text(GOOD, encoding="utf-8")
    mapping = load_mapping(path)
    assert (mapping.source, mapping.delimiter, mapping.has_row_id) == ("demo", ";", False)
    assert mapping.columns[0][0] == "name"


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "forms").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_mapping_loads_and_is_named_like_its_source(path):
    mapping = load_mapping(path)
    assert mapping.source == path.stem
    assert {"name", "job_seeker_number", "submitted_at"} <= mapping.required


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('source = "demo"', "", "source is missing"),
        ('form = "f"', "form = 1", "form is missing"),
        ('zone = "Asia/Tokyo"', 'zone = "Asia/Tokio"', "zone is unknown"),
        ('zone = "Asia/Tokyo"', "zone = 9", "zone is unknown"),
        ('separators = [";"]', 'separators = ";"', "separators must be a list"),
        ('required = ["name"]', 'required = ["email"]', "does not map"),
        ('delimiter = ";"', 'delimiter = "ab"', "one character"),
        ('delimiter = ";"', 'delimeter = ";"', "unknown key 'delimeter'"),
        ('delimiter = ";"', 'encodings = ["shift_jis"]', "write 'cp932'"),
        ('delimiter = ";"', 'encodings = ["klingon"]', "is unknown"),
        ('name = "^氏名$"', 'nmae = "^氏名$"', "known fields are"),
        ('name = "^氏名$"', 'name = "("', "no regular expression"),
        ('name = "^氏名$"', "name = 1", "no regular expression"),
        ("[columns]", "[column]", "unknown key 'column'"),
        ('[columns]\nname = "^氏名$"', "", "columns] is missing"),
        ("[columns]", "[columns", "cannot be read as TOML"),
    ],
)
def test_a_slip_in_a_mapping_is_named_with_its_file(tmp_path, old, new, said):
    path = tmp_path / "demo.toml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(MappingError, match=r"^demo\.toml: ") as caught:
        load_mapping(path)
    assert said in str(caught.value)


def test_a_missing_mapping_is_said_so(tmp_path):
    with pytest.raises(MappingError, match=r"^absent\.toml: "):
        load_mapping(tmp_path / "absent.toml")
