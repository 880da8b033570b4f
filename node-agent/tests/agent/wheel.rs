//! A Python package that pip can install without any index: a wheel is a zip file, and one without compression is soon written.

/// A wheel of one module with `VALUE`.
pub fn wheel(name: &str, version: &str) -> Vec<u8> {
    let info = format!("{name}-{version}.dist-info");
    let files = [
        (format!("{name}.py"), format!("VALUE = {version:?}\n")),
        (
            format!("{info}/METADATA"),
            format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
        ),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: atlas\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
                .into(),
        ),
        (
            format!("{info}/RECORD"),
            format!("{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"),
        ),
    ];
    zip(&files)
}

fn zip(files: &[(String, String)]) -> Vec<u8> {
    let (mut body, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let offset = u32::try_from(body.len()).unwrap();
        let (length, size) =
            (u16::try_from(name.len()).unwrap(), u32::try_from(text.len()).unwrap());
        // Version 2.0, no flags, stored, midnight of 1 January 1980.
        let mut common = Vec::new();
        for short in [20_u16, 0, 0, 0, 0x21] {
            common.extend(short.to_le_bytes());
        }
        for long in [crc32(text.as_bytes()), size, size] {
            common.extend(long.to_le_bytes());
        }
        common.extend(length.to_le_bytes());
        common.extend(0_u16.to_le_bytes());
        body.extend(b"PK\x03\x04");
        body.extend(&common);
        body.extend(name.as_bytes());
        body.extend(text.as_bytes());
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((0o100_644_u32 << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(files.len()).unwrap().to_le_bytes();
    let (size, offset) = (directory.len(), body.len());
    body.extend(directory);
    body.extend(b"PK\x05\x06\x00\x00\x00\x00");
    body.extend(count);
    body.extend(count);
    body.extend(u32::try_from(size).unwrap().to_le_bytes());
    body.extend(u32::try_from(offset).unwrap().to_le_bytes());
    body.extend([0; 2]);
    body
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}
