//! Decides where this program may connect to (pure: names and addresses in, a verdict out).
//!
//! The Ironclad host is allowed, the issuer of callers' tokens where there is one, and what the operator lists. A name is
//! looked up before it is connected to, and what comes out is held against the same list: a public name that leads into a
//! private network is how a server is made to reach what only it can reach. Whoever lists a host by its whole name means
//! it, wherever it leads; a wildcard, or being named by another setting, is no word about private addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{fmt, str::FromStr};

use ipnet::IpNet;

/// What is done about a destination that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It is refused.
    #[default]
    Enforce,
    /// It is let through, logged and recorded.
    Warn,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "warn" => Ok(Self::Warn),
            _ => Err(format!("{text:?} is not known; give enforce or warn")),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
        })
    }
}

/// A destination that the operator lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// This host, wherever its name leads.
    Host(String),
    /// The hosts one level below this one, at public addresses.
    Below(String),
    /// Any host in this network.
    Net(IpNet),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Self::Net(net.trunc()));
        }
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(Self::Net(IpNet::from(address)));
        }
        let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        // The URL's own rules, so that a name is spelled here as it will be there.
        let host = url::Host::parse(name).ok().map(|host| host.to_string());
        match host {
            Some(host) if !name.contains(['*', '/', '@', ':']) && (!below || host.contains('.')) => {
                let host = host.trim_end_matches('.').to_owned();
                Ok(if below { Self::Below(host) } else { Self::Host(host) })
            }
            _ => Err(format!(
                "{text:?} is no destination; give a host, *.example.com for one level, or a network such as 10.1.0.0/16"
            )),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => f.write_str(host),
            Self::Below(host) => write!(f, "*.{host}"),
            Self::Net(net) => write!(f, "{net}"),
        }
    }
}

/// The rule that lets the Ironclad host through.
pub const OWN_HOST: &str = "base_url";

/// The rule that lets the issuer of callers' tokens through.
pub const ISSUER: &str = "oauth_issuer";

/// The rule that lets the host of the issuer's keys through.
pub const ISSUER_KEYS: &str = "oauth_jwks_url";

/// What the operator says of destinations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `--egress-mode`
    pub mode: Mode,
    /// `--egress-allow`
    pub allow: Vec<Place>,
}

/// The rules of one Ironclad account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    settings: Settings,
    /// The hosts that other settings name, and which.
    named: Vec<(String, &'static str)>,
}

/// Why a destination is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Barred {
    /// The host, as the URL has it.
    pub host: String,
    /// What its name leads to, where that is the trouble.
    pub address: Option<(IpAddr, &'static str)>,
}

impl fmt::Display for Barred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            None => write!(f, "{} is not among the hosts that this server may connect to", self.host),
            Some((address, kind)) => write!(f, "{} leads to {address}, which is a {kind} address", self.host),
        }
    }
}

impl Barred {
    /// How the operator allows it.
    #[must_use]
    pub fn hint(&self) -> String {
        let more = match &self.address {
            Some((address, _)) if self.host.parse::<IpAddr>().is_err() => format!(", or {}", IpNet::from(*address)),
            _ => String::new(),
        };
        format!(
            "nothing was sent there; if it is meant, the operator can list {}{more} in --egress-allow \
             (IRONCLAD_EGRESS_ALLOW)",
            self.host
        )
    }
}

/// How a name stands before its addresses are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is listed.
    Listed {
        /// The rule that lists it.
        rule: String,
        /// Which addresses that are not public it may lead to.
        private: Private,
    },
    /// It is not, but a network may hold its addresses.
    Open,
}

/// Which addresses that are not public a name may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Private {
    /// Any.
    Any,
    /// This machine's own.
    Loopback,
    /// None.
    None,
}

impl Rules {
    /// The rules for an Ironclad host (a name or an address, without a port).
    #[must_use]
    pub fn new(settings: Settings, own: &str) -> Self {
        Self { settings, named: vec![(bare(own), OWN_HOST)] }
    }

