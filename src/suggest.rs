//! Makes the small texts of a fault: what was given, shortened, and what was probably meant.

use serde_json::Value;

/// The longest piece of a wrong value that a fault repeats.
const SHOWN_CHARACTERS: usize = 80;

/// How alike two names must be (Jaro-Winkler) for one to be suggested for the other.
const ALIKE: f64 = 0.82;

/// The known name that is most like `name`, if any is.
#[must_use]
pub fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = shorten(&name.to_lowercase(), SHOWN_CHARACTERS);
    let likeness =
        |candidate: &&str| strsim::jaro_winkler(&name, &shorten(&candidate.to_lowercase(), SHOWN_CHARACTERS));
    let scored = known.iter().map(|candidate| (likeness(candidate), *candidate));
    let (score, best) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score >= ALIKE).then_some(best)
}

/// A value as a fault repeats it: JSON text, at most 80 characters.
#[must_use]
pub fn shown(value: &Value) -> String {
    match value.as_str() {
        // A long text is cut before it is escaped: it may be megabytes.
        Some(text) => Value::from(shorten(text, SHOWN_CHARACTERS)).to_string(),
        None => shorten(&value.to_string(), SHOWN_CHARACTERS),
    }
}

/// At most `most` characters of a text; an ellipsis stands for the rest.
#[must_use]
pub fn shorten(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else { return text.to_owned() };
    let mut kept = text.get(..end).unwrap_or_default().to_owned();
    kept.push('…');
    kept
}

/// As many names as fit in `most` characters, at least one, and how many are left out.
#[must_use]
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>, most: usize) -> String {
    let mut text = String::new();
    let mut left = 0usize;
    for name in names {
        let name = shorten(name, SHOWN_CHARACTERS);
        if left > 0 || (!text.is_empty() && text.len() + name.len() + 2 > most) {
            left += 1;
            continue;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&name);
    }
    if left > 0 {
        text.push_str(&format!(" and {left} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(closest("efectiveDate", &["term", "effectiveDate"]), Some("effectiveDate"));
        assert_eq!(closest("colour", &["term", "effectiveDate"]), None);
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(shown(&json!("é".repeat(200))).chars().count(), 83);
        assert_eq!(listed(["a", "b", "c"], 4), "a, b and 1 more");
        assert_eq!(listed(["a", "b", "c"], 400), "a, b, c");
    }
}
