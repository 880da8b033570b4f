//! Two gigabytes to a node without the shared storage, and back from it: beside a plain copy of the same bytes, and beside what
//! loopback carries.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use atlas_tests::harness::{Cluster, Settings, eventually};

use super::{figure, peers};

const BYTES: u64 = 2_000_000_000;

pub fn measure() {
    let settings = Settings { shared: false, log: "warn", ..Settings::default() };
    let cluster = Cluster::start(settings);
    let dir = cluster.project("large", &[]);
    let data = dir.join("data.bin");
    // What no compression makes smaller.
    let mut random = File::open("/dev/urandom").unwrap().take(BYTES);
    std::io::copy(&mut random, &mut File::create(&data).unwrap()).unwrap();
    let (copied, carried) = (copy(&data, &cluster.path("copy")), loopback(&data));
    speed("2 GB, cp", copied);
    speed("2 GB, loopback", carried);

    let before = cluster.pids().map(peers::resident_mb);
    // The client has returned when the master has the bundle and the job is queued: the rest is the node's.
    let id = cluster.submit(&dir, &["cp", "data.bin", "out.bin"]);
    let began = Instant::now();
    let bundles = cluster.path("node/bundles");
    eventually("the bundle is on the node", || {
        let mut names = fs::read_dir(&bundles).ok()?.flatten();
        names.find(|it| it.file_name().to_string_lossy().ends_with(".tar.zst"))
    });
    speed("2 GB bundle to a node without the share", began.elapsed().as_secs_f64());
    eventually("it has ended", || (cluster.job(&id)["phase"] == "archiving").then_some(()));
    let began = Instant::now();
    eventually("it is archived", || (cluster.job(&id)["phase"] == "done").then_some(()));
    speed("2 GB of outputs from a node without the share", began.elapsed().as_secs_f64());
    let out = cluster.path("shared/jobs").join(&id[..2]).join(&id).join("outputs/out.bin");
    assert_eq!(out.metadata().unwrap().len(), BYTES);
    for (name, (pid, before)) in
        ["master", "agent"].iter().zip(cluster.pids().into_iter().zip(before))
    {
        figure(&format!("2 GB, memory of the {name} before"), before, "MB");
        figure(&format!("2 GB, memory of the {name} at most"), peers::peak_mb(pid), "MB");
    }
}

fn speed(name: &str, seconds: f64) {
    figure(name, seconds, "s");
    figure(&format!("{name}, speed"), BYTES as f64 / 1e6 / seconds, "MB/s");
}

fn copy(from: &Path, to: &Path) -> f64 {
    let began = Instant::now();
    fs::copy(from, to).unwrap();
    fs::remove_file(to).unwrap();
    began.elapsed().as_secs_f64()
}

/// From a file through a socket to nowhere.
fn loopback(from: &Path) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reader = std::thread::spawn(move || {
        let (mut from, mut buffer) = (listener.accept().unwrap().0, vec![0; 256 << 10]);
        while from.read(&mut buffer).unwrap() > 0 {}
    });
    let began = Instant::now();
    let (mut from, mut buffer) = (File::open(from).unwrap(), vec![0; 256 << 10]);
    let mut to = TcpStream::connect(address).unwrap();
    loop {
        let count = from.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        to.write_all(&buffer[..count]).unwrap();
    }
    drop(to);
    reader.join().unwrap();
    began.elapsed().as_secs_f64()
}
