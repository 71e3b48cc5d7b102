//! The 25 people of the simulated company. They are a fixed table, not seeded, so that ids and e-mail addresses in notes,
//! tests and demos stay valid whatever seed the simulator was started with.

use serde_json::{Value, json};

use super::random::Random;

/// The user a simulator acts as unless told otherwise; also the approver of the "Mutual NDA" template.
pub(crate) const DEFAULT_EMAIL: &str = "maya.ortiz@simulator.example";

/// SCIM schema of a user (ironclad-api.md §11).
pub(crate) const USER_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// SCIM extension that holds the department.
pub(crate) const ENTERPRISE_SCHEMA: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// SCIM extension of Ironclad's own.
pub(crate) const IRONCLAD_SCHEMA: &str = "urn:ietf:params:scim:schemas:extension:ironclad:2.0:User";

/// Given name, family name, department, title; the order is the order of creation.
const TABLE: [(&str, &str, &str, &str); 25] = [
    ("Maya", "Ortiz", "Legal", "Director of Legal Operations"),
    ("Teodor", "Lindahl", "Executive", "Chief Operating Officer"),
    ("Imani", "Bakari", "Legal", "Senior Counsel"),
    ("Soren", "Vestergaard", "Finance", "Vice President, Finance"),
    ("Yusuf", "Demir", "Legal", "Privacy Counsel"),
    ("Hana", "Kobayashi", "Security", "Head of Security"),
    ("Rosalind", "Achebe", "Procurement", "Procurement Lead"),
    ("Anneke", "Devries", "Delivery", "Director of Delivery"),
    ("Lucien", "Marchetti", "Legal", "Contracts Manager"),
    ("Priya", "Raghunathan", "Sales", "Account Executive"),
    ("Caleb", "Whitlock", "Sales", "Account Executive"),
    ("Mei", "Tanaka-Ross", "Sales", "Sales Operations Analyst"),
    ("Oskar", "Nowicki", "Engineering", "Engineering Manager"),
    ("Delphine", "Aubry", "Marketing", "Campaign Manager"),
    ("Ravi", "Subramanian", "Engineering", "Platform Architect"),
    ("Fiona", "Gallagher", "People", "People Partner"),
    ("Mateus", "Carvalho", "Procurement", "Buyer"),
    ("Ingrid", "Solheim", "Finance", "Revenue Accountant"),
    ("Kwame", "Asante", "Delivery", "Programme Manager"),
    ("Zofia", "Zielinska", "Legal", "Paralegal"),
    ("Elias", "Haddad", "Security", "Security Analyst"),
    ("Noor", "Rahimi", "Sales", "Partnerships Manager"),
    ("Beatrix", "Thornbury", "Executive", "Chief of Staff"),
    ("Joaquin", "Delgado", "Marketing", "Events Producer"),
    ("Siobhan", "Keane", "Finance", "Treasury Analyst"),
];

/// One user of the simulated company.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// 24 lower-case hexadecimal digits; the `userId` of the Public API and the `id` of SCIM.
    pub(crate) id: String,
    /// Sign-in name and address, `@simulator.example`.
    pub(crate) email: String,
    /// Given name.
    pub(crate) given_name: String,
    /// Family name.
    pub(crate) family_name: String,
    /// Department, as in SCIM's enterprise extension.
    pub(crate) department: String,
    /// Job title.
    pub(crate) title: String,
    /// When the user was added, ISO 8601 UTC with milliseconds.
    pub(crate) created: String,
    /// When the user last changed, ISO 8601 UTC with milliseconds.
    pub(crate) last_modified: String,
}

/// All 25 people in order of creation; the first is the default acting user.
pub(crate) fn people() -> Vec<Person> {
    let mut random = Random::new(0x1C0_FFEE);
    TABLE.iter().enumerate().map(|(index, row)| person(index, row, &mut random)).collect()
}

