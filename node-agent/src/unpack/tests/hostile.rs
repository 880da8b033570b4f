//! Archives that nobody of ours makes.

use super::*;

#[test]
fn names_that_lead_out_of_the_tree_are_refused() {
    for (name, why) in [
        ("/etc/cron.d/x", Refusal::Absolute),
        ("../outside", Refusal::Dots),
        ("a/../../outside", Refusal::Dots),
        ("a/..", Refusal::Dots),
        ("..", Refusal::Dots),
        ("./a", Refusal::Dots),
        ("a//b", Refusal::Dots),
        ("", Refusal::Name),
        ("a/", Refusal::Slash),
        ("missing/b", Refusal::NoFolder),
    ] {
        assert_refused(Archive::default().file(name, "x"), why);
        let link = if why == Refusal::Slash { name } else { name.trim_end_matches('/') };
        assert_refused(Archive::default().link(link, "x"), why);
    }
    assert_refused(Archive::default().folder("a"), Refusal::Slash);
    assert_refused(Archive::default().folder("/"), Refusal::Absolute);
    assert_refused(Archive::default().folder("../"), Refusal::Dots);
    assert_refused(
        Archive::default().file(&format!("/{}", "n".repeat(200)), "x"),
        Refusal::Absolute,
    );
    assert_refused(
        Archive::default().file(&format!("{}/../x", "n".repeat(200)), "x"),
        Refusal::Dots,
    );
}

#[test]
fn nothing_is_written_through_a_link() {
    let through = || Archive::default().link("way", "..");
    assert_refused(through().file("way/outside", "pwned"), Refusal::NoFolder);
    assert_refused(through().folder("way/"), Refusal::Twice);
    assert_refused(through().folder("way/").file("way/outside", "pwned"), Refusal::Twice);
    assert_refused(through().link("way/outside", "pwned"), Refusal::NoFolder);
    assert_refused(
        Archive::default().link("outside", "../outside").file("outside", "pwned"),
        Refusal::Order,
    );
    assert_refused(
        Archive::default().folder("a/").link("a/way", "../..").file("a/way/outside", "pwned"),
        Refusal::NoFolder,
    );
}

#[test]
fn other_kinds_of_entries_are_refused() {
    let of_kind = |kind: u8| Archive::default().entry(kind, b"a", b"outside", 0o644, b"");
    assert_refused(of_kind(b'1'), Refusal::HardLink);
    assert_refused(
        Archive::default().entry(b'1', b"a", b"/etc/shadow", 0o644, b""),
        Refusal::HardLink,
    );
    for device in *b"346" {
        assert_refused(of_kind(device), Refusal::Device);
    }
    for unknown in *b"7xgSDMNVAZ" {
        assert_refused(of_kind(unknown), Refusal::Kind);
    }
    assert_refused(of_kind(b'x').file("b", "x"), Refusal::Kind);
}

#[test]
fn names_out_of_order_or_twice_are_refused() {
    assert_refused(Archive::default().file("a", "1").file("a", "2"), Refusal::Order);
    assert_refused(Archive::default().file("b", "1").file("a", "2"), Refusal::Order);
    assert_refused(Archive::default().folder("a/").folder("a/"), Refusal::Order);
    assert_refused(Archive::default().link("a", "x").link("a", "y"), Refusal::Order);
    assert_refused(Archive::default().file("a", "1").folder("a/"), Refusal::Twice);
    assert_refused(Archive::default().folder("a/").file("a/x", "").file("a", "1"), Refusal::Order);
}

#[test]
fn more_than_declared_is_refused() {
    let (zstd, bundle) = Archive::default().file("a", "1").file("b", "2").finish();
    assert_refused_as(&zstd, &Bundle { files: 1, ..bundle }, Refusal::TooManyEntries);
    assert_refused_as(
        &zstd,
        &Bundle { tar_size: bundle.tar_size - 1, ..bundle },
        Refusal::TooManyBytes,
    );

    let mut bomb = Archive::default();
    bomb.bytes.extend(header(b'0', b"zeros", b"", 0o644, 1 << 30));
    bomb.bytes.resize(64 << 20, 0);
    let (zstd, bundle) = bomb.unfinished();
    assert!(zstd.len() < 10_000);
    assert_refused_as(
        &zstd,
        &Bundle { tar_size: 1 << 20, files: 1, ..bundle },
        Refusal::TooManyBytes,
    );
}

