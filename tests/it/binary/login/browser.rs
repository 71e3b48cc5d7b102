//! Plays the browser of a person who signs in.

use std::time::Duration;

use reqwest::{header, redirect::Policy};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout},
};
use url::Url;

use crate::binary::program::{Ended, Home};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running `login`, and the browser of whoever ran it.
pub(in crate::binary) struct Browser {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    seen: String,
    /// The page that `login` printed.
    pub(in crate::binary) page: Url,
    http: reqwest::Client,
}

impl Browser {
    /// Runs `login` that keeps its tokens in a file, and reads the page that it prints.
    pub(in crate::binary) async fn start(home: &Home, arguments: &[&str]) -> Self {
        Self::keeping(home, "file", arguments).await
    }

    /// Runs `login` that keeps its tokens somewhere, and reads the page that it prints.
    pub(in crate::binary) async fn keeping(home: &Home, place: &str, arguments: &[&str]) -> Self {
        let command = [&["login", "--no-browser", "--keep-in", place], arguments].concat();
        let mut child = home.command(&command).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = String::new();
        let page = loop {
            let line = tokio::time::timeout(PATIENCE, stdout.next_line()).await.unwrap().unwrap();
            let Some(line) = line else {
                let mut said = String::new();
                child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
                panic!("login ended: {said}");
            };
            seen.push_str(&line);
            seen.push('\n');
            if line.starts_with("http") {
                break Url::parse(&line).unwrap();
            }
        };
        let http = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { child, stdout, seen, page, http }
    }

    fn parameter(&self, name: &str) -> String {
        self.page.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned()
    }

    pub(in crate::binary) fn redirect(&self) -> String {
        self.parameter("redirect_uri")
    }

    pub(in crate::binary) fn state(&self) -> String {
        self.parameter("state")
    }

    /// What the browser shows of a page.
    pub(in crate::binary) async fn visit(&self, url: &str) -> String {
        self.http.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Presses Allow, and shows the page at the end of all redirects.
    pub(in crate::binary) async fn allow(&self, user: &str) -> String {
        self.follow(&[("consent", "allow"), ("user", user)]).await
    }

    /// Presses Deny.
    pub(in crate::binary) async fn deny(&self) -> String {
        self.follow(&[("consent", "deny")]).await
    }

    /// Presses a button on each page of consent, wherever it sends the browser.
    async fn follow(&self, button: &[(&str, &str)]) -> String {
        let mut url = self.page.clone();
        for _ in 0..20 {
            if url.path() == "/oauth/authorize" {
                url.query_pairs_mut().extend_pairs(button);
            }
            let reply = self.http.get(url.clone()).send().await.unwrap();
            if !reply.status().is_redirection() {
                return reply.text().await.unwrap();
            }
            url = url.join(reply.headers()[header::LOCATION].to_str().unwrap()).unwrap();
        }
        panic!("the browser is sent in circles: {url}");
    }

    /// The address of the page after Allow, which a browser elsewhere cannot reach.
    pub(in crate::binary) async fn last_page(&self, user: &str) -> String {
        let mut url = self.page.clone();
        url.query_pairs_mut().extend_pairs([("consent", "allow"), ("user", user)]);
        let reply = self.http.get(url).send().await.unwrap();
        reply.headers()[header::LOCATION].to_str().unwrap().to_owned()
    }

    pub(in crate::binary) async fn paste(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        stdin.flush().await.unwrap();
    }

    /// Waits for `login` to end.
    pub(in crate::binary) async fn ended(mut self) -> Ended {
        let ending = async {
            while let Some(line) = self.stdout.next_line().await.unwrap() {
                self.seen.push_str(&line);
                self.seen.push('\n');
            }
            let output = self.child.wait_with_output().await.unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            Ended { status: output.status, stdout: self.seen, stderr }
        };
        tokio::time::timeout(PATIENCE, ending).await.expect("login did not end")
    }
}

/// Signs a user in.
pub(in crate::binary) async fn sign_in(home: &Home, arguments: &[&str], user: &str) {
    let browser = Browser::start(home, &[&["--redirect-port", "0"], arguments].concat()).await;
    let page = browser.allow(user).await;
    assert!(page.contains("<h1>Done</h1>"), "{page}");
    let ended = browser.ended().await;
    assert_eq!(ended.code(), 0, "{}{}", ended.stdout, ended.stderr);
}
