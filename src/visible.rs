//! Makes characters visible that hide text from people, or show it in another order than it is read in (pure).
//!
//! A contract, a comment or a name is written by anybody. What a person does not see there and a model reads is the
//! simplest way to talk past the person. So such a character is written out as `⟪U+202E⟫`. A joiner or a variation
//! selector inside of scripts and emoji that need it stays, where it can hide nothing.

use std::{borrow::Cow, fmt::Write as _};

/// What a visible form begins and ends with.
const OPEN: &str = "⟪U+";
const CLOSE: char = '⟫';

/// A text with nothing hidden in it; borrowed where there was nothing, as nearly always.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !may_hide(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    rewritten(text, |character, out| {
        let _ = write!(out, "{OPEN}{:04X}{CLOSE}", character as u32);
    })
}

/// A text without what is hidden in it.
#[must_use]
pub fn stripped(text: &str) -> Cow<'_, str> {
    if !may_hide(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    rewritten(text, |_, _| {})
}

fn rewritten(text: &str, write: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut copied, mut before) = (0, None);
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let behind = characters.peek().map(|(_, behind)| *behind);
        if hides(character) && !belongs(before, character, behind) {
            out.push_str(text.get(copied..at).unwrap_or_default());
            write(character, &mut out);
            copied = at + character.len_utf8();
        }
        before = Some(character);
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// The first hidden character that a text writes out in its visible form, if it does.
///
/// Whoever echoes what it read would write the visible form where something else stood.
#[must_use]
pub fn written_out(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once(OPEN) {
        if let Some((digits, _)) = behind.split_once(CLOSE)
            && u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).is_some_and(hides)
        {
            let from = text.len() - behind.len() - OPEN.len();
            return text.get(from..from + OPEN.len() + digits.len() + CLOSE.len_utf8());
        }
        rest = behind;
    }
    None
}

/// Whether a character shows nothing of itself, or changes how others are shown.
fn hides(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => false,
        // C0 with the escape that terminals obey, DEL, C1; soft hyphen; grapheme joiner; Arabic letter mark.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' => true,
        // Fillers and vowels that are blank; Mongolian selectors.
        '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}' => true,
        // Zero width, joiners, direction marks; line separators; embeddings and overrides; invisible operators, isolates.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        // Variation selectors, byte order mark, interlinear annotation.
        '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' => true,
        // Shorthand and musical controls; tags, selectors and what is set aside for their like.
        '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

/// Whether a character that could hide something stands where a script or an emoji wants it.
fn belongs(before: Option<char>, character: char, behind: Option<char>) -> bool {
    let letter = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && (!hides(c) || c == '\u{fe0f}'));
    match character {
        '\u{200c}' | '\u{200d}' => letter(before) && letter(behind),
        // Behind a digit it makes a keycap.
        '\u{fe0e}' | '\u{fe0f}' => letter(before) || (before.is_some_and(is_key) && behind == Some('\u{20e3}')),
        '\u{180b}'..='\u{180f}' => letter(before),
        _ => false,
    }
}

fn is_key(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, '#' | '*')
}

/// Whether bytes may hold a hidden character: a quick look that is sometimes wrongly suspicious, and never wrongly calm.
///
/// JSON text writes the first control characters as `\u00…`, which counts as suspicious too.
#[must_use]
pub fn may_hide(bytes: &[u8]) -> bool {
    let mut chunks = bytes.chunks_exact(32);
    // Whole blocks of plain letters are passed over at once.
    let plain = |byte: u8| (0x20..0x7f).contains(&byte) || byte == b'\n';
    let calm = |chunk: &[u8]| chunk.iter().fold(true, |calm, byte| calm & plain(*byte) & (*byte != b'\\'));
    let mut at = 0;
    for chunk in &mut chunks {
        if !calm(chunk) && suspicious(bytes, at, at + chunk.len()) {
            return true;
        }
        at += chunk.len();
    }
    suspicious(bytes, at, bytes.len())
}

