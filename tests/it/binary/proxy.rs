//! Proxy variables: honoured on the way to Ironclad, and not for this machine.

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
};

use super::program::Home;

#[tokio::test]
async fn ironclad_is_reached_through_the_proxy_that_the_environment_names() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = Home::new()
        .with("HTTPS_PROXY", &format!("http://{}", proxy.local_addr().unwrap()))
        .with("IRONCLAD_ACCESS_TOKEN", "token")
        .with("IRONCLAD_BASE_URL", "https://ironclad.invalid")
        .with("IRONCLAD_MAX_RETRIES", "0");
    let asked = async {
        let (stream, _) = proxy.accept().await.unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        line
    };
    let (asked, ended) = tokio::join!(asked, home.run(&["call", "list_users"]));
    assert_eq!(asked, "CONNECT ironclad.invalid:443 HTTP/1.1\r\n");
    assert_eq!(ended.json()["error"]["code"], "upstream_unavailable");
}

#[tokio::test]
async fn this_machine_is_reached_without_a_proxy() {
    let nowhere = "http://127.0.0.1:9";
    let home = Home::new().with("HTTP_PROXY", nowhere).with("http_proxy", nowhere).with("ALL_PROXY", nowhere);
    let users = home.run(&["call", "list_users", "--simulator"]).await;
    assert_eq!(users.json()["total"], 25, "{}", users.stdout);
}
