import codecs
import os
import zlib
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter

from madoguchi.adapters.terms_source import LARGEST_PDF, LARGEST_TEXT, TermsSourceError, read_terms_source
from madoguchi.domain.terms_reading import parse_terms

TEXT = "見本の規約\n第１条 この規約は①を定めます。\n第２条 髙橋は～です。\n"
ARTICLES = [
    [
        "見本の規約",
        "（目的）",
        "第１条 窓口は、オンラインで相談する機会を設けるために、この規",
        "約を定めます。利用される方に費用がかかるかどうかは、第２条に",
    ],
    ["よります。", "（費用）", "第２条 費用はかかりません。ただし、通信にかかる費用は、利用さ", "れる方のご負担です。"],
    ["（裁判所）", "第３条 見本地方裁判所で解決します。", "令和７年４月１日", "見本の窓口 所長"],
]


def pdf(pages):
    """A small PDF whose pages are lines of text, in a font that every reader of Japanese has."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>"
        % (len(pages), b" ".join(b"%d 0 R" % (5 + 2 * n) for n in range(len(pages)))),
        b"<< /Type /Font /Subtype /Type0 /BaseFont /Ryumin-Light /Encoding /UniJIS-UTF16-H /DescendantFonts [4 0 R] >>",
        b"<< /Type /Font /Subtype /CIDFontType0 /BaseFont /Ryumin-Light /CIDSystemInfo %s >>"
        % b"<< /Registry (Adobe) /Ordering (Japan1) /Supplement 4 >>",
    ]
    for number, lines in enumerate(pages):
        shown = b"".join(
            b"1 0 0 1 50 %d Tm <%s> Tj\n" % (780 - 20 * n, line.encode("utf-16-be").hex().encode())
            for n, line in enumerate(lines)
        )
        stream = zlib.compress(b"BT /F1 12 Tf\n" + shown + b"ET" if lines else b"0 0 10 10 re f")
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % (6 + 2 * number)
        )
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream))
    out, at = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        at.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in at)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    return (
        out
        + head
        + table
        + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF"
        % (
            len(objects) + 1,
            len(out),
        )
    )


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("cp932"),
        TEXT.encode("utf-16"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode("cp932"),
    ],
)
@pytest.mark.parametrize("name", ["terms.txt", "terms.MD", "terms"])
def test_text_is_read_in_every_encoding_that_offices_write(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    assert read_terms_source(path) == TEXT


def test_a_pdf_is_read_without_page_numbers_and_repeated_headers(tmp_path):
    path = tmp_path / "terms.pdf"
    pages = [["見本市 規約集", *lines, f"- {n} -"] for n, lines in enumerate(ARTICLES, 1)]
    path.write_bytes(pdf(pages))
    assert len(PdfReader(path).pages) == 3
    text = read_terms_source(path)
    assert "規約集" not in text
    terms = parse_terms(text)
    assert [article.number for article in terms.articles] == [(1,), (2,), (3,)]
    assert terms.articles[0].parts[0].text.endswith("かかるかどうかは、第２条によります。")
    assert terms.signatory == "見本の窓口 所長"


def test_headings_at_the_top_of_every_page_are_no_header(tmp_path):
    path = tmp_path / "terms.pdf"
    path.write_bytes(pdf([["第１条", "甲です。"], ["第２条", "甲です。乙です。"], ["第３条", "丙です。"]]))
    assert [article.number for article in parse_terms(read_terms_source(path)).articles] == [(1,), (2,), (3,)]


def test_look_alike_radicals_of_a_pdf_become_the_characters_they_stand_for(tmp_path):
    path = tmp_path / "terms.pdf"
    path.write_bytes(pdf([["第１条 利⽤する⽅です。"]]))
    assert read_terms_source(path) == "第１条 利用する方です。"


def encrypted():
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.encrypt("secret", algorithm="RC4-128")
    return writer


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("terms.txt", b"", "EMPTY"),
        ("terms.txt", b" \r\n\n", "EMPTY"),
        ("terms.txt", codecs.BOM_UTF8, "EMPTY"),
        ("terms.txt", "第１条 ".encode() + b"\xff\xff\n", "ENCODING"),
        ("terms.txt", codecs.BOM_UTF8 + b"\xff\n", "ENCODING"),
        ("terms.txt", b"abc\x00def", "NOT_TEXT"),
        ("terms.txt", b"a" * (LARGEST_TEXT + 1), "TOO_LARGE"),
        ("terms.pdf", b"a" * (LARGEST_PDF + 1), "TOO_LARGE"),
        ("terms.docx", b"PK\x03\x04rest", "KIND"),
        ("terms.txt", b"PK\x03\x04rest", "KIND"),
        ("terms.html", b"<p>", "KIND"),
        ("terms.pdf", b"no pdf at all", "PDF_BROKEN"),
        ("terms.pdf", b"%PDF-1.7\nbroken", "PDF_BROKEN"),
        ("terms.pdf", pdf([[], []]), "PDF_SCAN"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_remedy(tmp_path, name, content, code):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TermsSourceError) as caught:
        read_terms_source(path)
    assert caught.value.code == code
    assert str(caught.value).startswith(name)
    assert caught.value.remedy in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_an_encrypted_pdf_is_refused_and_a_missing_file_too(tmp_path):
    path = tmp_path / "locked.pdf"
    encrypted().write(path)
    with pytest.raises(TermsSourceError) as locked:
        read_terms_source(path)
    with pytest.raises(TermsSourceError) as missing:
        read_terms_source(tmp_path / "nowhere.txt")
    assert (locked.value.code, missing.value.code) == ("PDF_ENCRYPTED", "MISSING")


def test_a_pipe_is_no_file_of_terms_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "terms.txt")
    with pytest.raises(TermsSourceError) as refused:
        read_terms_source(tmp_path / "terms.txt")
    assert refused.value.code == "UNREADABLE"


def test_a_path_that_no_system_takes_is_refused_like_any_other():
    with pytest.raises(TermsSourceError) as refused:
        read_terms_source(Path("terms\0.txt"))
    assert refused.value.code == "UNREADABLE"
