//! One of the vendor's OpenAPI documents, read for checking: requests against its operations.
//!
//! Slips of the document that no honest request could pass (ironclad-api.md §15a) are mended by name after reading, so
//! that everything else holds strictly.

use ironclad_mcp::{manifest::Api, request::Request};
use serde_json::{Value, json};

/// JSON pointers to what is taken out of the public document, each a slip.
const SLIPS: [&str; 5] = [
    // Members are closed beside a oneOf that alone names them, so that no creator at all would pass.
    "/components/schemas/CreatorModel/additionalProperties",
    "/components/schemas/EditRenewalContractAction/properties/properties/additionalProperties",
    // Any JSON that fits the attribute's type is sent, not only text.
    "/paths/~1workflows~1{id}~1attributes/patch/requestBody/content/application~1json/schema/properties/updates/items/properties/value/type",
    // A member is required that is not defined.
    "/paths/~1workflows~1{id}~1revert-to-review/patch/requestBody/content/application~1json/schema/required",
    // Both branches have only optional members, so that every creator would pass both.
    "/components/schemas/CreatorModel/oneOf",
];

/// A document and the root of the paths in it.
pub(super) struct Document {
    root: Value,
    api: Api,
}

/// One operation of a document.
pub(super) struct Operation<'a> {
    document: &'a Document,
    node: &'a Value,
}

impl Document {
    pub(super) fn public(text: &str) -> Self {
        let mut document = Self::read(text, Api::Public);
        for slip in SLIPS {
            let (parent, member) = slip.rsplit_once('/').unwrap();
            let parent = document.root.pointer_mut(parent).and_then(Value::as_object_mut);
            assert!(parent.and_then(|node| node.remove(member)).is_some(), "the slip {slip} is gone; so may its entry");
        }
        document
    }

    pub(super) fn scim(text: &str) -> Self {
        Self::read(text, Api::Scim)
    }

    fn read(text: &str, api: Api) -> Self {
        let root: Value = serde_yaml_ng::from_str(text).unwrap();
        for server in root["servers"].as_array().unwrap() {
            assert!(server["url"].as_str().unwrap().ends_with(api.root()), "{server}");
        }
        Self { root, api }
    }

    /// Follows references.
    fn resolved<'a>(&'a self, node: &'a Value) -> &'a Value {
        match node["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.resolved(self.root.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}"))),
            None => node,
        }
    }

    /// The operation that a request is one of; a literal path wins over one with a placeholder.
    pub(super) fn operation(&self, request: &Request) -> Option<Operation<'_>> {
        let path = request.path.strip_prefix(self.api.root())?;
        let templates = self.root["paths"].as_object()?.iter().filter(|(template, _)| fits(template, path));
        let (_, item) = templates.min_by_key(|(template, _)| template.matches('{').count())?;
        let node = item.get(request.method.as_str().to_lowercase())?;
        Some(Operation { document: self, node })
    }

    /// Everything about a request that the document does not allow.
    pub(super) fn faults(&self, request: &Request) -> Vec<String> {
        let Some(operation) = self.operation(request) else {
            return vec![format!("there is no {} {}", request.method.as_str(), request.path)];
        };
        let mut faults = operation.query_faults(&request.query);
        match (&request.body, operation.body()) {
            (Some(body), Some(schema)) => faults.extend(self.schema_faults(schema, body)),
            (Some(_), None) => faults.push("the operation takes no JSON body".into()),
            (None, _) if operation.needs_body() => faults.push("the operation needs a body".into()),
            (None, _) => {}
        }
        faults
    }

    fn schema_faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        let whole = json!({"allOf": [schema], "components": {"schemas": self.root["components"]["schemas"]}});
        let validator = jsonschema::draft202012::new(&whole).unwrap();
        validator.iter_errors(value).map(|error| format!("{error} at {}", error.instance_path())).collect()
    }

    /// The named members of a schema node, those of all its parts included.
    pub(super) fn members<'a>(&'a self, node: &'a Value) -> Vec<(String, &'a Value)> {
        let node = self.resolved(node);
        let own = node["properties"].as_object().into_iter().flatten();
        let mut members: Vec<(String, &Value)> = own.map(|(name, node)| (name.clone(), node)).collect();
        for parts in ["allOf", "oneOf", "anyOf"].map(|parts| node[parts].as_array()).into_iter().flatten() {
            members.extend(parts.iter().flat_map(|part| self.members(part)));
        }
        members
    }

    /// Members and enum values of the vendor's `theirs` that our schema has not, where ours names members at all.
    pub(super) fn missing_from(&self, theirs: &Value, ours: &Value, at: &str) -> Vec<String> {
        let theirs = self.resolved(theirs);
        let mut missing = Vec::new();
        if let (Some(theirs), Some(ours)) = (theirs["enum"].as_array(), ours["enum"].as_array()) {
            missing.extend(theirs.iter().filter(|value| !ours.contains(value)).map(|value| format!("{at}: {value}")));
            missing.extend(
                ours.iter().filter(|value| !theirs.contains(value)).map(|value| format!("{at}: {value} is ours")),
            );
        }
        if let (false, Some(ours)) = (theirs["items"].is_null(), ours.get("items")) {
            missing.extend(self.missing_from(&theirs["items"], ours, &format!("{at}[]")));
        }
        if let Some(ours) = ours["properties"].as_object() {
            for (name, node) in self.members(theirs) {
                let at = format!("{at}.{name}");
                match ours.get(&name) {
                    Some(ours) => missing.extend(self.missing_from(node, ours, &at)),
                    None => missing.push(at),
                }
            }
        }
        missing
    }
}

