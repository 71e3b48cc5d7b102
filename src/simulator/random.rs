//! Numbers and ids that repeat from a seed. Splitmix64 rather than a crate: the simulator needs the same sequence for ever,
//! and no dependency promises that across versions.

/// Alphabet of a nanoid; the order is arbitrary, the 64 members are not.
const NANOID: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/// A splitmix64 generator.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// Starts the sequence that belongs to `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        // The slight bias of the remainder is invisible at the bounds used here.
        self.next_u64() % bound
    }

    /// One element of `from`, or `None` when there is none.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(from.len() as u64)).ok()?;
        from.get(index)
    }

    /// Whether an event of the given probability (0 to 1) happens this time.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        // 53 bits are all a double can hold exactly.
        let drawn = (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        drawn < probability
    }

    /// `length` lower-case hexadecimal digits.
    pub(crate) fn hex(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length + 16);
        while text.len() < length {
            text.push_str(&format!("{:016x}", self.next_u64()));
        }
        text.truncate(length);
        text
    }

    /// A version 4 UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let high = (self.next_u64() & 0xFFFF_FFFF_FFFF_0FFF) | 0x4000;
        let low = (self.next_u64() & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xFFFF,
            high & 0xFFFF,
            low >> 48,
            low & 0xFFFF_FFFF_FFFF
        )
    }

    /// A 21-character nanoid, the form of document keys (ironclad-api.md §0).
    pub(crate) fn nanoid(&mut self) -> String {
        (0..21).filter_map(|_| self.pick(NANOID).map(|&byte| char::from(byte))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_splitmix64() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn two_generators_of_one_seed_agree_and_of_two_seeds_do_not() {
        let draw = |seed| (0..20).map(|_| 0).scan(Random::new(seed), |r, _: i32| Some(r.uuid())).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn below_stays_below_and_survives_zero() {
        let mut random = Random::new(1);
        assert!((0..1000).all(|_| random.below(7) < 7));
        assert_eq!(random.below(0), 0);
        assert_eq!(random.pick::<u8>(&[]), None);
    }

    #[test]
    fn chance_keeps_its_extremes_and_its_average() {
        let mut random = Random::new(3);
        assert!((0..500).all(|_| random.chance(1.0)));
        assert!((0..500).all(|_| !random.chance(0.0)));
        let hits = (0..10_000).filter(|_| random.chance(0.25)).count();
        assert!((2300..2700).contains(&hits), "{hits}");
    }

    #[test]
    fn ids_have_the_vendor_shapes() {
        let mut random = Random::new(9);
        let hex = random.hex(24);
        assert!(hex.len() == 24 && hex.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
        let uuid = random.uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&uuid.as_bytes()[19]));
        assert_eq!(random.nanoid().len(), 21);
        assert_eq!(random.hex(0), "");
        assert_eq!(random.hex(33).len(), 33);
    }
}
