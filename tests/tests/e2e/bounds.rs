//! What Atlas itself takes: memory that does not grow with what passes through, and no time while nothing happens.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use atlas_tests::harness::{Cluster, Run, Settings, eventually};

const MB: u64 = 1_000_000;

/// A process and what the kernel tells of it.
#[derive(Clone, Copy, Debug)]
struct Process(u32);

impl Process {
    /// Most bytes that it ever held in memory.
    fn peak(self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Bytes that it holds in memory now.
    fn resident(self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Files and connections that it has open.
    fn open(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap().count()
    }

    /// Time on a processor since it began.
    fn busy(self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        // Behind the name, which may hold anything: state is field 3, user and system time are 14 and 15, in 1/100 s.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = [fields[11], fields[12]].iter().map(|it| it.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * ticks)
    }
}

/// Master, agent, and the supervisors of this cluster.
fn processes(cluster: &Cluster) -> Vec<(&'static str, Process)> {
    let [master, agent] = cluster.pids();
    let mut all = vec![("master", Process(master)), ("agent", Process(agent))];
    all.extend(cluster.supervisors().into_iter().map(|it| ("supervisor", Process(it))));
    assert!(all.len() > 2, "no supervisor was found");
    all
}

#[track_caller]
fn are_small(cluster: &Cluster) {
    for (name, process) in processes(cluster) {
        let peak = process.peak();
        eprintln!("{name} took {} MB", peak / MB);
        assert!(peak < 150 * MB, "{name} took {} MB", peak / MB);
    }
}

/// Runs `atlas` and asks the kernel for its peak when it has ended.
#[track_caller]
fn small_atlas(cluster: &Cluster, args: &[&str]) -> Run {
    const MEASURE: &str = "import resource, subprocess, sys\ncode = subprocess.call(sys.argv[1:])\n\
        print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\nsys.exit(code)\n";
    let atlas = cluster.command(args);
    let mut measured = std::process::Command::new("python3");
    measured.args(["-c", MEASURE]).arg(atlas.get_program()).args(args);
    measured.env("ATLAS_HOME", cluster.path("home")).stdin(Stdio::null());
    let run = Run::of(args, &measured.output().unwrap()).exits(0);
    let peak = run.stderr.lines().last().unwrap().strip_prefix("peak ").unwrap();
    let peak = peak.parse::<u64>().unwrap() * 1024;
    eprintln!("atlas {} took {} MB", args[0], peak / MB);
    assert!(peak < 150 * MB, "atlas {args:?} took {} MB", peak / MB);
    run
}

/// Submits the folder for this command, and fetches one part of what is kept of it.
fn there_and_back(cluster: &Cluster, dir: &Path, command: &str, part: &str) -> PathBuf {
    let dir = dir.to_str().unwrap();
    let run = small_atlas(cluster, &["submit", "--quiet", "scheduler", dir, "sh", "-c", command]);
    let id = run.stdout.trim().to_owned();
    eventually("it is archived", || (cluster.job(&id)["phase"] == "done").then_some(()));
    assert_eq!(cluster.job(&id)["left_behind"], serde_json::Value::Null);
    let save = format!("--save_dir={}", cluster.path("got").display());
    small_atlas(cluster, &["get", "job", &save, "--source_dir", part, "scheduler", &id]);
    are_small(cluster);
    cluster.path("got").join(id).join(part)
}

#[test]
fn twenty_thousand_files_go_there_and_back_in_little_memory() {
    let cluster = Cluster::start(Settings::default());
    let dir = cluster.project("many", &[]);
    for folder in 0..20 {
        let folder = dir.join(folder.to_string());
        fs::create_dir(&folder).unwrap();
        for file in 0..1000 {
            fs::write(folder.join(file.to_string()), format!("{file}")).unwrap();
        }
    }
    let got = there_and_back(&cluster, &dir, "find . -type f -exec touch {} +", "outputs");
    let files = (0..20).map(|it| fs::read_dir(got.join(it.to_string())).unwrap().count());
    assert_eq!(files.sum::<usize>(), 20_000);
    assert_eq!(fs::read_to_string(got.join("19/999")).unwrap(), "999");
}

#[test]
fn a_file_of_two_gigabytes_goes_there_and_back_in_little_memory() {
    let cluster = Cluster::start(Settings::default());
    let dir = cluster.project("large", &[]);
    File::create(dir.join("large")).unwrap().set_len(2_000 * MB).unwrap();
    let check = "test $(wc -c < large) = 2000000000";
    let got = there_and_back(&cluster, &dir, check, "source");
    assert_eq!(fs::metadata(got.join("large")).unwrap().len(), 2_000 * MB);
}

/// A follower, killed with the test.
struct Follower(Child);

impl Follower {
    fn new(cluster: &Cluster, id: &str) -> Self {
        let mut command = cluster.command(&["get", "logs", "scheduler", "--follow", id]);
        Self(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Reads the rest of what it shows; says how much that was.
    fn read(&mut self) -> JoinHandle<u64> {
        let mut shown = self.0.stdout.take().unwrap();
        thread::spawn(move || io::copy(&mut shown, &mut io::sink()).unwrap())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ten_followers_of_a_loud_job_cost_little_and_those_who_do_not_read_stop_nobody() {
    const BYTES: u64 = 200_000_000;
    let cluster = Cluster::start(Settings::default());
    let go = cluster.path("go");
    let script = format!(
        "until [ -e {} ]; do sleep 0.05; done; yes 'a line of a job that has much to say' | head -c {BYTES}",
        go.display()
    );
    let dir = cluster.project("loud", &[("main.py", "")]);
    let id = cluster.submit(&dir, &["sh", "-c", &script]);
    cluster.wait_status(&id, "running");
    let mut deaf: Vec<Follower> = (0..7).map(|_| Follower::new(&cluster, &id)).collect();
    let mut attentive: Vec<Follower> = (0..3).map(|_| Follower::new(&cluster, &id)).collect();
    let before: Vec<_> = processes(&cluster).into_iter().map(|it| (it, it.1.resident())).collect();
    fs::write(go, "").unwrap();
    let reading = attentive.iter_mut().map(Follower::read).collect();
    cluster.atlas(&["wait", &id]).exits(0);
    let length = cluster.job(&id)["log_bytes"].as_u64().unwrap();
    assert!(length >= BYTES);
    all_was_read(reading, length);
    for ((name, process), resident) in before {
        let grown = process.peak().saturating_sub(resident);
        eprintln!("{name} grew by {} MB", grown / MB);
        assert!(grown < 100 * MB, "{name} grew by {} MB", grown / MB);
    }
    for follower in &deaf {
        let peak = Process(follower.0.id()).peak();
        assert!(peak < 100 * MB, "a follower took {} MB", peak / MB);
    }
    // Who reads later gets all of it, too.
    all_was_read(vec![deaf[0].read()], length);
}

#[test]
fn followers_that_go_away_leave_nothing_open_on_master_and_node() {
    let cluster = Cluster::start(Settings::default());
    let dir = cluster.project("quiet", &[("main.py", "")]);
    let id = cluster.submit(&dir, &["sh", "-c", "echo begun; exec sleep 600"]);
    let begins = || {
        let mut follower = Follower::new(&cluster, &id);
        let shown = BufReader::new(follower.0.stdout.take().unwrap());
        assert!(shown.lines().any(|it| it.unwrap() == "begun"));
        follower
    };
    // What stays open for the next one is open from the first one on.
    drop(begins());
    let before: Vec<_> = processes(&cluster).into_iter().map(|it| (it, it.1.open())).collect();
    let followers: Vec<Follower> = (0..20).map(|_| begins()).collect();
    assert!(before[0].0.1.open() >= before[0].1 + 20, "they have a connection each");
    drop(followers);
    for ((name, process), open) in before {
        eventually(&format!("{name} has closed what it opened"), || {
            (process.open() <= open).then_some(())
        });
    }
    cluster.atlas(&["stop", "scheduler", &id]).exits(0);
}

#[track_caller]
fn all_was_read(readers: Vec<JoinHandle<u64>>, length: u64) {
    eventually("all who read are done", || {
        readers.iter().all(JoinHandle::is_finished).then_some(())
    });
    for reader in readers {
        assert_eq!(reader.join().unwrap(), length);
    }
}

#[test]
fn an_idle_cluster_uses_no_measurable_time() {
    let cluster = Cluster::start(Settings { log: "info", ..Settings::default() });
    let dir = cluster.project("one", &[("main.py", "")]);
    cluster.atlas(&["submit", "scheduler", dir.to_str().unwrap(), "main.py"]).exits(0);
    // What follows a job's end, and what the kernel is late to write down, is over some time.
    eventually("five seconds in which nothing takes any time", || {
        let (since, before) = (Instant::now(), processes(&cluster));
        let before: Vec<_> = before.into_iter().map(|it| (it, it.1.busy())).collect();
        eventually("five seconds have passed", || {
            (since.elapsed() > Duration::from_secs(5)).then_some(())
        });
        let took =
            |(name, process): (_, Process), busy| (name, process.busy().saturating_sub(busy));
        let took: Vec<_> = before.into_iter().map(|(it, busy)| took(it, busy)).collect();
        eprintln!("of 5 s: {took:?}");
        took.iter().all(|it| it.1 <= Duration::from_millis(20)).then_some(())
    });
}
