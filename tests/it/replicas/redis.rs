//! A real Redis for one test.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Says that a machine without `redis-server` fails rather than skips.
const REQUIRED: &str = "IRONCLAD_TEST_REDIS";

const WORDS: &str = "redis-server is not installed (Debian: apt-get install redis-server), so nothing was shown of \
                     replicas that share a Redis";

/// A `redis-server` on a port of its own, that keeps nothing on disk.
pub(crate) struct Redis {
    port: u16,
    child: Option<Child>,
}

impl Redis {
    /// Starts one; `None` where none is installed, and the test has nothing to show.
    pub(crate) async fn start() -> Option<Self> {
        // The port is free now, and nobody else is told of it.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut redis = Self { port, child: None };
        redis.again().await.then_some(redis)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it anew on the same port, with nothing of what it knew; `false` where none is installed.
    #[expect(clippy::disallowed_methods, reason = "it tells the test what the machine must have")]
    pub(crate) async fn again(&mut self) -> bool {
        self.kill();
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                assert!(std::env::var_os(REQUIRED).is_none(), "{WORDS}");
                eprintln!("skipped: {WORDS}");
                return false;
            }
            Err(error) => panic!("redis-server: {error}"),
        }
        let answers = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), answers).await.expect("redis-server does not listen");
        true
    }

    /// Ends it at once, as a machine that fails does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
