use std::{
    collections::HashMap,
    sync::atomic::{AtomicI64, Ordering},
};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::caller_token::tests::{claims, signer::Signer, terms};

const START: i64 = 1_800_000_000;
const METADATA: &str = "https://login.example/.well-known/oauth-authorization-server";
const OPENID: &str = "https://login.example/.well-known/openid-configuration";
const KEYS: &str = "https://login.example/keys";

/// A web of documents, and what was asked of it.
#[derive(Default)]
struct Web {
    documents: Mutex<HashMap<String, Value>>,
    asked: Mutex<Vec<String>>,
    /// Where fetches wait until a test lets them go on.
    gate: Option<Semaphore>,
}

impl Web {
    fn put(&self, url: &str, document: Value) {
        self.documents.lock().unwrap().insert(url.into(), document);
    }

    fn publish(&self, signers: &[&Signer]) {
        self.put(KEYS, json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}));
    }

    fn is_down(&self) {
        self.documents.lock().unwrap().clear();
    }

    fn fetches(&self) -> usize {
        self.asked.lock().unwrap().iter().filter(|url| *url == KEYS).count()
    }
}

struct Line(Arc<Web>);

impl Fetch for Line {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Vec<u8>, PageError>> {
        Box::pin(async move {
            self.0.asked.lock().unwrap().push(url.to_string());
            if let Some(gate) = &self.0.gate {
                gate.acquire().await.unwrap().forget();
            }
            let document = self.0.documents.lock().unwrap().get(url.as_str()).map(Value::to_string);
            document.map(String::into_bytes).ok_or(PageError::Status(503))
        })
    }
}

struct House {
    web: Arc<Web>,
    issuer: Arc<Issuer>,
    time: Arc<AtomicI64>,
}

impl House {
    fn with(keys_at: KeysAt, web: Web) -> Self {
        let (web, time) = (Arc::new(web), Arc::new(AtomicI64::new(START)));
        let now = Arc::clone(&time);
        let clock: Clock = Arc::new(move || now.load(Ordering::SeqCst));
        let issuer = Issuer::new(terms(), keys_at, Box::new(Line(Arc::clone(&web))), clock);
        Self { web, issuer, time }
    }

    fn new(signers: &[&Signer]) -> Self {
        let house = Self::with(KeysAt::Url(KEYS.parse().unwrap()), Web::default());
        house.web.publish(signers);
        house
    }