    /// The same, with a host that another setting names.
    #[must_use]
    pub fn and(mut self, host: &str, rule: &'static str) -> Self {
        self.named.push((bare(host), rule));
        self
    }

    /// What the operator says.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How the host of a URL stands.
    ///
    /// # Errors
    /// It is not allowed, whatever its addresses are.
    pub fn host(&self, host: &str) -> Result<Standing, Barred> {
        let host = bare(host);
        let address = host.parse::<IpAddr>().ok();
        let listed = |place: &&Place| match place {
            Place::Host(known) => *known == host,
            Place::Below(above) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == above),
            Place::Net(net) => address.is_some_and(|address| holds(*net, address)),
        };
        // A whole name first: it says more than a wildcard, or than being the Ironclad host.
        let exact = self.settings.allow.iter().filter(listed).find(|place| !matches!(place, Place::Below(_)));
        if let Some(place) = exact {
            return Ok(Standing::Listed { rule: format!("egress_allow={place}"), private: Private::Any });
        }
        if let Some((_, rule)) = self.named.iter().find(|(named, _)| *named == host) {
            let is_here = host == "localhost" || host.ends_with(".localhost");
            let private = match (address, is_here) {
                (Some(_), _) => Private::Any,
                (None, true) => Private::Loopback,
                (None, false) => Private::None,
            };
            return Ok(Standing::Listed { rule: (*rule).into(), private });
        }
        if let Some(place) = self.settings.allow.iter().find(listed) {
            return Ok(Standing::Listed { rule: format!("egress_allow={place}"), private: Private::None });
        }
        let may_be_in_a_net =
            address.is_none() && self.settings.allow.iter().any(|place| matches!(place, Place::Net(_)));
        if may_be_in_a_net { Ok(Standing::Open) } else { Err(Barred { host, address: None }) }
    }

    /// By which rule a host that stands so may be reached where its addresses cannot be known.
    ///
    /// # Errors
    /// It may not.
    pub fn name(&self, host: &str, standing: Standing) -> Result<String, Barred> {
        match standing {
            Standing::Listed { rule, .. } => Ok(rule),
            Standing::Open => Err(Barred { host: bare(host), address: None }),
        }
    }

    /// Whether a host that stands so may be reached at an address, and by which rule.
    ///
    /// # Errors
    /// It may not.
    pub fn address(&self, host: &str, standing: &Standing, address: IpAddr) -> Result<String, Barred> {
        let net = self.settings.allow.iter().find(|place| matches!(place, Place::Net(net) if holds(*net, address)));
        if let Some(net) = net {
            return Ok(format!("egress_allow={net}"));
        }
        let Standing::Listed { rule, private } = standing else {
            return Err(Barred { host: bare(host), address: None });
        };
        match (special(address), private) {
            (None, _) | (_, Private::Any) => Ok(rule.clone()),
            (Some(LOOPBACK), Private::Loopback) => Ok(rule.clone()),
            (Some(kind), _) => Err(Barred { host: bare(host), address: Some((address, kind)) }),
        }
    }
}

/// A host without the brackets of an IPv6 address and the dot at a name's end, in small letters.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a network holds an address, in either of the forms that an IPv4 address has.
fn holds(net: IpNet, address: IpAddr) -> bool {
    net.contains(&address) || net.contains(&address.to_canonical())
}

const LOOPBACK: &str = "loopback";

