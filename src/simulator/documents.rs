//! Word and PDF files made on the spot. They are whole, openable files and the same bytes for the same words, so that a
//! client's checksums hold from run to run; a large PDF is large because of noise in an attachment, which no codec shrinks.

use std::io::{Cursor, Write};

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime, result::ZipResult};

use super::random::Random;

/// Media type of a Word file.
pub(crate) const DOCX_MIME: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
/// Media type of a PDF file.
pub(crate) const PDF_MIME: &str = "application/pdf";

/// Letters to a line of 11 point Helvetica between the margins, on the safe side.
const LINE_WIDTH: usize = 88;
/// Lines to an A4 page at 15 points each.
const PAGE_LINES: usize = 48;
/// Name under which the noise is attached to a large PDF.
const NOISE_NAME: &str = "scans.bin";

const CONTENT_TYPES: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/><Override PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/></Types>"#;

const RELATIONSHIPS: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/><Relationship Id="rId2" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="docProps/core.xml"/></Relationships>"#;

/// A Word file with a title line and one paragraph per string.
pub(crate) fn docx(title: &str, paragraphs: &[String]) -> Vec<u8> {
    // Writing a few kilobytes to memory has no way to fail, so an error is not worth a type of its own.
    write_docx(title, paragraphs).unwrap_or_default()
}

fn write_docx(title: &str, paragraphs: &[String]) -> ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::DEFAULT);
    let parts = [
        ("[Content_Types].xml", CONTENT_TYPES.to_owned()),
        ("_rels/.rels", RELATIONSHIPS.to_owned()),
        ("docProps/core.xml", core_properties(title)),
        ("word/document.xml", document_part(title, paragraphs)),
    ];
    for (name, text) in parts {
        archive.start_file(name, options)?;
        archive.write_all(text.as_bytes())?;
    }
    Ok(archive.finish()?.into_inner())
}

fn core_properties(title: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{}</dc:title></cp:coreProperties>"#,
        escaped(title)
    )
}

fn document_part(title: &str, paragraphs: &[String]) -> String {
    let mut body = format!("<w:p><w:r><w:rPr><w:b/><w:sz w:val=\"32\"/></w:rPr>{}</w:r></w:p>", run_text(title));
    for paragraph in paragraphs {
        body.push_str(&format!("<w:p><w:r>{}</w:r></w:p>", run_text(paragraph)));
    }
    format!(
        r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>{body}<w:sectPr/></w:body></w:document>"#
    )
}

/// Text of a run; line ends inside a paragraph become breaks.
fn run_text(text: &str) -> String {
    let lines = text.lines().map(|line| format!("<w:t xml:space=\"preserve\">{}</w:t>", escaped(line)));
    lines.collect::<Vec<_>>().join("<w:br/>")
}

/// Text made safe for XML 1.0, which has no place at all for most control characters.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\t' => safe.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            other if other.is_control() => {}
            other => safe.push(other),
        }
    }
    safe
}

/// A PDF file with a title line and the paragraphs, wrapped over A4 pages; noise is attached until the file has
/// `at_least_bytes` bytes.
pub(crate) fn pdf(title: &str, paragraphs: &[String], at_least_bytes: usize) -> Vec<u8> {
    let plain = write_pdf(title, paragraphs, None);
    let missing = at_least_bytes.saturating_sub(plain.len());
    if missing == 0 {
        return plain;
    }
    write_pdf(title, paragraphs, Some(&noise(missing)))
}

