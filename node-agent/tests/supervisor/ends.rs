//! How jobs end, and what they find when they begin.

use std::fs;
use std::path::Path;

use atlas_node::slot::Event;
use atlas_node::supervisor::{Cause, End, ExitFile, Limits, StartedFile, Step, User};

use crate::harness::{Ended, Fixture, command, exited, next, run_file, sh};

fn failed(ended: &Ended, expected: Cause) -> &str {
    let End::FailedToStart { cause, message } = &ended.exit.end else {
        panic!("it should not start: {:?}", ended.exit.end)
    };
    assert_eq!(*cause, expected, "{message}");
    let log = String::from_utf8_lossy(&ended.log);
    assert!(log.contains(message), "the log says why: {log}");
    assert_eq!(StartedFile::read(&ended.control).unwrap(), None);
    message
}

#[tokio::test]
async fn exit_codes_and_signals_are_kept_as_they_are() {
    let mut fixture = Fixture::new();
    for (script, end) in [
        ("exit 0", End::Code { code: 0 }),
        ("exit 3", End::Code { code: 3 }),
        ("exit 255", End::Code { code: 255 }),
        ("kill -KILL $$", End::Signal { signal: 9 }),
        ("kill -TERM $$", End::Signal { signal: 15 }),
    ] {
        let ended = fixture.run(&sh(script)).await;
        assert_eq!(ended.exit.end, end, "{script}");
        assert!(!ended.exit.stopped);
        assert_eq!((ended.exit.log_lost, ended.exit.left_behind), (0, 0));
        assert!(StartedFile::read(&ended.control).unwrap().is_some());
    }
}

#[tokio::test]
async fn what_was_to_be_run_is_erased_before_it_runs() {
    let mut fixture = Fixture::new();
    let mut run = sh("cat run.json");
    run.command.env.insert("TOKEN".into(), "hunter2".into());
    run.command.cwd = fixture.dir.path().join("job-1");
    let ended = fixture.run(&run).await;
    assert_eq!(ended.exit.end, End::Code { code: 0 });
    assert_eq!(String::from_utf8(ended.log).unwrap(), "");
}

#[tokio::test]
async fn a_job_finds_a_clean_process() {
    let mut fixture = Fixture::new();
    let script = "echo ENV=$(env | cut -d= -f1 | sort | tr '\\n' ' ')
        grep -E '^Sig(Blk|Ign)' /proc/self/status
        ls /proc/self/fd | wc -l | sed s/^/FDS=/
        readlink /proc/self/fd/0
        echo GROUP=$(cut -d' ' -f5 /proc/$$/stat)
        echo SELF=$$; pwd; umask; ulimit -n; echo $0";
    let mut run = sh(script);
    run.command.env.insert("FOO".into(), "bar baz".into());
    run.limits = Limits { nofile: Some(777), ..Limits::default() };
    let ended = fixture.run(&run).await;
    let log = String::from_utf8(ended.log).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "ENV=FOO PATH PWD", "{log}");
    assert_eq!(lines[1], "SigBlk:\t0000000000000000", "{log}");
    // 32 and 33 belong to the C library, which sets them to be ignored in every child.
    let ignored = u64::from_str_radix(lines[2].rsplit('\t').next().unwrap(), 16).unwrap();
    assert_eq!(ignored & 0x7fff_ffff, 0, "{log}");
    let descriptors = 4 + passed_on_to_children();
    assert_eq!(lines[3], format!("FDS={descriptors}"), "three, and the one of ls: {log}");
    assert_eq!(lines[4], "/dev/null");
    let group = lines[5].strip_prefix("GROUP=").unwrap();
    assert_eq!(lines[6].strip_prefix("SELF="), Some(group), "leads its own process group");
    assert_eq!(lines[7], "/tmp");
    assert_eq!(lines[9], "777");
    assert_eq!(lines[10], "sh", "argv[0] is as given");
    let started = StartedFile::read(&ended.control).unwrap().unwrap();
    assert_eq!(started.pid.to_string(), group);

    // The next job does not inherit the limits of the last.
    let mut run = sh("ulimit -n");
    let inherited = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap();
    assert_eq!(fixture.run(&run).await.log, format!("{inherited}\n").into_bytes());
    run.limits = Limits { nofile: Some(1), ..Limits::default() };
    assert_eq!(fixture.run(&run).await.log, b"256\n", "below, not even a loader works");
}

/// Descriptors beyond the three that whoever started these tests left open for every child (cargo's job server is one).
fn passed_on_to_children() -> usize {
    let closed_on_exec = |number: u32| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        flags.is_none_or(|it| u32::from_str_radix(it.trim(), 8).unwrap() & 0o2_000_000 != 0)
    };
    (3..256).filter(|number| !closed_on_exec(*number)).count()
}

