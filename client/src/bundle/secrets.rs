//! Files that one does not mean to send: environment files and private keys.

/// Keys are small; a larger file is not looked into.
pub(super) const LARGEST_KEY: u64 = 16 << 10;

/// What a file is by its name, if it is a secret.
pub(super) fn by_name(name: &[u8]) -> Option<&'static str> {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let example = ["example", "sample", "template", "dist"].iter().any(|it| name.ends_with(it));
    if name == ".env" || name.starts_with(".env.") && !example {
        return Some("a file of environment values");
    }
    if matches!(&*name, ".netrc" | ".pypirc" | ".git-credentials") {
        return Some("a file of passwords");
    }
    let key = matches!(
        &*name,
        "id_rsa" | "id_dsa" | "id_ecdsa" | "id_ed25519" | "id_ecdsa_sk" | "id_ed25519_sk"
    );
    let store = [".ppk", ".p12", ".pfx"].iter().any(|it| name.ends_with(it));
    (key || store).then_some("a private key")
}

/// Whether a file's text holds a private key in PEM form.
pub(super) fn is_private_key(text: &[u8]) -> bool {
    text.split(|it| *it == b'\n').any(|line| {
        let line = line.trim_ascii();
        line.starts_with(b"-----BEGIN ") && line.ends_with(b"PRIVATE KEY-----")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for secret in
            [".env", ".env.production", ".ENV", "id_rsa", "id_ed25519", "putty.ppk", ".netrc"]
        {
            assert!(by_name(secret.as_bytes()).is_some(), "{secret}");
        }
        for harmless in [
            ".env.example",
            "env",
            ".envrc.py",
            "id_rsa.pub",
            "main.py",
            "environment.yaml",
            "cert.pem",
        ] {
            assert!(by_name(harmless.as_bytes()).is_none(), "{harmless}");
        }
    }

    #[test]
    fn a_key_is_a_line_of_its_own() {
        assert!(is_private_key(b"-----BEGIN PRIVATE KEY-----\nMIIE"));
        assert!(is_private_key(b"notes\r\n-----BEGIN OPENSSH PRIVATE KEY-----\r\nb3Bl"));
        assert!(!is_private_key(b"-----BEGIN CERTIFICATE-----\n"));
        assert!(!is_private_key(b"marker = '-----BEGIN PRIVATE KEY-----'\n"));
    }
}