    fn wait(&self, seconds: i64) {
        self.time.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn verify(&self, token: &str) -> Result<Arc<Claims>, Unverified> {
        self.issuer.verify(token).await
    }

    /// Waits until keys were fetched so often; what is fetched behind a caller's back comes late.
    async fn fetched(&self, times: usize) {
        while self.web.fetches() < times {
            tokio::task::yield_now().await;
        }
        drop(self.issuer.turn.lock().await);
    }
}

fn lasting(signer: &Signer) -> String {
    signer.token(&claims(&json!({"exp": START + 10 * STALE})))
}

#[tokio::test]
async fn keys_are_fetched_once_and_kept() {
    let signer = Signer::new("a", "ES256");
    let house = House::new(&[&signer]);
    for other in 0..50 {
        let token = signer.token(&claims(&json!({"sub": format!("user {other}"), "exp": START + 10_000})));
        for _ in 0..2 {
            assert_eq!(house.verify(&token).await.unwrap().subject, format!("user {other}"));
        }
    }
    house.wait(FRESH - 1);
    house.verify(&lasting(&signer)).await.unwrap();
    assert_eq!(house.web.fetches(), 1);
    house.wait(1);
    house.verify(&lasting(&signer)).await.unwrap();
    house.fetched(2).await;
}

#[tokio::test]
async fn many_at_once_wait_for_one_fetch() {
    let signer = Signer::new("a", "ES256");
    let web = Web { gate: Some(Semaphore::new(0)), ..Web::default() };
    let house = House::with(KeysAt::Url(KEYS.parse().unwrap()), web);
    house.web.publish(&[&signer]);
    let token = lasting(&signer);
    let all = futures_util::future::join_all((0..100).map(|_| house.verify(&token)));
    let letting = async {
        while house.web.fetches() == 0 {
            tokio::task::yield_now().await;
        }
        house.web.gate.as_ref().unwrap().add_permits(1);
    };
    let (all, ()) = tokio::join!(all, letting);
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(house.web.fetches(), 1);
}

/// Or else whoever hangs up at the right time keeps new keys from ever being known.
#[tokio::test]
async fn a_caller_who_hangs_up_does_not_end_the_fetch() {
    let signer = Signer::new("a", "ES256");
    let web = Web { gate: Some(Semaphore::new(0)), ..Web::default() };
    let house = House::with(KeysAt::Url(KEYS.parse().unwrap()), web);
    house.web.publish(&[&signer]);
    let token = lasting(&signer);
    let asking = async {
        tokio::select! {
            biased;
            _ = house.verify(&token) => panic!("it waits"),
            () = async { while house.web.fetches() == 0 { tokio::task::yield_now().await } } => {}
        }
    };
    asking.await;
    house.web.gate.as_ref().unwrap().add_permits(1);
    house.verify(&token).await.unwrap();
    assert_eq!(house.web.fetches(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_and_a_withdrawn_one_is_forgotten() {
    let (old, new) = (Signer::new("old", "ES256"), Signer::new("new", "RS256"));
    let house = House::new(&[&old]);
    house.verify(&lasting(&old)).await.unwrap();
    house.web.publish(&[&new]);
    house.wait(FLOOR);
    house.verify(&lasting(&new)).await.unwrap();
    assert_eq!(house.web.fetches(), 2);
    // It was remembered, and the key that it was checked with is gone.
    assert_eq!(house.verify(&lasting(&old)).await, Err(TokenError::UnknownKey.into()));
    house.verify(&lasting(&new)).await.unwrap();
}

#[tokio::test]
async fn made_up_keys_are_asked_about_once_in_thirty_seconds() {
    let (signer, forger) = (Signer::new("a", "ES256"), Signer::new("b", "ES256"));
    let house = House::new(&[&signer]);
    house.verify(&lasting(&signer)).await.unwrap();
    let flood = async |house: &House| {
        for number in 0..20 {
            let head = json!({"alg": "ES256", "kid": format!("made up {number}")});
            let refused = house.verify(&forger.token_with(&head, &claims(&json!({})))).await;
            assert_eq!(refused, Err(TokenError::UnknownKey.into()));
        }
    };
    flood(&house).await;
    house.wait(FLOOR - 1);
    flood(&house).await;
    assert_eq!(house.web.fetches(), 1, "they were fetched just now");
    house.wait(1);
    flood(&house).await;
    assert_eq!(house.web.fetches(), 2);
    house.verify(&lasting(&signer)).await.unwrap();
}

#[tokio::test]
async fn while_the_issuer_is_down_known_keys_serve_for_a_day() {
    let signer = Signer::new("a", "ES256");
    let house = House::new(&[&signer]);
    house.verify(&lasting(&signer)).await.unwrap();
    house.web.is_down();
    house.wait(STALE - 1);
    house.verify(&lasting(&signer)).await.unwrap();
    house.fetched(2).await;
    house.wait(1);
    assert_eq!(house.verify(&lasting(&signer)).await, Err(Unverified::NoKeys), "no longer than that");
    house.web.publish(&[&signer]);
    house.wait(FLOOR);
    house.verify(&lasting(&signer)).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_never_answered_is_asked_again_after_a_while() {
    let signer = Signer::new("a", "ES256");
    let house = House::new(&[]);
    house.web.is_down();
    assert!(!house.issuer.prepare().await);
    for _ in 0..5 {
        assert_eq!(house.verify(&lasting(&signer)).await, Err(Unverified::NoKeys));
    }
    assert_eq!(house.web.fetches(), 1);
    house.web.publish(&[]);
    house.wait(FLOOR);
    assert_eq!(house.verify(&lasting(&signer)).await, Err(Unverified::NoKeys), "a set without keys is none");
    house.web.publish(&[&signer]);
    house.wait(FLOOR);
    house.verify(&lasting(&signer)).await.unwrap();
    assert!(house.issuer.prepare().await);
}

#[tokio::test]
async fn a_remembered_token_ends_when_it_says() {
    let signer = Signer::new("a", "ES256");
    let house = House::new(&[&signer]);
    let token = signer.token(&claims(&json!({"exp": START + 60})));
    for _ in 0..2 {
        house.verify(&token).await.unwrap();
    }
    house.wait(90);
    for _ in 0..2 {
        assert_eq!(house.verify(&token).await, Err(TokenError::Expired.into()));
    }
}

#[tokio::test]
async fn the_metadata_lead_to_the_keys() {
    let signer = Signer::new("a", "ES256");
    for place in [METADATA, OPENID] {
        let house = House::with(KeysAt::Metadata("https://login.example".parse().unwrap()), Web::default());
        house.web.publish(&[&signer]);
        house.web.put(METADATA, json!({"issuer": "https://login.example"}));
        house.web.put(place, json!({"issuer": "https://login.example", "jwks_uri": KEYS}));
        house.verify(&lasting(&signer)).await.unwrap();
        house.web.put(place, json!({"issuer": "https://evil.example", "jwks_uri": KEYS}));
        let other = House::with(KeysAt::Metadata("https://login.example".parse().unwrap()), Web::default());
        *other.web.documents.lock().unwrap() = house.web.documents.lock().unwrap().clone();
        assert_eq!(other.verify(&lasting(&signer)).await, Err(Unverified::NoKeys), "{place}");
        assert_eq!(other.web.fetches(), 0);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_keys_old_and_not_new_for_ever() {
    let signer = Signer::new("a", "ES256");
    let house = House::new(&[&signer]);
    house.verify(&lasting(&signer)).await.unwrap();
    house.wait(-FRESH);
    house.verify(&lasting(&signer)).await.unwrap();
    house.fetched(2).await;
}