/// Bytes that no codec can shrink, always the same.
fn noise(length: usize) -> Vec<u8> {
    let mut random = Random::new(length as u64);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn write_pdf(title: &str, paragraphs: &[String], attachment: Option<&[u8]>) -> Vec<u8> {
    let [catalog_id, tree_id, font_id, spec_id, file_id, info_id] = [1, 2, 3, 4, 5, 6].map(Ref::new);
    let mut pdf = Pdf::new();
    let mut catalog = pdf.catalog(catalog_id);
    catalog.pages(tree_id);
    if attachment.is_some() {
        catalog.names().embedded_files().names().insert(Str(NOISE_NAME.as_bytes()), spec_id);
    }
    catalog.finish();
    pdf.document_info(info_id).title(TextStr(title)).producer(TextStr("Ironclad simulator"));

    let pages = page_lines(title, paragraphs);
    // The page tree takes its ids from 10 on: a page and its contents by turns.
    let page_id = |index: usize| Ref::new(i32::try_from(10 + index * 2).unwrap_or(i32::MAX - 1));
    pdf.pages(tree_id).kids((0..pages.len()).map(page_id)).count(i32::try_from(pages.len()).unwrap_or(i32::MAX));
    for (index, lines) in pages.iter().enumerate() {
        let id = page_id(index);
        let mut page = pdf.page(id);
        page.media_box(Rect::new(0.0, 0.0, 595.0, 842.0)).parent(tree_id).contents(id.next());
        page.resources().fonts().pair(Name(b"F1"), font_id);
        page.finish();
        pdf.stream(id.next(), &page_content(lines));
    }
    pdf.type1_font(font_id).base_font(Name(b"Helvetica")).encoding_predefined(Name(b"WinAnsiEncoding"));
    if let Some(bytes) = attachment {
        pdf.file_spec(spec_id).path(Str(NOISE_NAME.as_bytes())).embedded_file(file_id);
        pdf.embedded_file(file_id, bytes);
    }
    pdf.finish()
}

fn page_content(lines: &[String]) -> Vec<u8> {
    let mut content = Content::new();
    content.begin_text().set_font(Name(b"F1"), 11.0).set_leading(15.0).next_line(60.0, 780.0);
    for line in lines {
        content.show(Str(&win_ansi(line))).next_line_using_leading();
    }
    content.end_text();
    content.finish().to_vec()
}

/// The lines of every page; there is at least one page.
fn page_lines(title: &str, paragraphs: &[String]) -> Vec<Vec<String>> {
    let mut lines = wrapped(title);
    for paragraph in paragraphs {
        lines.push(String::new());
        lines.extend(paragraph.lines().flat_map(wrapped));
    }
    let pages: Vec<_> = lines.chunks(PAGE_LINES).map(<[String]>::to_vec).collect();
    if pages.is_empty() { vec![Vec::new()] } else { pages }
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > LINE_WIDTH {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The text in the encoding of the font; a letter that the encoding lacks becomes a question mark.
fn win_ansi(text: &str) -> Vec<u8> {
    let byte = |letter: char| match letter {
        '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(letter)).unwrap_or(b'?'),
        '€' => 0x80,
        '‘' => 0x91,
        '’' => 0x92,
        '“' => 0x93,
        '”' => 0x94,
        '–' => 0x96,
        '—' => 0x97,
        _ => b'?',
    };
    text.chars().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn words() -> Vec<String> {
        vec!["Fees & <terms>".to_owned(), "Zürich\nsecond line\u{1}".to_owned()]
    }

    fn part(file: &[u8], name: &str) -> String {
        let mut archive = zip::ZipArchive::new(Cursor::new(file)).unwrap();
        let mut text = String::new();
        archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// The offset that the trailer names, and what stands there.
    fn check_pdf(file: &[u8]) {
        assert!(file.starts_with(b"%PDF-1."));
        assert!(file.ends_with(b"%%EOF") || file.ends_with(b"%%EOF\n"));
        let tail = String::from_utf8_lossy(&file[file.len() - 40..]).into_owned();
        let start: usize = tail.split("startxref").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
        assert!(file[start..].starts_with(b"xref"));
        let table = String::from_utf8_lossy(&file[start..]).into_owned();
        let used = table.lines().skip(2).filter(|line| line.ends_with(" n ") || line.ends_with(" n"));
        for entry in used {
            let offset: usize = entry[..10].parse().unwrap();
            let head = String::from_utf8_lossy(&file[offset..offset + 12]).into_owned();
            assert!(head.contains(" 0 obj"), "{head}");
        }
    }

    #[test]
    fn a_word_file_opens_and_holds_its_words() {
        let file = docx("NDA & Co", &words());
        let text = part(&file, "word/document.xml");
        assert!(text.contains("NDA &amp; Co") && text.contains("Fees &amp; &lt;terms&gt;"));
        assert!(text.contains("Zürich</w:t><w:br/>") && !text.contains('\u{1}'));
        assert!(part(&file, "[Content_Types].xml").contains(DOCX_MIME));
        assert!(part(&file, "docProps/core.xml").contains("<dc:title>NDA &amp; Co</dc:title>"));
    }

    #[test]
    fn the_same_words_make_the_same_bytes() {
        assert_eq!(docx("a", &words()), docx("a", &words()));
        assert_eq!(pdf("a", &words(), 50_000), pdf("a", &words(), 50_000));
        assert_ne!(docx("a", &words()), docx("b", &words()));
    }

    #[test]
    fn a_pdf_has_a_header_a_trailer_and_a_table_that_points_at_its_objects() {
        assert!(PDF_MIME.ends_with("/pdf"));
        check_pdf(&pdf("Title — with dash", &words(), 0));
        check_pdf(&pdf("", &[], 0));
        check_pdf(&pdf("Long", &vec!["word ".repeat(400); 30], 0));
        check_pdf(&pdf("Padded", &words(), 100_000));
    }

    #[test]
    fn long_text_runs_over_several_pages() {
        assert_eq!(page_lines("t", &[]).len(), 1);
        assert!(page_lines("t", &vec!["word ".repeat(400); 30]).len() > 5);
        assert!(page_lines("t", &["word ".repeat(400)]).iter().flatten().all(|line| line.len() <= LINE_WIDTH));
    }

    #[test]
    fn a_five_megabyte_pdf_is_that_large_and_cannot_be_shrunk() {
        let wanted = 5 * 1024 * 1024;
        let file = pdf("Large Exhibit Review", &words(), wanted);
        assert!(file.len() >= wanted && file.len() < wanted + 4096, "{}", file.len());
        let sample = &file[100_000..1_100_000];
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        archive.start_file("a", SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)).unwrap();
        archive.write_all(sample).unwrap();
        assert!(archive.finish().unwrap().into_inner().len() > sample.len() * 99 / 100);
    }

    #[test]
    fn letters_outside_the_font_become_question_marks() {
        assert_eq!(win_ansi("a€–ü漢\u{1}"), [b'a', 0x80, 0x96, 0xfc, b'?', b'?']);
    }

    #[test]
    fn a_pdf_reader_finds_the_words_when_there_is_one() {
        let path = std::env::temp_dir().join(format!("simulator-{}.pdf", std::process::id()));
        std::fs::write(&path, pdf("Reader", &words(), 20_000)).unwrap();
        let read = std::process::Command::new("pdftotext").arg(&path).arg("-").output();
        let _ = std::fs::remove_file(&path);
        let Ok(read) = read else { return };
        let text = String::from_utf8_lossy(&read.stdout).into_owned();
        assert!(text.contains("Reader") && text.contains("Zürich"), "{text}");
    }
}
