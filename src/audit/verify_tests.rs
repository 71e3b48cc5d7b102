use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::audit::{AuditLog, Rotation, Target, log::tests::line};

/// A log of `lines` lines in files of at most `max_bytes`.
struct Kept {
    folder: TempDir,
}

impl Kept {
    fn of(lines: usize, max_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kept = Self { folder };
        kept.append(lines, max_bytes);
        kept
    }

    fn append(&self, lines: usize, max_bytes: u64) {
        let rotation = Rotation { max_bytes, ..Rotation::default() };
        let log = AuditLog::new(Target::File(self.path())).rotated(rotation);
        (0..lines).for_each(|number| log.append(&line(number), false).unwrap());
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    /// The files in order.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = files::put_away(&self.path()).unwrap();
        files.push(self.path());
        files
    }

    /// Every line of every file, with the file's number.
    fn lines(&self) -> Vec<(usize, String)> {
        let read = |(at, file)| {
            let text = std::fs::read_to_string(file).unwrap();
            text.split_inclusive('\n').map(|line| (at, line.to_owned())).collect::<Vec<_>>()
        };
        self.files().into_iter().enumerate().flat_map(read).collect()
    }

    fn write(&self, lines: &[(usize, String)]) {
        for (at, file) in self.files().iter().enumerate() {
            let text: String = lines.iter().filter(|(of, _)| *of == at).map(|(_, line)| line.as_str()).collect();
            std::fs::write(file, text).unwrap();
        }
    }

    fn verify(&self) -> Result<Verified, Broken> {
        verify(&self.path(), Expected::default()).unwrap()
    }

    fn broken(&self) -> Broken {
        self.verify().unwrap_err()
    }
}

#[test]
fn a_whole_log_is_found_whole_across_its_files() {
    for (max_bytes, files) in [(0, 1), (2000, 4)] {
        let kept = Kept::of(30, max_bytes);
        let found = kept.verify().unwrap();
        assert!(found.files >= files && found.lines == 30 && found.head == HeadSays::Whole, "{found:?}");
        let last: serde_json::Value = serde_json::from_str(&kept.lines().last().unwrap().1).unwrap();
        assert_eq!(last["hash"], found.last_hash.as_str());
    }
}

#[test]
fn no_log_is_a_whole_log() {
    let folder = tempfile::tempdir().unwrap();
    let found = verify(&folder.path().join("audit.jsonl"), Expected::default()).unwrap().unwrap();
    assert_eq!((found.files, found.lines), (0, 0));
}

#[test]
fn half_a_last_line_is_unfinished_and_not_broken() {
    let kept = Kept::of(3, 0);
    let mut text = std::fs::read_to_string(kept.path()).unwrap();
    text.push_str("{\"time\":\"2026");
    std::fs::write(kept.path(), text).unwrap();
    let found = kept.verify().unwrap();
    assert!(found.unfinished && found.lines == 3);
}

#[test]
fn the_first_broken_line_is_named_with_its_file() {
    let kept = Kept::of(30, 2000);
    let mut lines = kept.lines();
    let at = lines.iter().position(|(of, _)| *of == 2).unwrap() + 1;
    lines[at].1 = lines[at].1.replacen("allowed", "blocked", 1);
    lines[at + 2].1 = lines[at + 2].1.replacen("allowed", "blocked", 1);
    kept.write(&lines);
    assert_eq!(kept.broken(), Broken { file: kept.files()[2].clone(), line: 2, fault: Fault::Changed });
}

#[test]
fn a_missing_file_shows_wherever_it_stood() {
    for at in [0, 1] {
        let kept = Kept::of(30, 2000);
        std::fs::remove_file(&kept.files()[at]).unwrap();
        let broken = kept.broken();
        assert_eq!((&broken.file, broken.line), (&kept.files()[at], 1), "{broken}");
    }
    let kept = Kept::of(30, 2000);
    std::fs::remove_file(kept.path()).unwrap();
    assert!(matches!(kept.broken().fault, Fault::CutOff { .. }));
}

