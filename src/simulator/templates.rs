//! The contract templates people can launch. `backstage` is what the vendor keeps to itself: who approves, who signs and
//! when a `conditional` question must be answered; no reply to a client may show it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A published design: its launch form as `GET /workflow-schemas` shows it, and what lies behind it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Template {
    /// 24 lower-case hexadecimal digits; changes when the design is republished (ironclad-api.md §0).
    pub(crate) id: String,
    /// Name people see.
    pub(crate) name: String,
    /// Attribute id to schema node (ironclad-api.md §8.5).
    pub(crate) schema: Map<String, Value>,
    /// What clients never see.
    pub(crate) backstage: Backstage,
}

/// The hidden half of a template.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Backstage {
    /// Key of the record type that completed workflows become.
    pub(crate) record_type: String,
    /// Who may launch.
    #[serde(default)]
    pub(crate) launchers: Launchers,
    /// Attribute that holds a counterparty's own draft, if the template takes one.
    #[serde(default)]
    pub(crate) paper: Option<String>,
    /// Approvers in groups; a group becomes active when the one before it is approved.
    #[serde(default)]
    pub(crate) approval_groups: Vec<Vec<Approver>>,
    /// Role id to the amount that brings the approver in; an approver without a trigger is always asked.
    #[serde(default)]
    pub(crate) triggers: BTreeMap<String, Trigger>,
    /// Who signs, in order; a template without signers skips the Sign step.
    #[serde(default)]
    pub(crate) signers: Vec<Signer>,
    /// What makes a `conditional` attribute required.
    #[serde(default)]
    pub(crate) conditions: BTreeMap<String, Condition>,
    /// Attribute id to the record property it feeds.
    #[serde(default)]
    pub(crate) property_keys: BTreeMap<String, String>,
    /// Computed attributes: id to display name; nobody can set them.
    #[serde(default)]
    pub(crate) formulas: BTreeMap<String, String>,
}

/// Who may launch a template.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Launchers {
    /// Only the users with these e-mail addresses.
    Only(Vec<String>),
    /// The word `everyone`.
    Open(Everyone),
}

/// The word that opens a template to all users.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Everyone {
    /// Its only value.
    #[default]
    Everyone,
}

/// One approver of a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Approver {
    /// `approver` and 32 hexadecimal digits; also an attribute id when the launcher may choose the person.
    pub(crate) role_id: String,
    /// Name of the role.
    pub(crate) display_name: String,
    /// E-mail address of whoever holds the role unless the launcher chose someone.
    pub(crate) assignee_email: String,
}

/// The amount at which an approver is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Trigger {
    /// A `number` or `monetaryAmount` attribute.
    pub(crate) attribute: String,
    /// Smallest amount that asks the approver, in the attribute's own currency.
    pub(crate) at_least: f64,
}

/// One signer role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Signer {
    /// Name of the role, as in `/sign-status/signers/{signerRoleName}`.
    pub(crate) role_name: String,
    /// Whose side the signer is on.
    #[serde(rename = "type")]
    pub(crate) side: SignerSide,
    /// Address of an internal signer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_email: Option<String>,
    /// Attribute with the name of an external signer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name_attribute: Option<String>,
    /// Attribute with the e-mail address of an external signer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email_attribute: Option<String>,
}

/// Whose side a signer is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SignerSide {
    /// A user of the company.
    Internal,
    /// Someone of the counterparty.
    External,
}

/// The answer that makes another question required.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// Attribute looked at.
    pub(crate) when: String,
    /// Value that makes the question required.
    pub(crate) equals: Value,
}

impl Default for Launchers {
    fn default() -> Self {
        Self::Open(Everyone::Everyone)
    }
}

impl Backstage {
    /// Whether the user with this address may launch; addresses compare without case.
    pub(crate) fn may_launch(&self, email: &str) -> bool {
        match &self.launchers {
            Launchers::Only(emails) => emails.iter().any(|one| one.eq_ignore_ascii_case(email)),
            Launchers::Open(Everyone::Everyone) => true,
        }
    }

    /// The groups of approvers these attributes call for; groups left empty are gone (ironclad-api.md §8.7).
    pub(crate) fn triggered_groups(&self, attributes: &Map<String, Value>) -> Vec<Vec<Approver>> {
        let asked = |approver: &&Approver| match self.triggers.get(&approver.role_id) {
            Some(trigger) => trigger.is_reached(attributes),
            None => true,
        };
        let groups = self.approval_groups.iter().map(|group| group.iter().filter(asked).cloned().collect::<Vec<_>>());
        groups.filter(|group| !group.is_empty()).collect()
    }
}

impl Trigger {
    fn is_reached(&self, attributes: &Map<String, Value>) -> bool {
        let Some(value) = attributes.get(&self.attribute) else { return false };
        let amount = value.get("amount").unwrap_or(value);
        let number = amount.as_f64().or_else(|| amount.as_str()?.trim().parse().ok());
        number.is_some_and(|number| number >= self.at_least)
    }
}

impl Condition {
    /// Whether the attributes hold the answer that makes the question required.
    pub(crate) fn holds(&self, attributes: &Map<String, Value>) -> bool {
        attributes.get(&self.when) == Some(&self.equals)
    }
}

