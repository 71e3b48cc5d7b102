use std::ffi::OsString;

use super::*;
use crate::{cli::Cli, policy::Access};

/// Loads from a command line, an environment and a settings file.
fn load_three(line: &str, variables: &[(&str, &str)], file: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, file).unwrap();
    let line = format!("ironclad-mcp --config {} {line}", path.display());
    load_line(&line, variables)
}

fn load_line(line: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let cli = Cli::from_arguments(line.split_whitespace().map(OsString::from)).unwrap();
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load_from(cli.options, &|name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.into()))
}

fn fault(line: &str, variables: &[(&str, &str)], file: &str) -> String {
    load_three(line, variables, file).unwrap_err().to_string()
}

#[test]
fn the_command_line_wins_over_the_environment_over_the_file_over_the_default() {
    let table = [
        ("", "", "", 60),
        ("", "", "timeout = 1", 1),
        ("", "2", "timeout = 1", 2),
        ("--timeout 3", "2", "timeout = 1", 3),
        ("--timeout 3", "", "", 3),
        ("", "2", "", 2),
        // An empty variable is none.
        ("--timeout 3", "", "timeout = 1", 3),
    ];
    for (line, variable, file, expected) in table {
        let config = load_three(line, &[("IRONCLAD_TIMEOUT", variable)], file).unwrap();
        assert_eq!(config.ironclad.timeout.as_secs(), expected, "{line} / {variable} / {file}");
    }
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = load_line("ironclad-mcp", &[("HOME", "/home/maria")]).unwrap();
    assert_eq!(config.ironclad.origin.as_str(), "https://na1.ironcladapp.com");
    assert_eq!(config.ironclad.connect_timeout.as_secs(), 10);
    let [longest_wait, longest_retry] = [30, 120].map(Duration::from_secs);
    assert_eq!(config.ironclad.patience, Patience { max_retries: 4, longest_wait, longest_retry });
    assert_eq!(config.ironclad.rate_budget, Some(limiter::Settings::default()));
    assert_eq!((config.max_result_bytes, config.max_document_bytes), (60_000, 10_000_000));
    assert!(!config.policy.enable_writes && config.policy.access.is_empty() && !config.simulator);
    assert_eq!(config.policy.confirm, policy::Confirm::Auto);
    assert_eq!(config.tools.launch, LaunchTools::Auto);
    assert_eq!(config.tools.template_refresh.as_secs(), 300);
    assert_eq!(config.log, Log { filter: "rmcp=warn,info".into(), json: false });
    if cfg!(target_os = "linux") {
        let path = PathBuf::from("/home/maria/.local/state/ironclad-mcp/audit.jsonl");
        assert_eq!(config.audit, Some(audit::Target::File(path)));
    }
}

#[test]
fn the_level_that_names_a_region_or_a_base_url_decides_alone() {
    let url = "https://eu1.ironcladapp.com";
    let table = [
        ("--region demo", "", "", "https://demo.ironcladapp.com"),
        ("--region demo", url, "", "https://demo.ironcladapp.com"),
        ("--region demo --base-url https://eu1.ironcladapp.com", "", "", url),
        ("", url, "region = \"demo\"", url),
        ("", "", "region = \"demo\"\nbase_url = \"https://eu1.ironcladapp.com\"", url),
    ];
    for (line, variable, file, expected) in table {
        let config = load_three(line, &[("IRONCLAD_BASE_URL", variable)], file).unwrap();
        assert_eq!(config.ironclad.origin.as_str(), expected, "{line} / {variable} / {file}");
    }
    let config =
        load_line("ironclad-mcp --as-user-id abc", &[("IRONCLAD_AS_USER_EMAIL", "maria@example.com")]).unwrap();
    assert_eq!(config.acting_user.id.as_deref(), Some("abc"));
    assert_eq!(config.acting_user.email, None);
}

#[test]
fn a_file_gives_every_kind_of_value() {
    let file = r#"
        base_url = "https://eu1.ironcladapp.com"
        enable_writes = true
        simulator = "on"
        tools = ["list_records", "get_record"]
        scopes = ["public.records.readRecords"]
        launch_tools = ["Master, Services", "Mutual NDA"]
        max_result_bytes = 2000
        [access]
        workflows = "full"
        workflow-actions = "off"
    "#;
    let config = load_three("", &[], file).unwrap();
    assert!(config.policy.enable_writes && config.simulator);
    assert_eq!(config.policy.tools, ["list_records", "get_record"]);
    assert_eq!(config.policy.access.get("workflow-actions"), Some(&Access::Off));
    assert_eq!(config.tools.launch, LaunchTools::Only(vec!["Master, Services".into(), "Mutual NDA".into()]));
    assert_eq!(load_three("", &[], "launch_tools = \"off\"").unwrap().tools.launch, LaunchTools::Off);
}

