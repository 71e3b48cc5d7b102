//! A login whose key lies in a real key store of an operating system: with `IRONCLAD_TEST_KEY_STORE=secret-service`, in the
//! Secret Service of the D-Bus session that the test runs in (`.ci/run` starts one).

use serde_json::Value;

use super::{super::program::Home, IMANI, browser::Browser, control, home, kept, requests, simulator};

const CALL: [&str; 4] = ["call", "list_users", "--args", r#"{"limit": 1}"#];

#[expect(clippy::disallowed_methods, reason = "where the key store is, and no setting of the program")]
fn bus() -> Option<String> {
    std::env::var_os("IRONCLAD_TEST_KEY_STORE")?;
    Some(std::env::var("DBUS_SESSION_BUS_ADDRESS").expect("a D-Bus session"))
}

async fn sign_in(home: &Home, place: &str) {
    let browser = Browser::keeping(home, place, &["--redirect-port", "0"]).await;
    browser.allow(IMANI).await;
    let ended = browser.ended().await;
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
}

fn file(home: &Home) -> String {
    std::fs::read_to_string(&kept(home)[0]).unwrap()
}

#[tokio::test]
async fn a_login_is_sealed_with_a_key_that_only_the_key_store_has() {
    let Some(bus) = bus() else {
        eprintln!("skipped: IRONCLAD_TEST_KEY_STORE is not set");
        return;
    };
    let simulator = simulator().await;
    let home = home(&simulator).with("DBUS_SESSION_BUS_ADDRESS", &bus);
    for place in ["auto", "keyring"] {
        sign_in(&home, place).await;
        let login: Value = serde_json::from_str(&file(&home)).unwrap();
        assert!(login["tokens"]["sealed"].is_string() && login["tokens"].get("plain").is_none(), "{login}");
        assert_eq!(home.run(&CALL).await.code(), 0);
    }
    // The next pair is sealed as well.
    control(&simulator, "tokens/expire", Value::Null).await;
    let before = file(&home);
    assert_eq!(home.run(&CALL).await.code(), 0);
    let after = file(&home);
    assert!(after != before && after.contains(r#""sealed""#), "{after}");
    let grants = requests(&simulator, "/oauth/token").await;
    assert_eq!(grants.last().unwrap()["body"]["grant_type"], "refresh_token");
    // Without the key store the file is of no use, and says why.
    let stranger = home.command(&CALL).env_remove("DBUS_SESSION_BUS_ADDRESS").output().await.unwrap();
    let told = String::from_utf8_lossy(&[stranger.stdout, stranger.stderr].concat()).into_owned();
    assert!(!stranger.status.success() && told.contains("key store"), "{told}");
    // And so it is once the login was forgotten, should somebody have a copy.
    let (path, copy) = (kept(&home).remove(0), file(&home));
    assert_eq!(home.run(&["logout"]).await.code(), 0);
    assert!(kept(&home).is_empty());
    std::fs::write(path, copy).unwrap();
    let late = home.run(&CALL).await;
    assert!(late.code() != 0 && late.stdout.contains("key store"), "{} {}", late.stdout, late.stderr);
}
