//! What goes along and what stays behind.

use super::*;

#[test]
fn gitignore_counts_in_every_folder_and_the_deepest_wins() {
    check(
        &[
            "main.py",
            ".gitignore: *.log|/data/*|!/data/small.csv|build/",
            "a.log",
            "data/big.csv",
            "data/small.csv",
            "build/x",
            "sub/.gitignore: !keep.log|/local",
            "sub/keep.log",
            "sub/b.log",
            "sub/local",
            "sub/deep/local",
        ],
        Rules::Ignore,
        &expect![[r#"
            .gitignore
            data/
            data/small.csv
            main.py
            sub/
            sub/.gitignore
            sub/deep/
            sub/deep/local
            sub/keep.log
            - a.log by .gitignore:1 '*.log'
            - build/ by .gitignore:4 'build/'
            - data/big.csv by .gitignore:2 '/data/*'
            - sub/b.log by .gitignore:1 '*.log'
            - sub/local by sub/.gitignore:2 '/local'
        "#]],
    );
}

#[test]
fn atlasignore_takes_the_place_of_gitignore() {
    check(
        &[
            ".gitignore: *.pt",
            ".atlasignore: # comment||secret.txt",
            "model.pt",
            "secret.txt",
            "sub/.gitignore: *",
            "sub/a",
        ],
        Rules::Ignore,
        &expect![[r#"
            .atlasignore
            .gitignore
            model.pt
            sub/
            sub/.gitignore
            sub/a
            - secret.txt by .atlasignore:3 'secret.txt'
        "#]],
    );
}

#[test]
fn git_caches_and_environments_stay_behind_unless_atlasignore_says_otherwise() {
    let files = [
        "main.py",
        ".git/HEAD",
        "pkg/__pycache__/a.pyc",
        "env/pyvenv.cfg",
        "env/bin/python",
        "sub/.git: gitdir: ../x",
    ];
    check(
        &[&files[..], &[".gitignore: !.git|!env/"]].concat(),
        Rules::Ignore,
        &expect![[r#"
            .gitignore
            main.py
            pkg/
            sub/
            - .git/ by the built-in rule '.git'
            - env/ by the built-in rule for virtual environments (pyvenv.cfg)
            - pkg/__pycache__/ by the built-in rule '__pycache__/'
            - sub/.git by the built-in rule '.git'
        "#]],
    );
    check(
        &[&files[..], &[".atlasignore: !env/|!/.git"]].concat(),
        Rules::Ignore,
        &expect![[r#"
            .atlasignore
            .git/
            .git/HEAD
            env/
            env/bin/
            env/bin/python
            env/pyvenv.cfg
            main.py
            pkg/
            sub/
            - pkg/__pycache__/ by the built-in rule '__pycache__/'
            - sub/.git by the built-in rule '.git'
        "#]],
    );
}

#[test]
fn no_ignore_sends_all() {
    check(
        &[".gitignore: *", "a", ".git/HEAD", "__pycache__/a.pyc"],
        Rules::SendAll,
        &expect![[r#"
            .git/
            .git/HEAD
            .gitignore
            __pycache__/
            __pycache__/a.pyc
            a
        "#]],
    );
}

#[test]
fn links_travel_as_links_and_those_that_leave_are_told() {
    check(
        &[
            "data -> /mnt/nfs/imagenet",
            "sub/a",
            "sub/up -> ../main.py",
            "sub/out -> ../../x",
            "sub/round -> ../sub/../main.py",
        ],
        Rules::Ignore,
        &expect![[r#"
            data
            sub/
            sub/a
            sub/out
            sub/round
            sub/up
            ! data is a link to /mnt/nfs/imagenet, outside of the job directory: the link goes along, the data does not
            ! sub/out is a link to ../../x, outside of the job directory: the link goes along, the data does not
        "#]],
    );
}

#[test]
fn secrets_and_bad_patterns_are_told() {
    check(
        &[
            ".env: A=b",
            "deploy.txt: note|-----BEGIN RSA PRIVATE KEY-----|MIIE",
            ".gitignore: ok|a[z-b]",
            "a",
            "ok",
        ],
        Rules::Ignore,
        &expect![[r#"
            .env
            .gitignore
            a
            deploy.txt
            - ok by .gitignore:1 'ok'
            ! .gitignore:2 'a[z-b]' is no pattern (error parsing glob 'a[z-b]': invalid range; 'z' > 'b') and ignores nothing
            ! .env looks like a file of environment values and goes along: leave it out with .atlasignore
            ! deploy.txt looks like a private key and goes along: leave it out with .atlasignore
        "#]],
    );
}

#[test]
fn other_kinds_of_files_stay_behind() {
    let dir = directory(&["main.py"]);
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    expect![[r#"
        main.py
        ! pipe is a named pipe and stays behind
        ! socket is a socket and stays behind
    "#]]
    .assert_eq(&render(&collect(dir.path(), Rules::Ignore).unwrap()));
}

#[test]
fn a_command_that_names_an_ignored_file_is_refused_with_the_rule() {
    let dir = directory(&[
        "main.py",
        ".gitignore: *.json|results/",
        "conf.json",
        "results/best.pt",
        "sub/",
    ]);
    let tree = collect(dir.path(), Rules::Ignore).unwrap();
    let refusal =
        |command: &[&str]| tree.check_command(command).err().map(|error| error.to_string());

    assert_eq!(refusal(&["python", "main.py", "--out", "results", "other.json"]), None);
    assert_eq!(refusal(&["main.py", "--conf=/etc/conf.json", "../conf.json"]), None);
    let absolute = tree.root().join("conf.json");
    for word in ["conf.json", "./sub/../conf.json", "--conf=conf.json", absolute.to_str().unwrap()]
    {
        let refusal = refusal(&["main.py", word]).expect(word);
        assert!(
            refusal.starts_with(
                "conf.json is named in the command but stays behind by .gitignore:1 '*.json'"
            ),
            "{refusal}"
        );
    }
    assert!(refusal(&["main.py", "results/best.pt"]).unwrap().contains(".gitignore:2 'results/'"));
}

#[test]
fn the_largest_paths_are_folders_of_many_and_single_files() {
    let dir = directory(&["small.txt: 1", "models/"]);
    let write = |path: &str, size: usize| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![0; size]).unwrap();
    };
    write("models/old/big.pt", 9_000);
    write("models/old/big.txt", 10);
    for index in 0..30 {
        write(&format!("data/train/{index}.png"), 100);
    }
    let tree = collect(dir.path(), Rules::Ignore).unwrap();
    let largest: Vec<_> = tree
        .largest(3)
        .into_iter()
        .map(|(path, size)| format!("{} {size}", path.display()))
        .collect();
    assert_eq!(largest, ["models/old/big.pt 9000", "data/train/ 3000", "models/old/big.txt 10"]);
    assert_eq!(tree.totals(), (33, 12_011));
}