#[tokio::test]
async fn what_cannot_be_executed_says_why_in_log_and_exit_file() {
    let mut fixture = Fixture::new();
    let dir = fixture.dir.path().to_owned();
    let script = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let no_interpreter = script("no-interpreter", "#!/absent/python\n", 0o755);
    let no_line = script("no-line", "print('hi')\n", 0o755);
    let not_executable = script("not-executable", "#!/bin/sh\n", 0o644);
    for (program, part) in [
        ("no-such-program", "'no-such-program': no such program in PATH (/usr/bin:/bin)"),
        ("/absent/program", "'/absent/program': No such file or directory"),
        (&no_interpreter, "the interpreter in its first line"),
        (&no_line, "a script needs a #! line"),
        (&not_executable, "chmod +x"),
    ] {
        let ended = fixture.run(&run_file(&[program])).await;
        let message = failed(&ended, Cause::Exec);
        assert!(message.contains(part), "{message}");
    }
    let mut run = sh("true");
    run.command.cwd = "/absent/dir".into();
    let ended = fixture.run(&run).await;
    let message = failed(&ended, Cause::Exec);
    assert!(message.contains("working directory /absent/dir"), "{message}");
    assert_eq!(fixture.run(&sh("true")).await.exit.end, End::Code { code: 0 }, "the slot goes on");
}

#[tokio::test]
async fn steps_before_the_job_run_in_order_and_share_its_log() {
    let mut fixture = Fixture::new();
    let step =
        |script| Step { command: command(&["sh", "-c", script]), cause: Cause::Requirements };
    let mut run = sh("echo main");
    run.prepare = vec![step("echo one; echo err >&2"), step("setsid sleep 1000 & echo two")];
    let ended = fixture.run(&run).await;
    assert_eq!(ended.exit.end, End::Code { code: 0 });
    assert_eq!(String::from_utf8_lossy(&ended.log), "one\nerr\ntwo\nmain\n");
}

#[tokio::test]
async fn a_failing_step_ends_the_job_with_its_cause() {
    let mut fixture = Fixture::new();
    let step = |argv: &[&str]| Step { command: command(argv), cause: Cause::Requirements };
    let mut run = sh("echo never");
    run.prepare = vec![
        step(&["sh", "-c", "echo no matching distribution; exit 7"]),
        step(&["echo", "never"]),
    ];
    let ended = fixture.run(&run).await;
    let message = failed(&ended, Cause::Requirements);
    assert_eq!(message, "'sh' failed: exit code 7");
    let log = String::from_utf8_lossy(&ended.log);
    assert!(log.starts_with("no matching distribution\n"), "{log}");
    assert!(!log.contains("never"), "{log}");

    run.prepare = vec![step(&["no-such-pip"])];
    let ended = fixture.run(&run).await;
    assert!(failed(&ended, Cause::Requirements).contains("no-such-pip"));
}

#[tokio::test]
async fn a_job_becomes_the_user_it_was_given_or_says_why_not() {
    let mut fixture = Fixture::new();
    let mut run =
        sh("id -u; id -g; id -G; env | cut -d= -f1 | sort | xargs; readlink /proc/self/fd/0");
    run.user = Some(User { uid: 65_534, gid: 65_533, groups: vec![4242] });
    let ended = fixture.run(&run).await;
    if !rustix::process::geteuid().is_root() {
        let message = failed(&ended, Cause::Internal);
        assert!(message.contains("cannot become user 65534"), "{message}");
        return;
    }
    assert_eq!(
        String::from_utf8_lossy(&ended.log),
        "65534\n65533\n65533 4242\nPATH PWD\n/dev/null\n"
    );
    assert!(StartedFile::read(&ended.control).unwrap().is_some());

    run.command.argv = vec!["no-such-program".into()];
    let ended = fixture.run(&run).await;
    assert!(failed(&ended, Cause::Exec).contains("no such program in PATH"));
}

#[tokio::test]
async fn what_is_no_job_is_refused_and_the_slot_goes_on() {
    let mut fixture = Fixture::new();
    let mut slot = fixture.slot().await;
    let dir = fixture.dir.path().join("empty");
    fs::create_dir(&dir).unwrap();
    let text = fixture.dir.path().join("text");
    fs::create_dir(&text).unwrap();
    fs::write(text.join("run.json"), "{ no json").unwrap();
    let lease = fixture.job(&sh("true"));
    fs::write(lease.join("deadline"), "soon").unwrap();
    for (control, part) in [
        (dir.as_path(), "run.json is not a file this program can read: there is none"),
        (text.as_path(), "run.json is not a file this program can read: key must be a string"),
        (Path::new("/absent"), "cannot open the control directory /absent"),
        (lease.as_path(), "deadline is not a file this program can read"),
    ] {
        slot.run(control).await.unwrap();
        let Event::Refused { message } = next(&mut slot).await else { panic!() };
        assert!(message.contains(part), "{message}");
        assert_eq!(slot.job(), None);
    }
    let control = fixture.job(&sh("true"));
    slot.run(&control).await.unwrap();
    exited(&mut slot, &control).await;
    let exit = ExitFile::read(&control).unwrap();
    slot.run(&control).await.unwrap();
    let Event::Refused { message } = next(&mut slot).await else { panic!() };
    assert!(message.contains("was used by a job before"), "{message}");
    assert_eq!(ExitFile::read(&control).unwrap(), exit, "the first job's end stays");
}

#[tokio::test]
async fn the_size_of_the_spool_is_part_of_the_end() {
    let mut fixture = Fixture::new();
    let mut run = sh("printf 12345 > spool/events");
    let control = fixture.dir.path().join("job-1");
    run.command.cwd.clone_from(&control);
    assert_eq!(fixture.job(&run), control);
    fs::create_dir(control.join("spool")).unwrap();
    let mut slot = fixture.slot().await;
    slot.run(&control).await.unwrap();
    assert_eq!(exited(&mut slot, &control).await.exit.spool_length, 5);
}