#[test]
fn the_environment_gives_every_kind_of_value() {
    let variables = [
        ("IRONCLAD_ENABLE_WRITES", "yes"),
        ("IRONCLAD_ACCESS", "workflows=full, records=off"),
        ("IRONCLAD_SCOPES", "a.b c.d,e.f"),
        ("IRONCLAD_EXCLUDE_TOOLS", "list_users, get_user,"),
        ("IRONCLAD_ALLOWED_HOSTS", "mcp.example.com"),
        ("IRONCLAD_ALLOWED_ORIGINS", "https://a.example.com,https://b.example.com/"),
        ("IRONCLAD_AUDIT_LOG", "-"),
        ("IRONCLAD_LOG_FORMAT", "json"),
        ("RUST_LOG", "debug"),
    ];
    let config = load_line("ironclad-mcp", &variables).unwrap();
    assert!(config.policy.enable_writes);
    assert_eq!(config.policy.access.get("records"), Some(&Access::Off));
    assert_eq!(config.scopes, ["a.b", "c.d", "e.f"]);
    assert_eq!(config.policy.exclude_tools, ["list_users", "get_user"]);
    assert_eq!(config.allowed_hosts, ["mcp.example.com"]);
    assert_eq!(config.allowed_origins, ["https://a.example.com", "https://b.example.com"]);
    assert_eq!(config.audit, Some(audit::Target::Stderr));
    assert!(config.log.json && config.log.filter.ends_with("debug"));
    let off = load_line("ironclad-mcp", &[("IRONCLAD_ENABLE_WRITES", "false")]).unwrap();
    assert!(!off.policy.enable_writes);
}

#[test]
fn empty_variables_change_nothing() {
    let empty: Vec<(String, String)> = Options::keys()
        .iter()
        .filter_map(|key| environment::variable_of(key))
        .chain(["IRONCLAD_MCP_CONFIG", "IRONCLAD_ACCESS_TOKEN", "IRONCLAD_CLIENT_ID_FILE"].map(str::to_owned))
        .map(|variable| (variable, String::new()))
        .collect();
    assert!(empty.len() > 30);
    let empty: Vec<(&str, &str)> = empty.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let with = format!("{:?}", load_line("ironclad-mcp", &empty).unwrap());
    let without = format!("{:?}", load_line("ironclad-mcp", &[]).unwrap());
    assert_eq!(with, without);
}

#[test]
fn empty_flags_change_nothing_either() {
    let variables = [("IRONCLAD_BASE_URL", "https://eu1.ironcladapp.com"), ("IRONCLAD_TOOLS", "list_records")];
    let config = load_line("ironclad-mcp --region= --tools= --tool-prefix= --log=", &variables).unwrap();
    assert_eq!(config.ironclad.origin.as_str(), "https://eu1.ironcladapp.com");
    assert_eq!(config.policy.tools, ["list_records"]);
    assert_eq!(config.log.filter, "rmcp=warn,info");
}

