//! Launch forms as one replica fetched them, for all.

use std::time::Duration;

use super::Redis;

/// The largest form that is shared: the rest is fetched by each replica.
const LARGEST: usize = 1 << 20;

impl Redis {
    /// The form of a name and how long it is good still; `None` where there is none or Redis is gone.
    pub async fn form(&self, name: &str) -> Option<(String, Duration)> {
        let key = self.key("form", name);
        let text: Option<String> = self.ask(redis::cmd("GET").arg(&key)).await.ok()?;
        let left: i64 = self.ask(redis::cmd("PTTL").arg(&key)).await.ok()?;
        Some((text?, Duration::from_millis(u64::try_from(left).ok()?)))
    }

    /// Shares a form for so long; where that fails, each replica fetches its own.
    pub async fn keep_form(&self, name: &str, form: &str, life: Duration) {
        if form.len() <= LARGEST {
            let life = u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1);
            let mut set = redis::cmd("SET");
            set.arg(self.key("form", name)).arg(form).arg("PX").arg(life);
            let _: Result<(), _> = self.ask(&set).await;
        }
    }

    /// Has every replica fetch a form anew once its own copy is over.
    pub async fn drop_form(&self, name: &str) {
        let _: Result<i64, _> = self.ask(redis::cmd("DEL").arg(self.key("form", name))).await;
    }
}