/// What an address is, if it is not one of the public internet (IANA's special-purpose registries, RFC 6890).
#[must_use]
pub fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("\"this network\""),
        [127, ..] => Some(LOOPBACK),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("private"),
        [100, 64..=127, ..] => Some("carrier's private"),
        [169, 254, ..] => Some("link-local"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("documentation"),
        [198, 18 | 19, ..] => Some("benchmarking"),
        [192, 0, 0, _] | [192, 88, 99, _] | [240..=255, ..] => Some("reserved"),
        [224..=239, ..] => Some("multicast"),
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let within = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        special_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(LOOPBACK),
        // An IPv4 address in one of its disguises: mapped, compatible, by NAT64, by 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            within(high, low)
        }
        [0, 0, 0, 0, 0, 0, high, low] => within(high, low).or(Some("reserved")),
        [0x64, 0xff9b, 1, ..] | [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Some("private"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Some("documentation"),
        // Teredo, benchmarking, ORCHID and their like.
        [0x2001, 0..=0x01ff, ..] => Some("reserved"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(own: &str, allow: &[&str]) -> Rules {
        let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
        Rules::new(Settings { mode: Mode::Enforce, allow }, own)
    }

    /// The rule that lets a host at an address through, or why not.
    fn passes(rules: &Rules, host: &str, address: &str) -> Result<String, String> {
        let standing = rules.host(host).map_err(|barred| barred.to_string())?;
        rules.address(host, &standing, address.parse().unwrap()).map_err(|barred| barred.to_string())
    }

    const OWN: &str = "na1.ironcladapp.com";

    #[test]
    fn a_destination_passes_by_its_name_and_its_address() {
        let public = "8.8.8.8";
        let private = "10.1.2.3";
        let allow = ["files.example.com", "*.storage.example", "10.9.0.0/16", "9.9.9.9"];
        let table = [
            (OWN, public, Ok("base_url")),
            ("NA1.IroncladApp.com.", public, Ok("base_url")),
            (OWN, private, Err("leads to 10.1.2.3, which is a private address")),
            (OWN, "127.0.0.1", Err("loopback")),
            (OWN, "10.9.1.1", Ok("egress_allow=10.9.0.0/16")),
            ("eu1.ironcladapp.com", public, Err("not among")),
            ("files.example.com", public, Ok("egress_allow=files.example.com")),
            ("files.example.com", private, Ok("egress_allow=files.example.com")),
            ("a.files.example.com", public, Err("not among")),
            ("evil-files.example.com", public, Err("not among")),
            ("a.storage.example", public, Ok("egress_allow=*.storage.example")),
            ("a.storage.example", private, Err("private")),
            ("a.storage.example", "169.254.169.254", Err("link-local")),
            ("b.a.storage.example", public, Err("not among")),
            ("storage.example", public, Err("not among")),
            (".storage.example", public, Err("not among")),
            ("anything.example", "10.9.0.1", Ok("egress_allow=10.9.0.0/16")),
            ("anything.example", "::ffff:10.9.0.1", Ok("egress_allow=10.9.0.0/16")),
            ("anything.example", "10.8.0.1", Err("not among")),
            ("10.9.0.1", "10.9.0.1", Ok("egress_allow=10.9.0.0/16")),
            ("9.9.9.9", "9.9.9.9", Ok("egress_allow=9.9.9.9/32")),
            ("8.8.8.8", public, Err("not among")),
            ("127.0.0.1", "127.0.0.1", Err("not among")),
        ];
        let rules = rules(OWN, &allow);
        for (host, address, expected) in table {
            let found = passes(&rules, host, address);
            match expected {
                Ok(rule) => assert_eq!(found.as_deref(), Ok(rule), "{host} at {address}"),
                Err(why) => {
                    assert!(found.as_ref().is_err_and(|told| told.contains(why)), "{host} at {address}: {found:?}")
                }
            }
        }
    }

    #[test]
    fn the_ironclad_host_may_be_listed_to_lead_anywhere() {
        assert!(passes(&rules(OWN, &[]), OWN, "10.0.0.1").is_err());
        assert_eq!(passes(&rules(OWN, &[OWN]), OWN, "10.0.0.1").unwrap(), format!("egress_allow={OWN}"));
    }

    #[test]
    fn an_ironclad_host_on_this_machine_is_allowed_by_being_it() {
        assert!(passes(&rules("localhost", &[]), "localhost", "127.0.0.1").is_ok());
        assert!(passes(&rules("localhost", &[]), "localhost", "::1").is_ok());
        assert!(passes(&rules("localhost", &[]), "localhost", "10.0.0.1").is_err());
        assert!(passes(&rules("127.0.0.1", &[]), "127.0.0.1", "127.0.0.1").is_ok());
        assert!(passes(&rules("[::1]", &[]), "[::1]", "::1").is_ok());
        assert!(passes(&rules("127.0.0.1", &[]), "127.0.0.2", "127.0.0.2").is_err());
    }

    #[test]
    fn a_host_that_another_setting_names_stands_like_the_own_one() {
        let rules = rules(OWN, &["10.9.0.0/16"]).and("Login.Example.com", ISSUER).and("[::1]", ISSUER_KEYS);
        assert_eq!(passes(&rules, "login.example.com", "8.8.8.8").unwrap(), ISSUER);
        assert_eq!(passes(&rules, "[::1]", "::1").unwrap(), ISSUER_KEYS);
        assert_eq!(passes(&rules, OWN, "8.8.8.8").unwrap(), OWN_HOST);
        assert!(passes(&rules, "login.example.com", "10.1.2.3").is_err(), "it is no word about private addresses");
        assert_eq!(passes(&rules, "login.example.com", "10.9.2.3").unwrap(), "egress_allow=10.9.0.0/16");
        assert!(passes(&rules, "keys.example.com", "8.8.8.8").is_err());
    }

    #[test]
    fn every_special_range_is_known_in_every_disguise() {
        let special_ones = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ];
        for text in special_ones {
            let address: Ipv4Addr = text.parse().unwrap();
            assert!(special(address.into()).is_some(), "{text}");
            let [a, b, c, d] = address.octets();
            let disguises = [
                address.to_ipv6_mapped().to_string(),
                format!("64:ff9b::{text}"),
                format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"),
                format!("::{text}"),
            ];
            for disguise in disguises {
                assert!(special(disguise.parse().unwrap()).is_some(), "{disguise}");
            }
        }
    }

    #[test]
    fn every_special_range_of_the_newer_addresses_is_known_and_no_other() {
        let special_ones = [
            "::",
            "::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "3fff::1",
            "2001::1",
            "2001:10::1",
            "2001:2::1",
            "100::1",
            "64:ff9b:1::1",
            "5f00::1",
            "4000::1",
            "::9.9.9.9",
        ];
        for text in special_ones {
            assert!(special(text.parse().unwrap()).is_some(), "{text}");
        }
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:0808:0808::1",
        ];
        for text in public {
            assert_eq!(special(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn a_place_is_a_host_a_level_or_a_network() {
        let table = [
            ("Files.Example.com", Some("files.example.com")),
            (" files.example.com. ", Some("files.example.com")),
            ("*.example.com", Some("*.example.com")),
            ("10.1.2.3/16", Some("10.1.0.0/16")),
            ("fd00::/8", Some("fd00::/8")),
            ("[::1]", Some("::1/128")),
            ("127.0.0.1", Some("127.0.0.1/32")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("*", None),
            ("*.com", None),
            ("a.*.example.com", None),
            ("https://example.com", None),
            ("example.com:443", None),
            ("example.com/path", None),
            ("a@b", None),
            ("", None),
            ("10.0.0.0/33", None),
        ];
        for (text, expected) in table {
            let found = text.parse::<Place>().ok().map(|place| place.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_barred_says_how_to_allow_it() {
        let barred = rules(OWN, &[]).host("files.example.com").unwrap_err();
        assert!(barred.hint().contains("list files.example.com in --egress-allow"), "{}", barred.hint());
        let rules = rules(OWN, &[]);
        let inside = rules.address(OWN, &rules.host(OWN).unwrap(), "10.0.0.5".parse().unwrap()).unwrap_err();
        assert!(inside.hint().contains("list na1.ironcladapp.com, or 10.0.0.5/32 in"), "{}", inside.hint());
    }

    proptest! {
        #[test]
        fn what_is_listed_nowhere_passes_nowhere(host in "[a-z]{1,8}(\\.[a-z]{1,8}){0,3}", address in any::<u32>()) {
            let rules = rules(OWN, &["files.example.com", "*.storage.example"]);
            prop_assume!(host != OWN && host != "files.example.com" && !host.ends_with("storage.example"));
            prop_assert!(passes(&rules, &host, &Ipv4Addr::from(address).to_string()).is_err());
        }
    }
}
