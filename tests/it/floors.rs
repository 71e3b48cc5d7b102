//! The house keeps to its plan: imports go down only, and each outside crate is named in one place.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// The modules of each floor, from the ground; a module may use its own floor and those below.
const FLOORS: [&[&str]; 6] = [
    &["manifest", "error"],
    &[
        "launch_form",
        "record_values",
        "typed_values",
        "formula",
        "suggest",
        "arguments",
        "policy",
        "agents",
        "caller_token",
        "request",
        "answer",
        "cursor",
        "keys",
        "plan",
        "schema_profile",
        "tool_schema",
        "egress",
        "visible",
        "resource_uri",
    ],
    &[
        "ironclad",
        "issuer",
        "audit",
        "approvals",
        "replicas",
        "roster",
        "upload",
        "download",
        "masking",
        "metrics",
        "traces",
    ],
    &["dispatch", "catalog", "forms", "record_types", "launch_tools", "choices", "prompts"],
    &["server"],
    &["main", "lib", "cli", "config", "assembly", "commands", "transport"],
];

/// What may be named only in some modules: by file or folder below `src`.
const NAMED_ONLY_IN: [(&str, &[&str]); 6] = [
    ("rmcp::", &["server", "transport", "commands/demo"]),
    ("reqwest::", &["ironclad"]),
    // The program's arguments and its own path are no settings.
    ("std::env::var", &["config"]),
    ("oauth2::", &["ironclad"]),
    ("jsonwebtoken::", &["caller_token"]),
    ("redis::", &["replicas"]),
];

/// What the pure floors never name.
const IMPURE: [&str; 9] =
    ["async ", "await", "tokio", "Instant", "SystemTime", "now_utc", "std::env", "std::net", "std::process"];

struct Source {
    /// Below `src`, without `.rs`: `ironclad/auth`.
    path: String,
    /// Without comments and without its tests.
    code: String,
}

impl Source {
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap()
    }

    fn is_within(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path == *place || self.path.starts_with(&format!("{place}/")))
    }
}

fn sources() -> Vec<Source> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    gather(&root, &root, &mut sources);
    assert!(sources.len() > 50, "{}", sources.len());
    sources
}

fn gather(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            gather(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let below = path.strip_prefix(root).unwrap().with_extension("");
            let name = below.to_str().unwrap().replace('\\', "/");
            if !name.split('/').any(|part| part == "tests" || part.ends_with("_tests")) {
                sources.push(Source { code: code(&std::fs::read_to_string(&path).unwrap()), path: name });
            }
        }
    }
}

/// A file's text without comment lines, up to its tests.
fn code(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.starts_with("mod tests {"));
    let code = lines.filter(|line| !line.trim_start().starts_with("//"));
    code.map(|line| format!("{line}\n")).collect()
}

/// The modules named behind `crate::`, in paths and in groups.
fn imports(code: &str) -> BTreeSet<String> {
    let mut imports = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => imports.extend(group_heads(group)),
            None => imports.extend(head(rest)),
        }
    }
    imports
}

fn head(path: &str) -> Option<String> {
    let name: String = path.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// The first names of `a::{b, c}, d::e}`.
fn group_heads(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut heads = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(String::new()),
            c if depth == 0 => heads.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    heads.iter().filter_map(|path| head(path)).collect()
}

fn floors() -> BTreeMap<&'static str, usize> {
    FLOORS.iter().enumerate().flat_map(|(floor, modules)| modules.iter().map(move |module| (*module, floor))).collect()
}

#[test]
fn groups_of_imports_are_read() {
    let code = "use crate::{\n a::{b, c::d},\n e,\n f::g};\nuse crate::h::i;\nlet x = crate::j();\n";
    assert_eq!(imports(code).into_iter().collect::<Vec<_>>(), ["a", "e", "f", "h", "j"]);
}

#[test]
fn imports_go_down_only() {
    let floors = floors();
    for source in sources().iter().filter(|source| source.module() != "simulator") {
        let own = floors.get(source.module()).unwrap_or_else(|| panic!("{} is on no floor", source.path));
        for import in imports(&source.code) {
            // The simulator stands beside the house: only what assembles the program starts it.
            let floor = if import == "simulator" { 5 } else { *floors.get(import.as_str()).unwrap_or(&0) };
            assert!(floor <= *own, "src/{}.rs (floor {own}) uses crate::{import} (floor {floor})", source.path);
        }
    }
}

#[test]
fn the_simulator_uses_nothing_of_the_rest() {
    for source in sources().iter().filter(|source| source.module() == "simulator") {
        let others: Vec<String> = imports(&source.code).into_iter().filter(|import| import != "simulator").collect();
        assert!(others.is_empty(), "src/{}.rs uses {others:?}", source.path);
    }
}

#[test]
fn outside_crates_are_named_in_their_place_only() {
    for source in sources() {
        for (name, places) in NAMED_ONLY_IN {
            let named = source.code.contains(name) && !source.is_within(places);
            assert!(!named, "src/{}.rs names {name}", source.path);
        }
    }
}

#[test]
fn the_rules_are_pure() {
    let floors = floors();
    for source in sources().iter().filter(|source| floors.get(source.module()).is_some_and(|floor| *floor <= 1)) {
        let impure: Vec<&str> = IMPURE.into_iter().filter(|name| source.code.contains(name)).collect();
        assert!(impure.is_empty(), "src/{}.rs names {impure:?}", source.path);
    }
}
