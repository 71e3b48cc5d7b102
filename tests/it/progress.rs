//! Progress of long calls: to those who asked for it, growing, and over with the answer.

use serde_json::json;

use crate::{
    support::{Setting, nda},
    ways::{Lane, WAYS},
};

#[tokio::test]
async fn a_launch_that_takes_its_time_is_told_of_until_its_answer_comes() {
    let all = WAYS.map(|way| async move {
        let lane = Lane::open(way, Setting::default()).await;
        lane.control("async-launch", r#"{"milliseconds": 2500}"#).await;
        let mut launch = nda();
        launch["attributes"]["draft"] = json!([{"url": "https://files.example/nda.docx"}]);
        let begun = lane.begin("launch_workflow", &launch).await;
        let token = begun.progress_token.clone();
        begun.await_response().await.unwrap();
        let heard = lane.heard();
        assert!(heard.len() >= 2, "{way:?}: {heard:?}");
        assert!(heard.iter().all(|told| told.progress_token == token && told.message.is_some()), "{way:?}: {heard:?}");
        assert!(heard.windows(2).all(|pair| pair[0].progress < pair[1].progress), "{way:?}: {heard:?}");
        // The next call has another token: nothing is told of the first any more.
        lane.call("list_users", &json!({})).await;
        assert_eq!(lane.heard().len(), heard.len(), "{way:?}");
    });
    futures_util::future::join_all(all).await;
}
