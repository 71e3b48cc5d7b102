//! So many calls are worked on at once; one that waits for the budget or a person takes no place from others.

use std::time::Duration;

use ironclad_mcp::ironclad::limiter::{self, Bucket, Scope};
use serde_json::{Value, json};

use crate::{
    house::House,
    support::{Setting, nda},
};

#[tokio::test]
async fn calls_that_queue_for_the_budget_keep_nobody_out() {
    let limits = [(Scope::Bucket(Bucket::WorkflowsWrite), 1)].into();
    let rate_budget = Some(limiter::Settings { limits, ..limiter::Settings::default() });
    let setting = Setting { rate_budget, rate_limit_wait: Duration::from_secs(12), ..Setting::default() };
    let house = House::of(setting, |_| {}).await;
    let launch =
        || house.modern("tools/call", "launch_workflow", json!({"name": "launch_workflow", "arguments": nda()}));
    let launches = futures_util::future::join_all((0..150).map(|_| launch()));
    let reads = async {
        // All have come by now.
        tokio::time::sleep(Duration::from_secs(3)).await;
        for _ in 0..20 {
            tokio::time::timeout(Duration::from_secs(3), house.is_well()).await.expect("a read had to wait");
        }
    };
    let (launched, ()) = tokio::join!(launches, reads);
    let mut launches = 0;
    for answer in launched {
        let answer: Value = answer.json().await.unwrap();
        let result = &answer["result"]["structuredContent"];
        launches += usize::from(result.get("id").is_some());
        assert!(result.get("id").is_some() || result["error"]["code"] == "rate_limited", "{answer}");
    }
    assert_eq!(launches, 1);
}

/// A crowd is served to the last, in parts.
#[tokio::test]
async fn a_crowd_is_served_to_the_last() {
    let house = House::open().await;
    futures_util::future::join_all((0..500).map(|_| house.is_well())).await;
}