/// The six templates a fresh simulator starts with.
pub(crate) fn templates() -> Vec<Template> {
    serde_json::from_str(include_str!("templates.json")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::simulator::people::{DEFAULT_EMAIL, people};

    fn named(name: &str) -> Template {
        templates().into_iter().find(|template| template.name == name).unwrap()
    }

    #[test]
    fn the_six_templates_are_readable_and_have_ids_of_their_own() {
        let names: Vec<_> = templates().into_iter().map(|template| template.name).collect();
        let expected = [
            "Mutual NDA",
            "Master Services Agreement",
            "Statement of Work",
            "Vendor Onboarding",
            "Data Processing Addendum",
            "Order Form",
        ];
        assert_eq!(names, expected);
        assert_eq!(templates().iter().map(|t| t.id.clone()).collect::<BTreeSet<_>>().len(), 6);
        assert!(templates().iter().all(|t| t.id.len() == 24 && t.id.bytes().all(|b| b.is_ascii_hexdigit())));
    }

    #[test]
    fn together_they_show_every_attribute_type() {
        let mut seen = BTreeSet::new();
        for template in templates() {
            for (id, node) in &template.schema {
                let kind = node["type"].as_str().unwrap();
                match kind {
                    "array" => seen.insert(format!("array of {}", node["elementType"]["type"].as_str().unwrap())),
                    _ if id.starts_with("approver") => seen.insert("user role".to_owned()),
                    _ => seen.insert(kind.to_owned()),
                };
            }
        }
        for kind in [
            "string",
            "boolean",
            "number",
            "date",
            "email",
            "monetaryAmount",
            "duration",
            "address",
            "document",
            "array of document",
            "array of string",
            "array of object",
            "user role",
            "linkedRecord",
            "parentRecord",
            "childRecord",
            "entity_reference",
        ] {
            assert!(seen.contains(kind), "{kind}");
        }
        assert!(templates().iter().any(|t| t.schema.contains_key("recordType")));
        assert!(templates().iter().any(|t| t.schema.contains_key("paperSource")));
        assert!(templates().iter().any(|t| !t.backstage.formulas.is_empty()));
    }

    #[test]
    fn backstage_names_only_things_that_exist() {
        let users: BTreeSet<_> = people().into_iter().map(|person| person.email).collect();
        for template in templates() {
            let (schema, backstage) = (&template.schema, &template.backstage);
            let known = |id: &str| schema.contains_key(id) || backstage.formulas.contains_key(id);
            assert!(known("counterpartyName"));
            assert!(backstage.paper.iter().all(|id| known(id)));
            assert!(backstage.property_keys.keys().all(|id| known(id)));
            for (id, condition) in &backstage.conditions {
                assert_eq!(schema[id]["required"], "conditional");
                assert!(known(&condition.when));
            }
            let conditional = schema.iter().filter(|(_, node)| node["required"] == "conditional");
            assert!(conditional.into_iter().all(|(id, _)| backstage.conditions.contains_key(id)), "{}", template.name);
            assert!(backstage.approval_groups.iter().flatten().all(|one| users.contains(&one.assignee_email)));
            assert!(backstage.triggers.values().all(|trigger| known(&trigger.attribute)));
            for signer in &backstage.signers {
                assert!(signer.user_email.iter().all(|email| users.contains(email)));
                assert!(signer.name_attribute.iter().chain(&signer.email_attribute).all(|id| known(id)));
                assert_eq!(signer.side == SignerSide::Internal, signer.user_email.is_some());
            }
        }
    }

    #[test]
    fn the_default_acting_user_alone_approves_a_mutual_nda() {
        let nda = named("Mutual NDA");
        assert_eq!(nda.id, "5f0375c4cdc1927c5c4ed001");
        let groups = nda.backstage.triggered_groups(&Map::new());
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].len(), 1);
        assert_eq!(groups[0][0].assignee_email, DEFAULT_EMAIL);
        assert_eq!(nda.backstage.signers.len(), 2);
    }

    #[test]
    fn an_amount_brings_in_the_finance_approver() {
        let msa = named("Master Services Agreement").backstage;
        let worth = |amount: Value| json!({ "contractValue": { "currency": "USD", "amount": amount } });
        let groups = |amount: Value| msa.triggered_groups(worth(amount).as_object().unwrap()).len();
        assert_eq!(groups(json!(99_999.99)), 1);
        assert_eq!(groups(json!(100_000)), 2);
        assert_eq!(groups(json!("250000")), 2);
        assert_eq!(msa.triggered_groups(&Map::new()).len(), 1);
    }

    #[test]
    fn order_forms_are_for_legal_alone() {
        let order = named("Order Form").backstage;
        assert!(order.may_launch("Maya.Ortiz@simulator.example"));
        assert!(!order.may_launch("caleb.whitlock@simulator.example"));
        assert!(named("Mutual NDA").backstage.may_launch("caleb.whitlock@simulator.example"));
    }

    #[test]
    fn a_template_survives_a_round_trip_and_a_bare_backstage_is_enough() {
        for template in templates() {
            let text = serde_json::to_value(&template).unwrap();
            let again: Template = serde_json::from_value(text.clone()).unwrap();
            assert_eq!(serde_json::to_value(&again).unwrap(), text);
        }
        let bare = json!({ "id": "a", "name": "b", "schema": {}, "backstage": { "record_type": "imported" } });
        let bare: Template = serde_json::from_value(bare).unwrap();
        assert!(bare.backstage.may_launch("anyone@simulator.example"));
    }
}
