//! The canonical tar, header by header: GNU format, as Python's `tarfile` writes it, so that the same folder has the same
//! bytes wherever it is packed. Nothing of the machine goes in: no owner, no time, no umask.

use super::{Entry, Kind};

pub(super) const BLOCK: usize = 512;
/// The archive ends with zeros up to a multiple of this.
const RECORD: u64 = 20 * BLOCK as u64;
/// Names up to this many bytes stand in the header; longer ones in an entry before it.
const SHORT: usize = 100;

const FILE: u8 = b'0';
const LINK: u8 = b'2';
const FOLDER: u8 = b'5';
const LONG_NAME: u8 = b'L';
const LONG_TARGET: u8 = b'K';

/// Appends all that stands before an entry's content.
pub(super) fn write_header(entry: &Entry, out: &mut Vec<u8>) {
    let (kind, mode, size, target) = match &entry.kind {
        Kind::File { size, executable } => {
            (FILE, if *executable { 0o755 } else { 0o644 }, *size, &[][..])
        }
        Kind::Folder => (FOLDER, 0o755, 0, &[][..]),
        Kind::Link { target } => (LINK, 0o644, 0, &**target),
    };
    write_long(LONG_TARGET, target, out);
    write_long(LONG_NAME, &entry.name, out);
    out.extend_from_slice(&block(kind, &entry.name, mode, size, target));
}

/// Zeros that follow `size` bytes of content.
pub(super) fn padding(size: u64) -> usize {
    let over = (size % BLOCK as u64) as usize;
    if over == 0 { 0 } else { BLOCK - over }
}

/// Zeros that end an archive of `size` bytes.
pub(super) fn end(size: u64) -> usize {
    let whole = (size + 2 * BLOCK as u64).next_multiple_of(RECORD);
    usize::try_from(whole - size).expect("less than two records")
}

/// Bytes of an archive whose entries take `size` bytes.
pub(super) fn total(size: u64) -> u64 {
    size + end(size) as u64
}

/// Bytes that an entry takes: headers, content, padding.
pub(super) fn size_of(entry: &Entry) -> u64 {
    let long = |name: &[u8]| match name.len() {
        ..=SHORT => 0,
        length => BLOCK + (length + 1).next_multiple_of(BLOCK),
    };
    let (target, size) = match &entry.kind {
        Kind::File { size, .. } => (0, *size),
        Kind::Folder => (0, 0),
        Kind::Link { target } => (long(target), 0),
    };
    (target + long(&entry.name) + BLOCK) as u64 + size + padding(size) as u64
}

fn write_long(kind: u8, name: &[u8], out: &mut Vec<u8>) {
    if name.len() <= SHORT {
        return;
    }
    let size = name.len() as u64 + 1;
    out.extend_from_slice(&block(kind, b"././@LongLink", 0, size, &[]));
    out.extend_from_slice(name);
    out.resize(out.len() + 1 + padding(size), 0);
}

fn block(kind: u8, name: &[u8], mode: u64, size: u64, target: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    text(&mut block[..100], name);
    number(&mut block[100..108], mode);
    number(&mut block[108..116], 0); // uid
    number(&mut block[116..124], 0); // gid
    number(&mut block[124..136], size);
    number(&mut block[136..148], 0); // time of the last change
    block[148..156].fill(b' ');
    block[156] = kind;
    text(&mut block[157..257], target);
    block[257..265].copy_from_slice(b"ustar  \0");
    let sum: u64 = block.iter().map(|it| u64::from(*it)).sum();
    number(&mut block[148..155], sum); // and the eighth byte stays a space
    block
}

fn text(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

/// Octal with a zero at its end; where that is too short (8 GiB and more) binary with the highest bit set.
fn number(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let octal = format!("{value:0digits$o}");
    if octal.len() == digits {
        field[..digits].copy_from_slice(octal.as_bytes());
        field[digits] = 0;
    } else {
        let bytes = value.to_be_bytes();
        let start = field.len() - bytes.len();
        field[start..].copy_from_slice(&bytes);
        field[0] = 0x80;
    }
}