fn suspicious(bytes: &[u8], from: usize, to: usize) -> bool {
    (from..to).any(|at| {
        let byte = |ahead: usize| bytes.get(at + ahead).copied().unwrap_or_default();
        match byte(0) {
            b'\t' | b'\n' | b'\r' => false,
            0..=0x1f | 0x7f => true,
            b'\\' => byte(1) == b'u',
            0xc2 => byte(1) <= 0x9f || byte(1) == 0xad,
            0xcd => byte(1) == 0x8f,
            0xd8 => byte(1) == 0x9c,
            0xe1 => matches!((byte(1), byte(2)), (0x85, 0x9f | 0xa0) | (0x9e, 0xb4 | 0xb5) | (0xa0, 0x8b..=0x8f)),
            0xe2 => matches!((byte(1), byte(2)), (0x80, 0x8b..=0x8f | 0xa8..=0xae) | (0x81, 0xa0..=0xaf)),
            0xe3 => (byte(1), byte(2)) == (0x85, 0xa4),
            0xef => {
                matches!((byte(1), byte(2)), (0xb8, 0x80..=0x8f) | (0xbb, 0xbf) | (0xbe, 0xa0) | (0xbf, 0xb0..=0xbb))
            }
            0xf0 => matches!((byte(1), byte(2)), (0x9b, 0xb2) | (0x9d, 0x85)),
            0xf3 => byte(1) == 0xa0,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_hides_is_written_out() {
        let table = [
            ("plain", "plain"),
            ("two\nlines\tand\r\n", "two\nlines\tand\r\n"),
            ("pay \u{202e}001\u{202c} USD", "pay ⟪U+202E⟫001⟪U+202C⟫ USD"),
            ("a\u{200b}b\u{2060}c\u{feff}", "a⟪U+200B⟫b⟪U+2060⟫c⟪U+FEFF⟫"),
            ("\u{1b}[2Jgone", "⟪U+001B⟫[2Jgone"),
            ("\u{9b}2Jgone\u{7f}", "⟪U+009B⟫2Jgone⟪U+007F⟫"),
            ("NDA\u{e0049}\u{e0067}", "NDA⟪U+E0049⟫⟪U+E0067⟫"),
            ("a\u{e0101}\u{fe01}", "a⟪U+E0101⟫⟪U+FE01⟫"),
            ("soft\u{ad}hyphen", "soft⟪U+00AD⟫hyphen"),
            ("ㅤ\u{3164}\u{115f}", "⟪U+3164⟫⟪U+3164⟫⟪U+115F⟫"),
            ("a\u{200d}b", "a⟪U+200D⟫b"),
            ("\u{2066}x\u{2069} \u{200f}", "⟪U+2066⟫x⟪U+2069⟫ ⟪U+200F⟫"),
        ];
        for (text, expected) in table {
            assert_eq!(visible(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_a_script_or_an_emoji_needs_stays() {
        for text in [
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "👩\u{200d}⚖\u{fe0f}",
            "❤\u{fe0f}\u{200d}🔥",
            "1\u{fe0f}\u{20e3}",
            "§ 5 – „Verträge“ … ’",
            "契約",
            "שלום",
            "عقد",
        ] {
            assert!(matches!(visible(text), Cow::Borrowed(_)), "{text:?} became {}", visible(text));
        }
        // A run of joiners joins nothing.
        assert_eq!(visible("م\u{200c}\u{200d}\u{200c}م"), "م⟪U+200C⟫⟪U+200D⟫⟪U+200C⟫م");
    }

    #[test]
    fn a_visible_form_is_known_again() {
        for (text, expected) in [
            ("Acme⟪U+202E⟫ LLC", Some("⟪U+202E⟫")),
            ("⟪U+0041⟫ ⟪U+E0041⟫", Some("⟪U+E0041⟫")),
            ("⟪U+0041⟫", None),
            ("⟪U+⟫", None),
            ("⟪U+202E", None),
            ("⟪U+⟪U+200B⟫", Some("⟪U+200B⟫")),
            ("⟪x⟫", None),
            ("", None),
        ] {
            assert_eq!(written_out(text), expected, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn nothing_hidden_is_left_and_nothing_else_is_touched(text in any::<String>(), odd in "[\u{1}-\u{a0}\u{ad}\u{200b}-\u{206f}\u{fe00}-\u{fe0f}\u{feff}\u{e0000}-\u{e01ef}a-z]{0,12}") {
            let text = format!("{text}{odd}");
            let shown = visible(&text);
            let again = visible(&shown);
            prop_assert_eq!(&again, &shown, "it is done once and for all");
            let stays = ['\u{200c}', '\u{200d}', '\u{fe0e}', '\u{fe0f}', '\u{180b}', '\u{180c}', '\u{180d}', '\u{180e}', '\u{180f}'];
            let left: Vec<char> = shown.chars().filter(|c| hides(*c) && !stays.contains(c)).collect();
            prop_assert!(left.is_empty(), "{:?}", left);
            let bare = stripped(&text);
            let kept: String = text.chars().filter(|c| !hides(*c)).collect();
            let also: String = bare.chars().filter(|c| !hides(*c)).collect();
            prop_assert_eq!(kept, also);
        }

        #[test]
        fn the_quick_look_is_never_wrongly_calm(character in any::<char>(), before in "[a-z]{0,40}") {
            if hides(character) {
                let text = format!("{before}{character}b");
                prop_assert!(may_hide(text.as_bytes()), "{:?}", character);
                prop_assert!(may_hide(serde_json::to_string(&text).unwrap().as_bytes()), "{:?}", character);
            }
        }
    }

    #[test]
    fn the_quick_look_knows_every_hidden_character() {
        for character in (0..=0x10_ffff).filter_map(char::from_u32).filter(|character| hides(*character)) {
            for before in ["", "0123456789012345678901234567890"] {
                assert!(may_hide(format!("{before}{character}").as_bytes()), "{character:?}");
            }
        }
        for calm in ["plain text", "„Verträge“ – § 5 … ’", "{\"a\":\"b \\\"quoted\\\" \\n\"}"] {
            assert!(!may_hide(calm.as_bytes()), "{calm}");
        }
    }
}
