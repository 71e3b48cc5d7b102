//! Knows every secret of the process, and takes them out of whatever is about to be written for people.
//!
//! This is the last net: nothing should write a secret, and types see to that. But the libraries below log what they
//! please at the lowest level, and a panic or a reply may quote anything. A secret is known in the forms in which it
//! travels: as it is, percent-encoded, as JSON and Debug print it, and anywhere inside base64.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    borrow::Cow,
    fmt::Write as _,
    io,
    sync::{PoisonError, RwLock},
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

/// What stands in the place of a secret.
const MASK: &str = "[secret]";

/// Shorter texts are no secrets, and would be found everywhere.
const LEAST: usize = 6;

/// The least of a secret's base64 that is told from chance.
const LEAST_BASE64: usize = 12;

/// How many secrets are kept: the tokens of a long run end, and the oldest of them are let go.
const KEPT: usize = 40;

/// The first ones, which the configuration gave, are never let go.
const FOR_GOOD: usize = 20;

/// The forms of one secret, longest first.
struct Known {
    plain: Zeroizing<String>,
    forms: Vec<Zeroizing<String>>,
}

/// Secrets to be masked.
#[derive(Default)]
struct Mask(RwLock<Vec<Known>>);

static KNOWN: Mask = Mask(RwLock::new(Vec::new()));

impl Mask {
    fn learn(&self, plain: &str) {
        if plain.len() < LEAST {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|known| *known.plain == *plain) {
            return;
        }
        if known.len() >= KEPT {
            known.remove(FOR_GOOD);
        }
        known.push(Known { plain: Zeroizing::new(plain.to_owned()), forms: forms(plain) });
    }

    fn masked<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut text = Cow::Borrowed(text);
        for form in known.iter().flat_map(|known| &known.forms) {
            if text.contains(form.as_str()) {
                text = Cow::Owned(text.replace(form.as_str(), MASK));
            }
        }
        text
    }
}

/// Remembers a secret, so that it is masked from now on.
pub fn learn(secret: &SecretString) {
    KNOWN.learn(secret.expose_secret());
}

/// The same secret, remembered.
#[must_use]
pub fn learned(secret: SecretString) -> SecretString {
    learn(&secret);
    secret
}

fn forms(plain: &str) -> Vec<Zeroizing<String>> {
    let mut forms = vec![
        plain.to_owned(),
        utf8_percent_encode(plain, NON_ALPHANUMERIC).to_string(),
        url::form_urlencoded::byte_serialize(plain.as_bytes()).collect(),
        inside(&serde_json::to_string(plain).unwrap_or_default()),
        inside(&format!("{plain:?}")),
    ];
    forms.extend((0..3).filter_map(|before| in_base64(plain, before)));
    let urlsafe: Vec<String> = forms.iter().skip(5).map(|form| form.replace('+', "-").replace('/', "_")).collect();
    forms.extend(urlsafe);
    forms.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    forms.dedup();
    forms.into_iter().map(Zeroizing::new).collect()
}

fn inside(quoted: &str) -> String {
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(quoted).to_owned()
}

/// The letters that every base64 has in which the secret stands behind `before` bytes, by threes.
fn in_base64(plain: &str, before: usize) -> Option<String> {
    let mut bytes = Zeroizing::new(vec![0; before]);
    bytes.extend_from_slice(plain.as_bytes());
    let letters = Zeroizing::new(STANDARD_NO_PAD.encode(&*bytes));
    // A letter holds 6 bits: those that share bits with what stands around are left out.
    let from = (before * 8).div_ceil(6);
    let to = bytes.len() * 8 / 6;
    letters.get(from..to).filter(|letters| letters.len() >= LEAST_BASE64).map(str::to_owned)
}

/// A text with every known secret masked.
#[must_use]
pub fn masked(text: &str) -> Cow<'_, str> {
    KNOWN.masked(text)
}

/// A writer that masks what is written to it; each write is one whole piece, as a log's events are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Masked<W>(pub W);

impl<W: io::Write> io::Write for Masked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        match masked(&text) {
            Cow::Borrowed(_) => self.0.write_all(bytes)?,
            Cow::Owned(masked) => self.0.write_all(masked.as_bytes())?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Lets a panic say what it has to say, masked.
pub fn mask_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let mut text = String::new();
        let thread = std::thread::current();
        let _ = writeln!(text, "thread '{}' {panic}", thread.name().unwrap_or("<unnamed>"));
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            let _ = writeln!(text, "{trace}");
        }
        let _ = io::Write::write_all(&mut io::stderr().lock(), masked(&text).as_bytes());
    }));
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    fn knowing(secrets: &[&str]) -> Mask {
        let mask = Mask::default();
        secrets.iter().for_each(|secret| mask.learn(secret));
        mask
    }

    #[test]
    fn a_secret_is_masked_in_every_form_that_it_travels_in() {
        let secret = "MARKED s3cr&t/+\"\\?";
        let mask = knowing(&[secret]);
        let travels = [
            secret.to_owned(),
            format!(
                "grant_type=x&client_secret={}",
                url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>()
            ),
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
            serde_json::json!({ "secret": secret }).to_string(),
            format!("{secret:?}"),
            format!("Basic {}", STANDARD.encode(format!("id:{secret}"))),
            format!("Basic {}", STANDARD.encode(format!("an-id:{secret}"))),
            format!("Basic {}", STANDARD.encode(format!("other:{secret}:behind"))),
            URL_SAFE.encode(secret),
        ];
        for travelling in travels {
            let masked = mask.masked(&travelling);
            assert!(masked.contains(MASK), "{travelling} became {masked}");
            assert!(!masked.contains("s3cr"), "{masked}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        let mask = knowing(&["short", ""]);
        for text in ["a short text", "", "Bearer something"] {
            assert!(matches!(mask.masked(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn a_writer_masks_and_says_that_all_was_written() {
        learn(&SecretString::from("MARKED-in-a-writer"));
        let mut writer = Masked(Vec::new());
        io::Write::write_all(&mut writer, b"\xff token=MARKED-in-a-writer\n").unwrap();
        io::Write::write_all(&mut writer, b"\xff as it is").unwrap();
        assert_eq!(writer.0, ["\u{fffd} token=[secret]\n".as_bytes(), b"\xff as it is"].concat());
    }

    #[test]
    fn the_oldest_secrets_are_let_go_but_not_the_first() {
        let mask = Mask::default();
        (0..=KEPT).for_each(|number| mask.learn(&format!("MARKED-{number}-")));
        assert_eq!(mask.0.read().unwrap().len(), KEPT);
        for (number, is_known) in [(0, true), (FOR_GOOD - 1, true), (FOR_GOOD, false), (KEPT, true)] {
            assert_eq!(mask.masked(&format!("MARKED-{number}-")) == MASK, is_known, "{number}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn no_text_lets_a_secret_through(
            secret in "[ -~]{12,40}", before in "[ -~]{0,20}", behind in "[ -~]{0,20}", padded in any::<bool>(),
        ) {
            let mask = knowing(&[&secret]);
            let text = format!("{before}{secret}{behind}");
            prop_assert!(!mask.masked(&text).contains(&secret));
            let encoded = if padded { STANDARD.encode(&text) } else { URL_SAFE.encode(&text) };
            let masked = mask.masked(&encoded);
            prop_assert!(masked.contains(MASK), "{masked}");
        }
    }
}