fn person(index: usize, &(given, family, department, title): &(&str, &str, &str, &str), random: &mut Random) -> Person {
    let (month, day) = (index % 12 + 1, index % 27 + 1);
    Person {
        // A Mongo-style id opens with a creation time; counting it up keeps ids sortable by age.
        id: format!("{:08x}{}", 0x6411_a000 + index * 0x3_1f07, random.hex(16)),
        email: format!("{}.{}@simulator.example", given.to_lowercase(), family.to_lowercase()),
        given_name: given.to_owned(),
        family_name: family.to_owned(),
        department: department.to_owned(),
        title: title.to_owned(),
        created: format!("202{}-{month:02}-{day:02}T09:{:02}:00.000Z", 3 + index / 12, index * 2),
        last_modified: format!("2026-{month:02}-{day:02}T16:{:02}:30.000Z", 59 - index),
    }
}

impl Person {
    /// Given and family name with a space between.
    pub(crate) fn display_name(&self) -> String {
        format!("{} {}", self.given_name, self.family_name)
    }

    /// The user as SCIM shows it (ironclad-api.md §11); `base_url` is scheme, host and port.
    pub(crate) fn scim(&self, base_url: &str) -> Value {
        json!({
            "schemas": [USER_SCHEMA, ENTERPRISE_SCHEMA, IRONCLAD_SCHEMA],
            "userName": self.email,
            "name": { "givenName": self.given_name, "familyName": self.family_name },
            "title": self.title,
            "id": self.id,
            "emails": [{ "value": self.email, "type": "work", "primary": true }],
            "active": true,
            ENTERPRISE_SCHEMA: { "department": self.department },
            IRONCLAD_SCHEMA: {
                "departmentHead": department_head(&self.department),
                "provider": "saml",
                "allowProviderConversion": false,
            },
            "meta": {
                "resourceType": "User",
                "created": self.created,
                "lastModified": self.last_modified,
                "location": format!("{}/scim/v2/Users/{}", base_url.trim_end_matches('/'), self.id),
            },
        })
    }
}

/// The e-mail address of whoever joined the department first.
fn department_head(department: &str) -> String {
    TABLE
        .iter()
        .find(|row| row.2 == department)
        .map(|row| format!("{}.{}@simulator.example", row.0.to_lowercase(), row.1.to_lowercase()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_25_people_with_ids_and_addresses_of_their_own() {
        let everyone = people();
        assert_eq!(everyone.len(), 25);
        assert_eq!(everyone.iter().map(|p| &p.id).collect::<HashSet<_>>().len(), 25);
        assert_eq!(everyone.iter().map(|p| &p.email).collect::<HashSet<_>>().len(), 25);
        assert!(everyone.iter().all(|p| p.id.len() == 24 && p.id.bytes().all(|b| b.is_ascii_hexdigit())));
        assert!(everyone.iter().all(|p| p.email.ends_with("@simulator.example")));
    }

    #[test]
    fn the_first_person_is_the_default_acting_user() {
        let everyone = people();
        assert_eq!(everyone[0].email, DEFAULT_EMAIL);
        assert_eq!(everyone[0].display_name(), "Maya Ortiz");
    }

    #[test]
    fn the_table_is_the_same_on_every_call() {
        assert_eq!(
            people().iter().map(|p| p.id.clone()).collect::<Vec<_>>(),
            people().iter().map(|p| p.id.clone()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn dates_are_real_dates() {
        use time::format_description::well_known::Rfc3339;
        for person in people() {
            for text in [&person.created, &person.last_modified] {
                assert!(time::OffsetDateTime::parse(text, &Rfc3339).is_ok(), "{text}");
            }
            assert!(person.created < person.last_modified);
        }
    }

    #[test]
    fn scim_shows_the_head_of_the_department_and_a_location_on_the_given_host() {
        let user = people()[8].scim("http://127.0.0.1:9/");
        assert_eq!(user[IRONCLAD_SCHEMA]["departmentHead"], DEFAULT_EMAIL);
        assert_eq!(user["emails"][0]["value"], user["userName"]);
        let expected = format!("http://127.0.0.1:9/scim/v2/Users/{}", user["id"].as_str().unwrap());
        assert_eq!(user["meta"]["location"], expected);
    }
}
