//! Templates and their launch forms, kept for a while.
//!
//! A form is fetched once for however many calls want it, is good for a short life, and the last good copy serves on when
//! a fetch fails: a template seldom changes, and a launch should not fail for want of a look-up.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use crate::{
    answer::each,
    ironclad::{
        Client, Errand, Failure, Unsound,
        json::{Json, Object, Reading},
    },
    launch_form::{LaunchForm, Refusal},
    plan::digest_of,
    replicas::Redis,
    request::{self, ActingUser, Request},
};

/// The most templates that are kept; an account with more fetches some again.
const KEPT: usize = 500;

/// The most memory that all forms together take, about: a hundred large ones take 20 MB.
const FORMS_MEMORY: usize = 64 << 20;

/// A template that contracts are launched from.
#[derive(Debug)]
pub struct Template {
    /// Its id, which changes when the design is published again.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether the acting user may launch it; so also where Ironclad does not say.
    pub launchable: bool,
    /// Its form; `None` where the reply held none.
    pub form: Option<LaunchForm>,
}

impl Template {
    /// Reads an item of `GET /workflow-schemas` (ironclad-api.md §8.5).
    #[must_use]
    pub fn read(raw: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| raw.get(name).and_then(Value::as_str).map(str::to_owned);
        let permissions = raw.get("permissions").and_then(Value::as_array);
        Some(Self {
            id: text("id")?,
            name: text("name").unwrap_or_default(),
            launchable: permissions.is_none_or(|all| all.iter().any(|permission| permission == "launch")),
            form: raw.get("schema").and_then(Value::as_object).map(LaunchForm::parse),
        })
    }
}

#[derive(Default)]
struct Slot(tokio::sync::Mutex<Option<(Arc<Template>, Instant)>>);

/// What one user sees of a template, another may not: the user and the template's id.
type Key = (ActingUser, String);

fn key(user: &ActingUser, id: &str) -> Key {
    (user.clone(), id.to_owned())
}

/// What replicas call it: nobody reads from it whose form it is.
fn name((user, id): &Key) -> String {
    digest_of(&json!([user.email, user.id, id]))
}

/// The templates of one account, as each acting user sees them.
pub struct Forms {
    life: Duration,
    /// Where replicas keep them for each other.
    shared: Option<Arc<Redis>>,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    learned: Mutex<HashMap<Key, BTreeSet<String>>>,
}

impl Forms {
    /// Keeps each form for `life`.
    #[must_use]
    pub fn new(life: Duration) -> Self {
        Self { life, shared: None, slots: Mutex::default(), learned: Mutex::default() }
    }

    /// The same, shared with other replicas.
    #[must_use]
    pub fn shared(mut self, shared: Option<Arc<Redis>>) -> Self {
        self.shared = shared;
        self
    }

    /// The template of an id, from the cache or from Ironclad.
    ///
    /// # Errors
    /// There is no copy and none can be fetched, or Ironclad says that there is no such template.
    pub async fn template(&self, client: &Client, errand: Errand<'_>, id: &str) -> Result<Arc<Template>, Failure> {
        let key = key(errand.user, id);
        let slot = self.slot(&key);
        // Held while fetching: whoever else wants this form waits here for the same one.
        let mut kept = slot.0.lock().await;
        if let Some((template, fetched)) = kept.as_ref()
            && fetched.elapsed() < self.life
        {
            return Ok(Arc::clone(template));
        }
        if let Some(shared) = self.of_others(&key).await {
            *kept = Some(shared.clone());
            return Ok(shared.0);
        }
        match fetch(client, errand, id).await {
            Ok((raw, template)) => {
                let template = Arc::new(template);
                *kept = Some((Arc::clone(&template), Instant::now()));
                if let Some(shared) = &self.shared {
                    shared.keep_form(&name(&key), &raw.to_string(), self.life).await;
                }
                Ok(template)
            }
            Err(failure) if says_no(&failure) => {
                self.forget(&key);
                if let Some(shared) = &self.shared {
                    shared.drop_form(&name(&key)).await;
                }
                Err(failure)
            }
            Err(failure) => match kept.as_ref() {
                Some((template, _)) => Ok(Arc::clone(template)),
                None => {
                    self.forget(&key);
                    Err(failure)
                }
            },
        }
    }