#[test]
fn sizes_that_are_not_there_are_refused() {
    for size in [1, 512 << 10, u64::from(u32::MAX), u64::MAX / 2] {
        let mut archive = Archive { entries: 1, ..Archive::default() };
        archive.bytes.extend(header(b'0', b"a", b"", 0o644, size));
        let (zstd, bundle) = archive.unfinished();
        assert_refused_as(&zstd, &bundle, Refusal::Truncated);
    }
    let folder = Archive::default().entry(b'5', b"a/", b"", 0o755, b"text");
    assert_refused(folder, Refusal::Header);
    let link = Archive::default().entry(b'2', b"a", b"b", 0o644, b"text");
    assert_refused(link, Refusal::Header);
}

#[test]
fn names_too_long_and_folders_too_deep_are_refused() {
    assert_refused(Archive::default().file(&"n".repeat(256), ""), Refusal::Name);
    assert_refused(Archive::default().file(&"n/".repeat(2048), ""), Refusal::Name);
    assert_refused(
        Archive::default().raw(b'L', b"././@LongLink", b"", 0, &vec![b'n'; 100 << 20]),
        Refusal::Name,
    );
    assert_refused(
        Archive::default().raw(b'L', b"././@LongLink", b"", 0, b"no zero at the end"),
        Refusal::Name,
    );
    assert_refused(
        Archive::default().raw(b'L', b"././@LongLink", b"", 0, b"a\0b\0").file("a", ""),
        Refusal::Name,
    );
    assert_refused(Archive::default().link("a", ""), Refusal::Name);
    let twice = Archive::default().raw(b'L', b"././@LongLink", b"", 0, b"a\0").raw(
        b'L',
        b"././@LongLink",
        b"",
        0,
        b"b\0",
    );
    assert_refused(twice.file("a", ""), Refusal::Kind);
    let deep =
        (1..=129).fold(Archive::default(), |archive, depth| archive.folder(&"d/".repeat(depth)));
    assert_refused(deep, Refusal::TooDeep);
}

#[test]
fn what_is_no_archive_is_refused() {
    assert_refused(Archive { bytes: vec![7; 512], entries: 0 }, Refusal::Header);
    let mut damaged = Archive::default().file("a", "x");
    damaged.bytes[0] = b'b';
    assert_refused(damaged, Refusal::Header);
    let mut ustar = Archive::default().file("a", "x");
    ustar.bytes[257..265].copy_from_slice(b"ustar\x0000");
    assert_refused(ustar, Refusal::Header);

    let mut trailing = Archive::default().file("a", "x");
    trailing.bytes.resize(trailing.bytes.len() + 1024, 0);
    trailing.bytes.extend(header(b'0', b"b", b"", 0o644, 0));
    assert_refused(trailing, Refusal::Trailing);
    let (zstd, bundle) = Archive::default().file("a", "x").unfinished();
    assert_refused_as(&zstd, &bundle, Refusal::Truncated);
    let (zstd, bundle) = Archive::default().unfinished();
    assert_refused_as(&zstd, &bundle, Refusal::Truncated);
}

#[test]
fn a_damaged_file_is_not_the_fault_of_the_bundle() {
    let (zstd, bundle) = Archive::default().file("a", "text").finish();
    let (_, other) = Archive::default().file("a", "other").finish();
    let (noise, half) = (vec![7; 100], &zstd[..zstd.len() - 5]);
    for (bytes, expected) in
        [(&zstd[..], &other), (&noise, &bundle), (half, &bundle), (b"", &bundle)]
    {
        let (dir, unpacked) = try_unpack(bytes, expected);
        let error = unpacked.unwrap_err();
        if !bytes.is_empty() {
            assert!(!error.is_of_the_bundle(), "{error:?}");
        }
        assert_nothing_left(&dir);
    }
}

#[test]
fn windows_over_eight_mebibytes_are_refused() {
    let (_, bundle) = Archive::default().file("a", "x").finish();
    let tar = zstd::decode_all(&*Archive::default().file("a", "x").finish().0).unwrap();
    for (log, fits) in [(23, true), (24, false)] {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(&tar).unwrap();
        let (dir, unpacked) = try_unpack(&encoder.finish().unwrap(), &bundle);
        assert_eq!(unpacked.is_ok(), fits, "2^{log}");
        if !fits {
            assert_nothing_left(&dir);
        }
    }
}
