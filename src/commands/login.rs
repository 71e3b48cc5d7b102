//! `ironclad-mcp login`: signs in through the browser, and keeps what comes of it.
//!
//! The browser may be on another machine: then its last page cannot be reached, and its address can be pasted here.

mod callback;

use std::{process::ExitCode, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::mpsc,
};

use self::callback::{Callback, Page, Visit};
use super::{
    CommandError, Ended,
    console::{complain, say},
};
use crate::{
    assembly,
    cli::{KeepIn, LoginArgs},
    config::{Config, ConfigError},
    ironclad::{
        Client,
        auth::{
            Auth,
            endpoint::Endpoint,
            login::Login,
            seal::SealKey,
            sign_in::{Answered, SignIn},
            store::LoginStore,
        },
    },
};

/// How long the browser is waited for.
const WAIT: Duration = Duration::from_secs(15 * 60);

/// How long somebody else's renewal is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// How long the key store may take, which may ask a person to unlock it.
const UNLOCKING: Duration = Duration::from_secs(120);

/// Signs in, and keeps the login.
pub(super) async fn run(args: LoginArgs, mut config: Config) -> Ended {
    let simulator = if config.simulator { Some(assembly::simulate(&mut config).await?) } else { None };
    let endpoint = endpoint(&config, "login")?;
    let catalog = assembly::catalog(&config)?;
    // A simulator inside this process ends with it, and what it issued is worth nothing then.
    let store = if simulator.is_none() { Some(assembly::login_store(&config).ok_or_else(no_place)?) } else { None };
    let wanted = assembly::wanted(&config, &catalog);
    if config.secrets.access_token.is_some() {
        complain("note: IRONCLAD_ACCESS_TOKEN is set, and is used rather than any login");
    }
    let key = match &store {
        Some(store) => key(store, args.keep_in).await?,
        None => None,
    };
    let client = Client::new(config.ironclad, Auth::new(None, &endpoint.origin)).with_egress(config.egress, None);
    let (callback, visits) = Callback::listen(args.redirect_port).await?;
    let sign_in = SignIn::new(endpoint, callback.redirect(), !args.no_pkce, wanted);
    let sign_in = sign_in.map_err(|error| CommandError::Failed(error.to_string()))?;
    invite(&sign_in, &callback, args.no_browser)?;
    let ended = wait(sign_in, (&client, store.as_ref(), key.as_ref()), visits, &callback).await;
    callback.close().await;
    drop(simulator);
    say(&done(&ended?, store.as_ref(), key.is_some()))?;
    Ok(ExitCode::SUCCESS)
}

/// The client that signs in.
pub(super) fn endpoint(config: &Config, command: &str) -> Result<Endpoint, CommandError> {
    assembly::endpoint(config).ok_or_else(|| {
        CommandError::Usage(format!(
            "{command} needs an OAuth client: set IRONCLAD_CLIENT_ID and IRONCLAD_CLIENT_SECRET (or \
             IRONCLAD_CLIENT_SECRET_FILE); an Ironclad administrator registers one with the grant authorization code and the \
             redirect URI http://localhost:8976/callback"
        ))
    })
}

pub(super) fn no_place() -> ConfigError {
    ConfigError::KeptLogin("no home directory is known to keep it in; set HOME or XDG_STATE_HOME".to_owned())
}

/// The key that seals the tokens; none where the file keeps them as they are.
async fn key(store: &LoginStore, keep_in: KeepIn) -> Result<Option<SealKey>, CommandError> {
    if keep_in == KeepIn::File {
        return Ok(None);
    }
    let owned = store.clone();
    // One that is there already serves on: running servers have it.
    let asking = tokio::task::spawn_blocking(move || owned.key().or_else(|_| owned.new_key()));
    let fault = match tokio::time::timeout(UNLOCKING, asking).await {
        Ok(Ok(Ok(key))) => return Ok(Some(key)),
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the operating system's key store does not answer".to_owned(),
    };
    if keep_in == KeepIn::Keyring {
        return Err(CommandError::Failed(format!("{fault}; --keep-in file does without it")));
    }
    tracing::debug!(fault, "no key store; the tokens are kept in a file");
    Ok(None)
}

fn invite(sign_in: &SignIn, callback: &Callback, no_browser: bool) -> Result<(), CommandError> {
    say(&format!(
        "To sign in, open this page in a browser:\n\n{}\n\nIt comes back to {}. If the browser is on another machine it cannot \
         get there: paste the\naddress of its last page here then, and press Enter.\n",
        sign_in.url(),
        callback.redirect()
    ))?;
    if !no_browser && let Err(error) = open::that_detached(sign_in.url()) {
        tracing::debug!(%error, "no browser could be opened");
    }
    Ok(())
}