#[test]
fn every_bad_value_names_its_setting_by_flag_and_variable() {
    let table = [
        ("--region", "IRONCLAD_REGION", "us1"),
        ("--base-url", "IRONCLAD_BASE_URL", "http://na1.ironcladapp.com"),
        ("--as-user-email", "IRONCLAD_AS_USER_EMAIL", "maria"),
        ("--as-user-email", "IRONCLAD_AS_USER_EMAIL", "maria@example.com\nx-evil:1"),
        ("--as-user-id", "IRONCLAD_AS_USER_ID", "abc\r\nx-evil:1"),
        ("--simulator", "IRONCLAD_SIMULATOR", "maybe"),
        ("--enable-writes", "IRONCLAD_ENABLE_WRITES", "maybe"),
        ("--access", "IRONCLAD_ACCESS", "workflows=all"),
        ("--access", "IRONCLAD_ACCESS", "workflows"),
        ("--confirm", "IRONCLAD_CONFIRM", "sometimes"),
        ("--tool-prefix", "IRONCLAD_TOOL_PREFIX", "my."),
        ("--launch-tools", "IRONCLAD_LAUNCH_TOOLS", "off,Mutual NDA"),
        ("--template-refresh", "IRONCLAD_TEMPLATE_REFRESH", "0"),
        ("--timeout", "IRONCLAD_TIMEOUT", "0"),
        ("--timeout", "IRONCLAD_TIMEOUT", "soon"),
        ("--connect-timeout", "IRONCLAD_CONNECT_TIMEOUT", "-1"),
        ("--max-retries", "IRONCLAD_MAX_RETRIES", "1000"),
        ("--rate-limit-wait", "IRONCLAD_RATE_LIMIT_WAIT", "99999999999999999999999"),
        ("--rate-budget", "IRONCLAD_RATE_BUDGET", "2"),
        ("--max-result-bytes", "IRONCLAD_MAX_RESULT_BYTES", "1999"),
        ("--max-document-bytes", "IRONCLAD_MAX_DOCUMENT_BYTES", "9999999999999"),
        ("--allowed-host", "IRONCLAD_ALLOWED_HOSTS", "https://mcp.example.com"),
        ("--allowed-origin", "IRONCLAD_ALLOWED_ORIGINS", "mcp.example.com"),
        ("--log", "RUST_LOG", "=["),
        ("--log-format", "IRONCLAD_LOG_FORMAT", "xml"),
    ];
    for (flag, variable, value) in table {
        let error = load_line("ironclad-mcp", &[(variable, value)]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{flag} ({variable}): ")), "{variable}={value:?}: {error}");
    }
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    let error = fault("", &[], "enable_write = true");
    assert!(error.contains("enable_write;") && error.contains("did you mean enable_writes?"), "{error}");
    let error = fault("", &[], "base-url = \"https://eu1.ironcladapp.com\"");
    assert!(error.contains("did you mean base_url?"), "{error}");
    let error = fault("", &[], "client_secret = \"hunter2\"");
    assert!(error.contains("IRONCLAD_CLIENT_SECRET") && !error.contains("hunter2"), "{error}");
    assert!(fault("", &[], "config = \"other.toml\"").contains("unknown key config"));
}

#[test]
fn a_wrong_file_says_where() {
    assert!(fault("", &[], "timeout = \"soon\"").contains("timeout"));
    assert!(fault("", &[], "tools = \"list_records\"").contains("tools"));
    assert!(fault("", &[], "[access]\nworkflows = \"all\"").contains("workflows"));
    assert!(fault("", &[], "timeout = ").contains("line 1"));
    let missing = load_line("ironclad-mcp --config /no/such/file.toml", &[]).unwrap_err().to_string();
    assert!(missing.contains("/no/such/file.toml") && missing.contains("IRONCLAD_MCP_CONFIG"), "{missing}");
    let missing = load_line("ironclad-mcp", &[("IRONCLAD_MCP_CONFIG", "/no/such/file.toml")]).unwrap_err().to_string();
    assert!(missing.contains("/no/such/file.toml"), "{missing}");
}

#[test]
fn the_simulator_never_looks_at_real_credentials() {
    let secrets = [("IRONCLAD_ACCESS_TOKEN", "hunter2\n"), ("IRONCLAD_CLIENT_ID", "half")];
    let config = load_line("ironclad-mcp --simulator", &secrets).unwrap();
    assert!(config.secrets.access_token.is_none() && config.secrets.client.is_none());
    assert!(load_line("ironclad-mcp", &secrets).is_err());
}

#[test]
fn the_configuration_can_be_printed_without_its_secrets() {
    let variables =
        [("IRONCLAD_ACCESS_TOKEN", "hunter2"), ("IRONCLAD_CLIENT_ID", "id"), ("IRONCLAD_CLIENT_SECRET", "hunter2")];
    let config = load_line("ironclad-mcp", &variables).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn when_the_audit_log_is_put_away_is_read_in_bytes_and_in_ages() {
    let rotation = |line: &str| load_line(&format!("ironclad-mcp {line}"), &[]).unwrap().audit_rotation;
    assert_eq!(rotation(""), audit::Rotation::default());
    let set = rotation("--audit-max-bytes 1000 --audit-max-age 12h");
    assert_eq!((set.max_bytes, set.max_age.as_secs()), (1000, 12 * 60 * 60));
    assert!(rotation("--audit-max-age never").max_age.is_zero());
    for wrong in ["0d", "-1d", "soon", "7"] {
        let told = load_line(&format!("ironclad-mcp --audit-max-age={wrong}"), &[]).unwrap_err().to_string();
        assert!(told.contains("--audit-max-age") && told.contains("30d"), "{told}");
    }
}

#[test]
fn rate_limits_are_set_by_bucket_at_any_level() {
    let table = "[rate_limits]\nworkflows-write = 20\ncompany = 1000\n";
    let text = "workflows-write=20,company=1000";
    let share = "rate_limit_share = 0.5\n";
    let levels = [
        load_three("", &[], &format!("{share}{table}")),
        load_three("", &[("IRONCLAD_RATE_LIMITS", text), ("IRONCLAD_RATE_LIMIT_SHARE", "0.5")], ""),
        load_three(&format!("--rate-limits {text} --rate-limit-share 0.5"), &[], "[rate_limits]\nother = 1"),
    ];
    for level in levels {
        let budget = level.unwrap().ironclad.rate_budget.unwrap();
        let writes = limiter::Scope::Bucket(limiter::Bucket::WorkflowsWrite);
        assert_eq!(budget.limits, [(writes, 20), (limiter::Scope::Company, 1000)].into());
        assert_eq!(budget.share, "0.5".parse().unwrap());
    }
    assert_eq!(load_three("--rate-budget off", &[], table).unwrap().ironclad.rate_budget, None);
    for (file, why) in [
        ("[rate_limits]\nworkflow-writes = 20", "workflows-write"),
        ("[rate_limits]\ncompany = 0", "out of range"),
        ("rate_limits = 5", "a table of buckets"),
        ("rate_limit_share = 2", "0.5"),
        ("rate_limit_share = 0.0", "0.5"),
    ] {
        let fault = fault("", &[], file);
        assert!(fault.contains(why), "{fault}");
    }
    let fault = load_line("ironclad-mcp", &[("IRONCLAD_RATE_LIMIT_SHARE", "half")]).unwrap_err().to_string();
    assert!(fault.contains("IRONCLAD_RATE_LIMIT_SHARE"), "{fault}");
}

#[test]
fn state_keys_come_from_a_file_or_the_environment_and_weak_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["q1Zt0s0m3Kx9vYy2n8fQhB4cR7uJ5wLdGiEoTpAbCdE=", "UE9JVVl0cmV3cUxLSkhHRkRTQW1uYnZjeHoxMjM0NTY="];
    let path = folder.path().join("keys");
    std::fs::write(&path, format!("{two}\n{one}\n")).unwrap();
    let path = path.display().to_string();
    let keys =
        |line: &str, variables: &[(&str, &str)], file: &str| load_three(line, variables, file).unwrap().state_keys;
    assert_eq!(keys("", &[], ""), None);
    let both = Some(Ring::read(&format!("{two} {one}")).unwrap());
    assert_eq!(keys(&format!("--state-key {path}"), &[("IRONCLAD_STATE_KEY", one)], ""), both);
    assert_eq!(keys("", &[("IRONCLAD_STATE_KEY_FILE", &path)], ""), both);
    assert_eq!(keys("", &[], &format!("state_key = {path:?}")), both);
    let of_environment = keys("--simulator", &[("IRONCLAD_STATE_KEY", one)], &format!("state_key = {path:?}"));
    assert_eq!(of_environment, Some(Ring::read(one).unwrap()));
    let weak = fault("", &[("IRONCLAD_STATE_KEY", "aHVudGVyMg==")], "");
    assert!(weak.contains("--state-key") && weak.contains("holds 7 bytes") && !weak.contains("aHVu"), "{weak}");
    let twice = fault("", &[("IRONCLAD_STATE_KEY", one), ("IRONCLAD_STATE_KEY_FILE", &path)], "");
    assert!(twice.contains("IRONCLAD_STATE_KEY_FILE are both set"), "{twice}");
    assert!(fault("--state-key /no/such/file", &[], "").contains("/no/such/file"));
}

#[test]
fn the_address_of_redis_may_hold_a_password_only_in_the_environment() {
    let redis = |line: &str, variables: &[(&str, &str)], file: &str| load_three(line, variables, file).unwrap().redis;
    assert!(redis("", &[], "").is_none());
    assert!(redis("--redis redis://cache:6379", &[], "").is_some());
    assert!(redis("", &[], "redis = \"redis://cache\"").is_some());
    let secret = ("IRONCLAD_REDIS", "redis://u:hunter22@cache");
    let config = load_three("--redis redis://other", &[secret], "").unwrap();
    assert!(config.redis.unwrap().password().is_none(), "the command line wins");
    let config = load_three("", &[secret], "redis = \"redis://other\"").unwrap();
    assert!(config.redis.as_ref().unwrap().password().is_some(), "the environment wins over the file");
    assert!(!format!("{config:?}").contains("hunter22"));
    for (line, file) in [("--redis redis://:hunter22@cache", ""), ("", "redis = \"redis://:hunter22@cache\"")] {
        let refused = fault(line, &[], file);
        assert!(refused.contains("IRONCLAD_REDIS_FILE") && !refused.contains("hunter22"), "{refused}");
    }
    assert!(fault("--redis http://cache", &[], "").contains("--redis (IRONCLAD_REDIS): has the scheme http"));
    assert!(fault("--replicas 0", &[], "").contains("out of range"));
}