#[test]
fn files_that_were_put_away_elsewhere_are_answered_for_by_the_hash_of_their_last_line() {
    let kept = Kept::of(30, 2000);
    let first: serde_json::Value =
        serde_json::from_str(&kept.lines().iter().rfind(|(of, _)| *of == 0).unwrap().1).unwrap();
    let hash = first["hash"].as_str().unwrap().to_owned();
    std::fs::remove_file(&kept.files()[0]).unwrap();
    assert_eq!(kept.broken().fault, Fault::NotFirst { prev: hash.clone() });
    let expected = Expected { after: Some(hash), holds: None };
    assert!(verify(&kept.path(), expected).unwrap().is_ok());
}

#[test]
fn a_log_made_anew_does_not_hold_the_hash_that_somebody_noted() {
    let kept = Kept::of(5, 0);
    let noted = kept.verify().unwrap().last_hash;
    kept.append(2, 0);
    let expected = || Expected { after: None, holds: Some(noted.clone()) };
    assert!(verify(&kept.path(), expected()).unwrap().is_ok());
    let other = Kept::of(7, 0);
    let broken = verify(&other.path(), expected()).unwrap().unwrap_err();
    assert_eq!(broken.fault, Fault::Without { hash: noted.clone() });
}

#[test]
fn lines_cut_off_the_end_show_also_when_others_were_written_behind() {
    let kept = Kept::of(5, 0);
    let mut lines = kept.lines();
    lines.truncate(3);
    kept.write(&lines);
    let broken = kept.broken();
    assert!(matches!(broken.fault, Fault::CutOff { .. }) && broken.line == 4, "{broken}");
    kept.append(2, 0);
    let broken = kept.broken();
    assert!(matches!(broken.fault, Fault::WasCutOff { .. }) && broken.line == 4, "{broken}");
}

#[test]
fn without_a_head_the_end_is_not_vouched_for() {
    let kept = Kept::of(5, 0);
    std::fs::remove_file(head::path_of(&kept.path())).unwrap();
    assert_eq!(kept.verify().unwrap().head, HeadSays::Nothing);
    kept.append(1, 0);
    assert_eq!(kept.verify().unwrap().head, HeadSays::Whole);
}

/// One thing that somebody does to a log.
#[derive(Debug, Clone)]
enum Meddling {
    Change { at: usize, byte: usize, to: u8 },
    Drop { at: usize },
    Swap { at: usize, with: usize },
    Repeat { at: usize, to: usize },
}

fn meddling() -> impl Strategy<Value = Meddling> {
    let at = 0usize..20;
    prop_oneof![
        (at.clone(), any::<usize>(), any::<u8>()).prop_map(|(at, byte, to)| Meddling::Change { at, byte, to }),
        at.clone().prop_map(|at| Meddling::Drop { at }),
        (at.clone(), at.clone()).prop_map(|(at, with)| Meddling::Swap { at, with }),
        (at.clone(), 0usize..=20).prop_map(|(at, to)| Meddling::Repeat { at, to }),
    ]
}

/// The lines after it, and the first that is out of place.
fn meddle(lines: &[Vec<u8>], what: &Meddling) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut after = lines.to_vec();
    let first = match *what {
        Meddling::Change { at, byte, to } => {
            let byte = byte % after[at].len();
            let old = std::mem::replace(&mut after[at][byte], to);
            (old != to).then_some(at)?
        }
        Meddling::Drop { at } => {
            after.remove(at);
            at
        }
        Meddling::Swap { at, with } => {
            after.swap(at, with);
            (at != with).then_some(at.min(with))?
        }
        Meddling::Repeat { at, to } => {
            after.insert(to, lines[at].clone());
            // A line put right behind itself is the second of the two.
            if to == at { at + 1 } else { to }
        }
    };
    Some((after, first))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_single_change_drop_swap_or_repeat_is_found_where_it_is(what in meddling()) {
        let kept = Kept::of(20, 0);
        let text = std::fs::read(kept.path()).unwrap();
        let lines: Vec<Vec<u8>> = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        if let Some((after, first)) = meddle(&lines, &what) {
            std::fs::write(kept.path(), after.concat()).unwrap();
            let broken = kept.broken();
            // A line break that is gone joins the line with the next, which is the same line's number.
            prop_assert_eq!(broken.line, first as u64 + 1, "{}", broken);
        }
    }

    #[test]
    fn no_file_is_too_odd_to_be_verified(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, &text).unwrap();
        let found = verify(&path, Expected::default()).unwrap();
        prop_assert!(found.is_err() || !text.contains(&b'\n'));
    }
}
