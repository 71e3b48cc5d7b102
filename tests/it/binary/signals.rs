//! The end: within two seconds of stdin's end, SIGTERM or SIGINT, whatever is under way, and recorded.

use std::time::Duration;

use ironclad_mcp::simulator::{self, Simulator};
use serde_json::{Value, json};

use super::program::{Home, Session, signed_in};

const AT_ONCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
enum End {
    HangUp,
    Signal(&'static str),
}

impl End {
    async fn to(self, session: &mut Session) {
        match self {
            Self::HangUp => session.hang_up(),
            Self::Signal(signal) => {
                let kill = format!("kill -{signal} {}", session.child.id().unwrap());
                let sent = tokio::process::Command::new("sh").args(["-c", &kill]).status().await.unwrap();
                assert!(sent.success());
            }
        }
    }
}

#[cfg(unix)]
const ENDS: [End; 3] = [End::HangUp, End::Signal("TERM"), End::Signal("INT")];
#[cfg(not(unix))]
const ENDS: [End; 1] = [End::HangUp];

#[tokio::test]
async fn an_idle_server_ends_at_once_and_well() {
    for end in ENDS {
        let home = Home::new();
        let mut session = home.open(&["--simulator"]).await;
        session.is_well().await;
        end.to(&mut session).await;
        let ended = session.ended(AT_ONCE).await;
        assert_eq!(ended.code(), 0, "{end:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_server_that_was_never_spoken_to_ends_at_once_and_well() {
    for end in ENDS {
        let home = Home::new();
        let mut session = home.start(&["stdio", "--simulator"]);
        if let End::Signal(_) = end {
            // Until it answers, a signal may come before anybody listens for it.
            session.send_bytes(b"x").await;
            session.receive().await;
        }
        end.to(&mut session).await;
        assert_eq!(session.ended(AT_ONCE).await.code(), 0, "{end:?}");
    }
}

#[tokio::test]
async fn a_call_under_way_does_not_hold_the_end_up_and_is_recorded() {
    for end in ENDS {
        let settings = simulator::Settings { faults: Some("slow:ms=60000".into()), ..simulator::Settings::default() };
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        let home = Home::new().at(&simulator);
        let mut session = home.open(&["stdio"]).await;
        session.ask("tools/call", json!({"name": "list_users", "arguments": {}})).await;
        signed_in(&simulator).await;
        end.to(&mut session).await;
        let ended = session.ended(AT_ONCE + Duration::from_millis(500)).await;
        assert_eq!(ended.code(), 0, "{end:?}: {}", ended.stderr);
        let log = std::fs::read_to_string(home.audit_log()).unwrap();
        let line: Value = serde_json::from_str(log.trim_end()).unwrap();
        assert_eq!((&line["tool"], &line["outcome"]), (&json!("list_users"), &json!("cancelled")), "{end:?}");
    }
}
