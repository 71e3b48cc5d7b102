//! `ironclad-mcp renew-login`: renews a kept login for a server, which may be killed meanwhile.
//!
//! It is started by servers only, hears what to do on stdin, and reads no settings of its own.

use std::{
    io::{self, Read as _},
    process::ExitCode,
};

use super::{CommandError, Ended, console::say};
use crate::{
    config::{self, Options},
    ironclad::{
        Client,
        auth::{Auth, renewal::Order},
    },
};

/// Does what it is told, and reports.
pub(super) async fn run() -> Ended {
    let mut text = secrecy::zeroize::Zeroizing::new(Vec::new());
    io::stdin().lock().read_to_end(&mut text).map_err(CommandError::io("stdin cannot be read"))?;
    // A server that is killed as it writes leaves half an order behind.
    let order: Order = serde_json::from_slice(&text).map_err(|_| CommandError::Usage("no order on stdin".into()))?;
    let options = Options {
        base_url: Some(order.origin.clone()),
        timeout: Some(order.timeout.as_secs()),
        connect_timeout: Some(order.connect_timeout.as_secs()),
        egress_mode: Some(order.egress_mode.clone()),
        egress_allow: Some(order.egress_allow.clone()),
        ..Options::default()
    };
    let config = config::load_from(options, &|_| None)?;
    // The server has recorded where its logins come from.
    let client = Client::new(config.ironclad, Auth::new(None, &order.origin)).with_egress(config.egress, None);
    let report = client.renew(order).await;
    say(&serde_json::to_string(&report).map_err(|error| CommandError::Failed(error.to_string()))?)?;
    Ok(ExitCode::SUCCESS)
}