/// Waits for the browser's answer, and does what it says.
async fn wait(
    mut sign_in: SignIn,
    (client, store, key): (&Client, Option<&LoginStore>, Option<&SealKey>),
    mut visits: mpsc::Receiver<Visit>,
    callback: &Callback,
) -> Result<Login, CommandError> {
    let pasting = tokio::spawn(pasted(callback.visitor()));
    let deadline = tokio::time::sleep(WAIT);
    tokio::pin!(deadline);
    let ended = loop {
        let visit = tokio::select! {
            visit = visits.recv() => visit,
            () = &mut deadline => None,
        };
        let Some(visit) = visit else {
            break Err("nobody answered in 15 minutes; run login again".to_owned());
        };
        match sign_in.answer(&visit.query) {
            Ok(Answered::Code(code)) => {
                let kept = keep(sign_in, (client, store, key), &code).await;
                let page = match &kept {
                    Ok(login) => Page::Done(login.head.user.label().map(str::to_owned)),
                    Err(why) => Page::Failed(why.clone()),
                };
                visit.show(page);
                break kept;
            }
            Ok(Answered::Again(url)) => visit.send_on(url),
            Ok(Answered::Refused { code, description }) => {
                let why = refused(&code, description.as_deref());
                visit.show(if code == "access_denied" { Page::Denied } else { Page::Failed(why.clone()) });
                break Err(why);
            }
            Ok(Answered::Foreign) => {
                visit.show(Page::Foreign);
                break Err("the browser brought the answer of another sign-in (its state is not ours), so nothing was kept; run \
                     login again, and use the page that it prints"
                    .to_owned());
            }
            Ok(Answered::Nothing) => visit.show(Page::Nothing),
            Err(error) => break Err(error.to_string()),
        }
    };
    pasting.abort();
    ended.map_err(CommandError::Failed)
}

/// Redeems the code, with the place for what comes of it taken before.
async fn keep(
    sign_in: SignIn,
    (client, store, key): (&Client, Option<&LoginStore>, Option<&SealKey>),
    code: &secrecy::SecretString,
) -> Result<Login, String> {
    let Some(store) = store else { return client.redeem(sign_in, code).await.map_err(|error| error.to_string()) };
    let text = |error: crate::ironclad::auth::store::StoreError| format!("the login cannot be kept: {error}");
    let lock = store.lock(LOCK_PATIENCE).await.map_err(text)?;
    let room = store.room(&lock).map_err(text)?;
    let login = client.redeem(sign_in, code).await.map_err(|error| error.to_string())?;
    room.fill(&login, key).map_err(text)?;
    Ok(login)
}

fn refused(code: &str, description: Option<&str>) -> String {
    let plain = |text: &str| text.chars().filter(|c| !c.is_control()).take(300).collect::<String>();
    let said = description.map(|text| format!(" ({})", plain(text))).unwrap_or_default();
    match code {
        "access_denied" => {
            format!("the sign-in was not allowed{said}; nothing was kept. Run login again to be asked once more")
        }
        "invalid_scope" => format!(
            "Ironclad refused the scopes{said}; an Ironclad administrator must add them to the client, or name fewer with \
             --scopes, --toolsets or --exclude-tools"
        ),
        other => format!("Ironclad refused the sign-in: {}{said}", plain(other)),
    }
}

/// Takes addresses that a person pastes; ends with stdin.
async fn pasted(visitor: callback::Visitor) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Some((_, query)) = line.trim().split_once('?') else {
            if !line.trim().is_empty() {
                complain("that is no address with an answer in it; it has ?code= or ?error= in it");
            }
            continue;
        };
        if let Some(page) = visitor.bring(query).await {
            complain(&page);
        }
    }
}

fn done(login: &Login, store: Option<&LoginStore>, sealed: bool) -> String {
    let head = &login.head;
    let who = head.user.label().unwrap_or("somebody whom Ironclad does not name");
    let mut text = format!("signed in at {} as {who}", head.origin);
    match store {
        None => text.push_str("\nNothing is kept: the simulator of --simulator ends with this command."),
        Some(store) if sealed => text.push_str(&format!(
            "\nThe login is kept in {}, sealed with a key in the operating system's key store.",
            store.path().display()
        )),
        Some(store) => {
            text.push_str(&format!("\nThe login is kept in {}, which only you can read.", store.path().display()));
        }
    }
    let withheld: Vec<String> = head.grants().withheld.into_iter().collect();
    if !withheld.is_empty() {
        text.push_str(&format!(
            "\nIronclad did not grant {}; the tools that need it are left out. `ironclad-mcp check` names them.",
            withheld.join(", ")
        ));
    }
    text
}
