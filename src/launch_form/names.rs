//! Makes a property name for every attribute id.
//!
//! An id that can be a property's name keeps it, whatever the other ids are; the rest get a slug, with a hash of the id
//! where the slug is cut or taken, so that a name stays the same while the form around it changes.

use std::collections::HashSet;

use crate::schema_profile::is_property_name;

/// Leaves room in 64 characters for a `_` before it, another behind it, and eight of the hash.
const SLUG: usize = 54;

/// A distinct property name for each id, in the same order.
pub(super) fn published<'a>(ids: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    if ids.clone().all(is_property_name) {
        return ids.map(str::to_owned).collect();
    }
    let mut taken: HashSet<String> = ids.clone().filter(|id| is_property_name(id)).map(str::to_owned).collect();
    ids.map(|id| if is_property_name(id) { id.to_owned() } else { name_for(id, &mut taken) }).collect()
}

fn name_for(id: &str, taken: &mut HashSet<String>) -> String {
    let slug = slug(id);
    if id.chars().count() <= SLUG && taken.insert(slug.clone()) {
        return slug;
    }
    let mut hash = fnv1a(id);
    loop {
        let name = format!("{slug}_{:08x}", hash & 0xffff_ffff);
        if taken.insert(name.clone()) {
            return name;
        }
        hash = hash.wrapping_add(1);
    }
}

fn slug(id: &str) -> String {
    let mut slug = String::new();
    for letter in id.chars() {
        if slug.len() >= SLUG {
            break;
        }
        let kept = if letter.is_ascii_alphanumeric() { letter } else { '_' };
        if kept != '_' || !slug.ends_with('_') {
            slug.push(kept);
        }
    }
    let slug = slug.trim_end_matches('_');
    match slug.chars().next() {
        None => "attribute".into(),
        Some(first) if first.is_ascii_digit() => format!("_{slug}"),
        Some(_) => slug.into(),
    }
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(ids: &[&str]) -> Vec<String> {
        published(ids.iter().copied())
    }

    #[test]
    fn only_an_id_that_cannot_be_a_name_gets_another() {
        assert_eq!(
            names(&["effectiveDate", "fee cap", "2ndParty", "名前", ""])[..4],
            ["effectiveDate", "fee_cap", "_2ndParty", "attribute"]
        );
    }

    #[test]
    fn a_sound_id_never_loses_its_name_to_a_slug() {
        let names = names(&["fee cap", "fee_cap", "fee-cap"]);
        assert_eq!(names[1], "fee_cap");
        assert_ne!(names[0], names[2]);
        assert!(names[0].starts_with("fee_cap_"));
    }

    proptest! {
        #[test]
        fn names_are_distinct_and_within_the_profile(ids in proptest::collection::hash_set(any::<String>(), 0..20)) {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let names = names(&ids);
            prop_assert!(names.iter().all(|name| is_property_name(name)), "{:?}", names);
            prop_assert_eq!(names.iter().collect::<HashSet<_>>().len(), ids.len());
        }
    }
}