impl<'a> Operation<'a> {
    /// The query parameters.
    pub(super) fn query(&self) -> impl Iterator<Item = &'a Value> {
        let document = self.document;
        let all = self.node["parameters"].as_array().into_iter().flatten();
        all.map(move |node| document.resolved(node)).filter(|node| node["in"] == "query")
    }

    fn request_body(&self) -> &'a Value {
        self.document.resolved(&self.node["requestBody"])
    }

    /// The schema of the JSON body.
    pub(super) fn body(&self) -> Option<&'a Value> {
        self.request_body().pointer("/content/application~1json/schema")
    }

    fn needs_body(&self) -> bool {
        self.request_body()["required"] == true
    }

    fn query_faults(&self, query: &[(String, String)]) -> Vec<String> {
        let mut faults = Vec::new();
        for (at, (name, text)) in query.iter().enumerate() {
            if query.iter().take(at).any(|(earlier, _)| earlier == name) {
                faults.push(format!("{name} is given twice"));
            }
            match self.query().find(|parameter| parameter["name"] == **name) {
                Some(parameter) => {
                    let value = query_value(&parameter["schema"], text);
                    let wrong = self.document.schema_faults(&parameter["schema"], &value);
                    faults.extend(wrong.into_iter().map(|fault| format!("{name}: {fault}")));
                }
                None => faults.push(format!("there is no query parameter {name}")),
            }
        }
        let required = self.query().filter(|parameter| parameter["required"] == true);
        let missing = required.filter(|parameter| query.iter().all(|(name, _)| parameter["name"] != **name));
        faults.extend(missing.map(|parameter| format!("{} is missing", parameter["name"])));
        faults
    }
}

/// A query parameter's text as the JSON that its schema speaks of; lists are one value with commas (§4).
fn query_value(schema: &Value, text: &str) -> Value {
    match schema["type"].as_str() {
        Some("boolean" | "integer" | "number") => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        Some("array") => text.split(',').map(|item| query_value(&schema["items"], item)).collect(),
        _ => text.into(),
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let one =
        |(template, segment): (&&str, &&str)| template.starts_with('{') && !segment.is_empty() || template == segment;
    template.len() == path.len() && template.iter().zip(&path).all(one)
}
