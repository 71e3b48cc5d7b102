//! Invented counterparties, signers and places for the seed.

use serde_json::{Value, json};

/// Counterparties; each is an entity too.
pub(crate) const COMPANIES: &[&str] = &[
    "Acme Widgets LLC",
    "Bramblewick Foods Ltd",
    "Cobalt Ridge Mining",
    "Dovetail Joinery Co.",
    "Eastmoor Analytics",
    "Fennel & Rye Catering",
    "Greywater Logistics GmbH",
    "Hollis Marine Insurance",
    "Ironbark Timber Pty",
    "Juniper Cloud Hosting",
    "Kestrel Aerospace SAS",
    "Lanternfish Studios",
    "Marlowe Biotech Inc.",
    "Northlight Energy AS",
    "Osprey Print & Sign",
    "Pemberton Advisory LLP",
    "Quillfeather Press",
    "Ravenscar Security",
    "Saltmarsh Fisheries",
    "Thistledown Textiles",
    "Umber & Ochre Paints",
    "Vantage Rail Services",
    "Wychwood Robotics",
];

/// External signers.
pub(crate) const PEOPLE: &[&str] = &[
    "Astrid Holm",
    "Benedict Farrow",
    "Camille Roux",
    "Dmitri Volkov",
    "Esther Nakamura",
    "Felix Brandt",
    "Gwen Morris-Jones",
    "Hiroshi Endo",
    "Ines Cordeiro",
    "Jonah Abrams",
    "Katya Sorokina",
];

/// Where counterparties are.
pub(crate) const PLACES: &[Place] = &[
    Place(["14 Foundry Lane", "Sheffield", "South Yorkshire", "S1 2BX", "United Kingdom"]),
    Place(["2200 Larkspur Ave", "Portland", "Oregon", "97209", "USA"]),
    Place(["Speicherstrasse 8", "Hamburg", "Hamburg", "20457", "Germany"]),
    Place(["41 Rue des Tanneurs", "Lyon", "Rhone", "69001", "France"]),
    Place(["77 Harbour Street", "Wollongong", "New South Wales", "2500", "Australia"]),
    Place(["500 Commerce Blvd", "Austin", "Texas", "78701", "USA"]),
    Place(["Strandgata 12", "Bergen", "Vestland", "5004", "Norway"]),
];

/// Street, locality, region, postcode, country.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place([&'static str; 5]);

impl Place {
    /// The address object of the API.
    pub(crate) fn json(self) -> Value {
        let [line, locality, region, postcode, country] = self.0;
        json!({
            "lines": [line],
            "locality": locality,
            "region": region,
            "postcode": postcode,
            "country": country,
        })
    }
}