    /// Every template that the acting user sees, fetched now; each is kept as well.
    ///
    /// # Errors
    /// The list cannot be fetched.
    pub async fn all(&self, client: &Client, errand: Errand<'_>) -> Result<Vec<Arc<Template>>, Failure> {
        let templates: Vec<Arc<Template>> = fetch_all(client, errand).await?.into_iter().map(Arc::new).collect();
        for template in &templates {
            *self.slot(&key(errand.user, &template.id)).0.lock().await = Some((Arc::clone(template), Instant::now()));
        }
        Ok(templates)
    }

    /// The conditional attributes that Ironclad has asked for at launches of this template.
    #[must_use]
    pub fn learned(&self, user: &ActingUser, id: &str) -> BTreeSet<String> {
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned.get(&key(user, id)).cloned().unwrap_or_default()
    }

    /// Remembers what a refusal told of a template; `true` where it is news.
    pub fn learn(&self, user: &ActingUser, id: &str, refusal: &Refusal) -> bool {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        let known = learned.entry(key(user, id)).or_default();
        let before = known.len();
        known.extend(refusal.learned.iter().cloned());
        known.len() > before
    }

    /// What another replica fetched, and when that was.
    async fn of_others(&self, key: &Key) -> Option<(Arc<Template>, Instant)> {
        let (text, left) = self.shared.as_ref()?.form(&name(key)).await?;
        let raw: Value = serde_json::from_str(&text).ok()?;
        let template = raw.as_object().and_then(Template::read)?;
        let age = self.life.checked_sub(left)?;
        Some((Arc::new(template), Instant::now().checked_sub(age)?))
    }

    fn slot(&self, key: &Key) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= KEPT && !slots.contains_key(key) {
            slots.clear();
        }
        Arc::clone(slots.entry(key.clone()).or_default())
    }

    fn forget(&self, key: &Key) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Ironclad answered, and the answer will not be another one in a moment.
pub(crate) fn says_no(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused { head, .. } if (400..500).contains(&head.status) && head.status != 429)
}

/// The request for a template's launch form, or for all of them.
fn form_request(id: Option<&str>) -> Request {
    let below = id.map(|id| format!("/{}", request::segment(id))).unwrap_or_default();
    let query = vec![("form".to_owned(), "launch".to_owned())];
    Request { query, ..Request::look_up(&format!("/workflow-schemas{below}")) }
}

async fn fetch(client: &Client, errand: Errand<'_>, id: &str) -> Result<(Value, Template), Failure> {
    let (head, raw) = client.send(&form_request(Some(id)), &mut Json::new(Object), errand).await.result?;
    let template = Template::read(&raw).ok_or(Failure::Unsound(head, Unsound::Malformed))?;
    Ok((raw.into(), template))
}

async fn fetch_all(client: &Client, errand: Errand<'_>) -> Result<Vec<Template>, Failure> {
    let (_, templates) = client.send(&form_request(None), &mut Json::new(Templates), errand).await.result?;
    Ok(templates)
}

/// Reads a list of templates, each parsed before the next comes.
#[derive(Clone, Copy)]
struct Templates;

impl Reading for Templates {
    type Made = Vec<Template>;

    fn read<'de, R: serde_json::de::Read<'de>>(
        &self,
        json: &mut serde_json::Deserializer<R>,
    ) -> Result<Self::Made, Unsound> {
        let mut templates = Vec::new();
        let whole = each(json, ("list", FORMS_MEMORY), |_, raw, bytes| {
            templates.extend(raw.as_object().and_then(Template::read));
            bytes
        })?;
        if whole { Ok(templates) } else { Err(Unsound::TooLarge(FORMS_MEMORY)) }
    }
}
