//! `atlas get job` and `atlas ls`

use std::fs;
use std::path::Path;

use atlas_proto::wire::{FileEntry, FileKind};
use tar::{Builder, EntryType, Header};

use crate::master::{Master, State, ended};
use crate::run::User;

const ID: &str = "11111111-2222-4333-8444-555555555555";
const TIME: u64 = 1_795_168_800;

fn header(kind: EntryType, bytes: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(bytes as u64);
    header.set_mode(0o644);
    header.set_mtime(TIME);
    header
}

/// A job with these files, listed and in a tar; each can also be asked for alone.
fn job_with(files: &[(&str, String)]) -> State {
    let mut all = Builder::new(Vec::new());
    let mut state = State::default();
    for (path, text) in files {
        let mut one = Builder::new(Vec::new());
        for tar in [&mut all, &mut one] {
            tar.append_data(&mut header(EntryType::Regular, text.len()), path, text.as_bytes())
                .unwrap();
        }
        state.tars.insert((*path).to_owned(), one.into_inner().unwrap());
        state.files.push(FileEntry {
            path: (*path).to_owned(),
            bytes: text.len() as u64,
            modified_ms: TIME * 1000 + 7,
            kind: FileKind::File.into(),
            target: String::new(),
        });
    }
    state.tars.insert(String::new(), all.into_inner().unwrap());
    state.jobs.insert(ID.into(), ended(ID, "completed", None));
    state
}

fn many() -> Vec<(String, String)> {
    (0..60).map(|it| (format!("outputs/{it}/file"), "x".repeat(it * 10))).collect()
}

fn borrowed(files: &[(String, String)]) -> Vec<(&str, String)> {
    files.iter().map(|(path, text)| (path.as_str(), text.clone())).collect()
}

fn content(user: &User, path: &str) -> String {
    fs::read_to_string(user.path("here").join(ID).join(path)).unwrap()
}

#[tokio::test]
async fn a_job_fills_a_folder_of_its_name_and_is_not_fetched_twice() {
    let files =
        [("source/main.py", "print(1)\n".to_owned()), ("outputs/deep/model", "weights".to_owned())];
    let master = Master::start(job_with(&files)).await;
    let user = User::of(&master.url);
    let run = user.atlas(&["get", "job", "scheduler", "1111"]).await.exits(0);
    run.says(&format!("Successfully retrieved Job {ID}"));
    assert_eq!(content(&user, "source/main.py"), "print(1)\n");
    assert_eq!(content(&user, "outputs/deep/model"), "weights");
    assert_eq!(master.state().tar_requests.len(), 2);
    user.atlas(&["get", "job", "scheduler", "1111"]).await.exits(0);
    assert_eq!(master.state().tar_requests.len(), 2, "nothing was missing");
    // What was changed or lost comes again, alone.
    fs::write(user.path("here").join(ID).join("source/main.py"), "changed").unwrap();
    user.atlas(&["get", "job", "scheduler", "1111"]).await.exits(0);
    assert_eq!(master.state().tar_requests[2..], ["source/main.py"]);
    assert_eq!(content(&user, "source/main.py"), "print(1)\n");
}

#[tokio::test]
async fn what_was_fetched_into_a_job_directory_does_not_travel_with_its_next_job() {
    let files = [("source/main.py", "print(1)\n".to_owned()), ("outputs/model", "weights".into())];
    let master = Master::start(job_with(&files)).await;
    let user = User::of(&master.url);
    user.here("main.py", "");
    user.atlas(&["get", "job", "scheduler", "1111"]).await.exits(0);
    for rules in [".gitignore", ".atlasignore"] {
        user.here(rules, "*.tmp\n");
        let run = user.atlas(&["submit", "--dry-run", "scheduler", ".", "main.py"]).await.exits(0);
        let listed = run.out();
        let (travels, stays) = listed.split_once("Would stay behind").unwrap();
        assert!(!travels.contains("outputs") && !travels.contains("source"), "{rules}: {listed}");
        assert!(stays.contains(&format!("{ID}/outputs/")), "{rules}: {listed}");
    }
    // What somebody made of it is theirs.
    user.here(&format!("{ID}/.gitignore"), "outputs/\n");
    user.atlas(&["get", "job", "scheduler", "1111"]).await.exits(0);
    assert_eq!(content(&user, ".gitignore"), "outputs/\n");
}

#[tokio::test]
async fn a_connection_that_breaks_is_taken_up_again() {
    let files = many();
    for at in [700, 20_000] {
        let state = State { break_tar_at: Some(at), ..job_with(&borrowed(&files)) };
        let master = Master::start(state).await;
        let user = User::of(&master.url);
        user.atlas(&["get", "job", "scheduler", ID]).await.exits(0);
        for (path, text) in &files {
            assert_eq!(&content(&user, path), text, "{path}");
        }
    }
}

#[tokio::test]
async fn a_part_of_a_job_goes_where_the_user_says() {
    let files = [("source/main.py", "a".to_owned()), ("outputs/model", "b".to_owned())];
    let master = Master::start(job_with(&files)).await;
    let user = User::of(&master.url);
    let args =
        ["get", "job", "--save_dir", "results/new", "--source_dir", "outputs/", "scheduler", ID];
    user.atlas(&args).await.exits(0);
    let into = user.path("here/results/new").join(ID);
    assert_eq!(fs::read_to_string(into.join("outputs/model")).unwrap(), "b");
    assert!(!into.join("source").exists());
}

#[tokio::test]
async fn a_hostile_archive_stays_in_its_folder() {
    for path in ["../outside", "/tmp/atlas-cli-outside"] {
        let mut tar = Builder::new(Vec::new());
        let mut evil = header(EntryType::Regular, 4);
        evil.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        evil.set_cksum();
        tar.append(&evil, &b"evil"[..]).unwrap();
        let mut state = job_with(&[("outputs/model", "b".to_owned())]);
        state.tars.insert("outputs/model".into(), tar.into_inner().unwrap());
        let master = Master::start(state).await;
        let user = User::of(&master.url);
        let run = user.atlas(&["get", "job", "scheduler", ID]).await.exits(126);
        run.says(&format!("the archive names {path}"));
        assert!(
            !user.path("here/outside").exists() && !Path::new("/tmp/atlas-cli-outside").exists()
        );
    }
}

#[tokio::test]
async fn files_are_listed_by_folder_or_all() {
    let files = [
        ("outputs/a/x", "12".to_owned()),
        ("outputs/b", "3".to_owned()),
        ("source/main.py", "4".to_owned()),
    ];
    let master = Master::start(job_with(&files)).await;
    let user = User::of(&master.url);
    let paths = |run: crate::run::Run| {
        let json = run.exits(0).json();
        let all = json.as_array().unwrap().iter();
        all.map(|it| (it["path"].as_str().unwrap().to_owned(), it["bytes"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let top = paths(user.atlas(&["ls", "1111", "-o", "json"]).await);
    assert_eq!(top, [("outputs".to_owned(), 3), ("source".to_owned(), 1)]);
    let below = paths(user.atlas(&["ls", "1111", "outputs", "-o", "json"]).await);
    assert_eq!(below, [("outputs/a".to_owned(), 2), ("outputs/b".to_owned(), 1)]);
    let all = paths(user.atlas(&["ls", "-R", "1111", "-o", "json"]).await);
    assert_eq!(all.len(), 3);
    let table = user.atlas(&["ls", "1111"]).await.exits(0).out();
    assert!(table.contains("3 B  -         outputs/"), "{table}");
    user.atlas(&["ls", "9999"]).await.exits(1);
}
