use serde_json::json;

use super::*;

fn approval(id: &str) -> Approval {
    let soon = now() + 100;
    serde_json::from_value(json!({"id": id, "tool": "t", "title": "T", "agent": "bot", "host": "h", "sentence": "s",
        "facts": [["a", "b"]], "digest": "d", "filed": now(), "expires": soon}))
    .unwrap()
}

fn said(approved: bool, by: &str) -> Decision {
    Decision { approved, by: by.into(), at: now(), reason: None }
}

/// Both kinds keep the same promises.
fn both() -> (tempfile::TempDir, Vec<Box<dyn Shared>>) {
    let folder = tempfile::tempdir().unwrap();
    let on_disk = Folder::new(&folder.path().join("state"));
    (folder, vec![Box::new(on_disk), Box::new(Memory::default())])
}

#[test]
fn ids_are_short_and_differ() {
    let ids: std::collections::BTreeSet<String> = (0..500).map(|_| new_id().unwrap()).collect();
    assert_eq!(ids.len(), 500);
    assert!(ids.iter().all(|id| is_id(id)));
    for wrong in ["", "../../etc/pa", "ABCDEFGHJKMN", "abcdefghjkm", "abcdefghjkmnp", "abcdefghjkm/"] {
        assert!(!is_id(wrong), "{wrong}");
    }
}

#[tokio::test]
async fn an_id_is_used_up_once() {
    let (_folder, both) = both();
    for shared in both {
        let id = new_id().unwrap();
        assert!(!shared.is_claimed(&id).await.unwrap());
        let tries = futures_util::future::join_all((0..50).map(|_| shared.claim(&id, now() + 100))).await;
        assert_eq!(tries.into_iter().filter(|won| *won.as_ref().unwrap()).count(), 1);
        assert!(shared.is_claimed(&id).await.unwrap());
        for _ in 0..2 {
            shared.give_back(&id).await.unwrap();
            assert!(!shared.is_claimed(&id).await.unwrap());
        }
        assert!(shared.claim(&id, now() + 100).await.unwrap() && !shared.claim(&id, now() + 100).await.unwrap());
    }
}

#[tokio::test]
async fn a_claim_outlives_the_process_and_is_forgotten_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let (past, present) = (new_id().unwrap(), new_id().unwrap());
    let first = Folder::new(folder.path());
    assert!(first.claim(&past, now() - 100).await.unwrap());
    assert!(first.claim(&present, now() + 100).await.unwrap());
    let second = Folder::new(folder.path());
    assert!(!second.claim(&present, now() + 100).await.unwrap());
    assert!(!second.is_claimed(&past).await.unwrap());
    assert_eq!(std::fs::read_dir(folder.path().join("used")).unwrap().count(), 1);
}

#[tokio::test]
async fn one_of_two_people_decides() {
    let (_folder, both) = both();
    for shared in both {
        let id = new_id().unwrap();
        shared.file(approval(&id)).await.unwrap();
        assert_eq!(shared.find(&id).await.unwrap().unwrap().standing(now()), Standing::Pending);
        let (a, b) =
            futures_util::join!(decide(&*shared, &id, said(true, "ada")), decide(&*shared, &id, said(false, "bob")));
        let counted = [a.unwrap(), b.unwrap()].into_iter().filter(|decided| matches!(decided, Decided::Now(_)));
        assert_eq!(counted.count(), 1);
        let kept = shared.find(&id).await.unwrap().unwrap().decision.unwrap();
        let Decided::Before(found) = decide(&*shared, &id, said(!kept.approved, "eve")).await.unwrap() else {
            panic!("decided twice")
        };
        assert_eq!(found.decision.unwrap(), kept);
        assert_eq!(decide(&*shared, &new_id().unwrap(), said(true, "ada")).await.unwrap(), Decided::Unknown);
    }
}

#[tokio::test]
async fn what_is_too_late_cannot_be_decided() {
    let (_folder, both) = both();
    for shared in both {
        let late = Approval { expires: now() - 1, ..approval(&new_id().unwrap()) };
        shared.file(late.clone()).await.unwrap();
        let decided = decide(&*shared, &late.id, said(true, "ada")).await.unwrap();
        assert!(matches!(decided, Decided::Before(found) if found.standing(now()) == Standing::Expired));
    }
}

#[tokio::test]
async fn what_was_approved_is_used_once_and_shows_it() {
    let (_folder, both) = both();
    for shared in both {
        let id = new_id().unwrap();
        shared.file(approval(&id)).await.unwrap();
        decide(&*shared, &id, said(true, "ada")).await.unwrap();
        assert_eq!(shared.find(&id).await.unwrap().unwrap().standing(now()), Standing::Approved);
        shared.claim(&id, now() + 100).await.unwrap();
        assert_eq!(shared.find(&id).await.unwrap().unwrap().standing(now()), Standing::Used);
    }
}

#[tokio::test]
async fn the_newest_come_first_and_the_long_past_are_gone() {
    let (_folder, both) = both();
    for shared in both {
        let ids: Vec<String> = (0..3).map(|_| new_id().unwrap()).collect();
        // Read once: a second that ends between two of them would turn their order.
        let newest = now();
        for (age, id) in ids.iter().enumerate() {
            let filed = newest - i64::try_from(age).unwrap();
            shared.file(Approval { filed, ..approval(id) }).await.unwrap();
        }
        let old = Approval { expires: now() - RECENT_SECONDS - 10, ..approval(&new_id().unwrap()) };
        shared.file(old.clone()).await.unwrap();
        let all: Vec<String> = shared.all().await.unwrap().into_iter().map(|approval| approval.id).collect();
        assert_eq!(all, ids);
    }
}

#[tokio::test]
async fn a_damaged_file_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let shared = Folder::new(folder.path());
    assert!(shared.all().await.unwrap().is_empty());
    let id = new_id().unwrap();
    shared.file(approval(&id)).await.unwrap();
    std::fs::write(folder.path().join(format!("approvals/{}.json", new_id().unwrap())), "{").unwrap();
    std::fs::write(folder.path().join("approvals/x"), "").unwrap();
    assert_eq!(shared.all().await.unwrap().len(), 1);
    assert!(shared.find("../approvals").await.unwrap().is_none());
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let shared = Folder::new(&folder.path().join("state"));
    let id = new_id().unwrap();
    shared.file(approval(&id)).await.unwrap();
    shared.claim(&id, now() + 100).await.unwrap();
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    for made in ["state", "state/approvals", "state/used"] {
        assert_eq!(mode(made), 0o700, "{made}");
    }
    assert_eq!(mode(&format!("state/approvals/{id}.json")), 0o600);
}
