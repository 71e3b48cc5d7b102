//! Settings that are wrong: exit code 2, and a message that names the setting and what to give.

use super::program::Home;

#[tokio::test]
async fn a_wrong_setting_is_named() {
    let table = [
        ("IRONCLAD_AS_USER_EMAIL", "a\r\nx-evil: 1", "IRONCLAD_AS_USER_EMAIL"),
        ("IRONCLAD_AS_USER_ID", "a\nb", "IRONCLAD_AS_USER_ID"),
        ("IRONCLAD_CLIENT_ID", "a\r\nb", "IRONCLAD_CLIENT_ID"),
        ("IRONCLAD_ACCESS_TOKEN", "a\r\nx-evil: 1", "IRONCLAD_ACCESS_TOKEN"),
        ("IRONCLAD_BASE_URL", "http://na1.ironcladapp.com", "IRONCLAD_BASE_URL"),
        ("IRONCLAD_BASE_URL", "https://na1.ironcladapp.com/\r\nx: y", "IRONCLAD_BASE_URL"),
        ("IRONCLAD_REGION", "mars", "IRONCLAD_REGION"),
        ("IRONCLAD_ACCESS", "workflows=all", "IRONCLAD_ACCESS"),
        ("IRONCLAD_ACCESS", "treaties=read", "IRONCLAD_ACCESS"),
        ("IRONCLAD_TOOLSETS", "treaties", "IRONCLAD_TOOLSETS"),
        ("IRONCLAD_TOOLS", "delete_everything", "IRONCLAD_TOOLS"),
        ("IRONCLAD_CONFIRM", "perhaps", "IRONCLAD_CONFIRM"),
        ("IRONCLAD_TIMEOUT", "soon", "IRONCLAD_TIMEOUT"),
        ("IRONCLAD_TIMEOUT", "0", "IRONCLAD_TIMEOUT"),
        ("IRONCLAD_MAX_RETRIES", "-1", "IRONCLAD_MAX_RETRIES"),
        ("IRONCLAD_LOG_FORMAT", "xml", "IRONCLAD_LOG_FORMAT"),
        ("IRONCLAD_TOOL_PREFIX", "a b", "IRONCLAD_TOOL_PREFIX"),
        ("IRONCLAD_MAX_RESULT_BYTES", "1999", "IRONCLAD_MAX_RESULT_BYTES"),
        ("IRONCLAD_ENABLE_WRITES", "perhaps", "IRONCLAD_ENABLE_WRITES"),
        ("IRONCLAD_MCP_CONFIG", "/nowhere/config.toml", "IRONCLAD_MCP_CONFIG"),
        ("IRONCLAD_CLIENT_SECRET_FILE", "/nowhere/secret", "IRONCLAD_CLIENT_SECRET_FILE"),
        ("RUST_LOG", "lo=u=d", "RUST_LOG"),
    ];
    for (name, value, named) in table {
        let home = Home::new().with("IRONCLAD_CLIENT_ID", "id").with("IRONCLAD_CLIENT_SECRET", "secret");
        let home = home.with("IRONCLAD_AS_USER_EMAIL", "maya@acme.example").with(name, value);
        let ended = home.run(&["stdio"]).await;
        assert_eq!((ended.code(), ended.stdout.as_str()), (2, ""), "{name}={value:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(named), "{name}={value:?} gave {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn credentials_that_are_not_whole_are_told_what_is_missing() {
    let (id, secret) = (("IRONCLAD_CLIENT_ID", "id"), ("IRONCLAD_CLIENT_SECRET", "secret"));
    for (given, missing) in [
        (&[id, secret][..], "IRONCLAD_AS_USER_EMAIL"),
        (&[id], "IRONCLAD_CLIENT_SECRET"),
        (&[secret], "IRONCLAD_CLIENT_ID"),
    ] {
        let home = given.iter().fold(Home::new(), |home, (name, value)| home.with(name, value));
        let ended = home.run(&["stdio"]).await;
        assert_eq!(ended.code(), 2, "{given:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(missing), "{given:?} gave {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_file_of_settings_is_read_and_an_unknown_key_is_named() {
    let home = Home::new();
    let file = home.path("config.toml");
    let tools = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        home.run(&["tools", "--format", "mcp", "--config", file.to_str().unwrap()]).await
    };
    let read = tools("tools = [\"get_user\", \"create_webhook\"]\n[access]\nwebhooks = \"full\"\n").await;
    assert_eq!(read.json()["tools"].as_array().unwrap().len(), 2);
    let unknown = tools("enable_rights = true\n").await;
    assert_eq!(unknown.code(), 2);
    assert!(unknown.stderr.contains("enable_rights"), "{}", unknown.stderr);
}

#[tokio::test]
async fn a_flag_wins_over_the_environment() {
    let home = Home::new().with("IRONCLAD_ENABLE_WRITES", "true");
    assert_eq!(home.run(&["tools"]).await.json()["tools"].as_array().unwrap().len(), 26);
    let reads = home.run(&["tools", "--enable-writes=false"]).await;
    assert_eq!(reads.json()["tools"].as_array().unwrap().len(), 13);
}

#[tokio::test]
async fn a_server_that_would_publish_nothing_does_not_start() {
    let ended = Home::new().run(&["--simulator", "--tools", "create_webhook"]).await;
    assert_eq!(ended.code(), 2);
    assert!(ended.stderr.contains("no tool would be published"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_broken_manifest_is_told_with_all_its_faults() {
    let home = Home::new();
    std::fs::create_dir(home.path("manifests")).unwrap();
    let fault = r#"{"group": "extra", "tools": [{"name": "x", "title": "X", "description": "no prefix", "effect": "write",
        "scope": "s", "bucket": "other", "deed": "did {y}", "request": {"api": "public", "method": "GET", "path": "/x/{z}"},
        "answer": {"kind": "empty"}}]}"#;
    std::fs::write(home.path("manifests/extra.json"), fault).unwrap();
    let ended = home.run(&["tools", "--manifests", home.path("manifests").to_str().unwrap()]).await;
    assert_eq!(ended.code(), 2, "{}", ended.stderr);
    for fault in ["extra.json", "description", "GET", "deed names y", "path names z"] {
        assert!(ended.stderr.contains(fault), "{fault} is missing in {}", ended.stderr);
    }
}
