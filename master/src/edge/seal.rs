//! The secrets of jobs, sealed: authenticated encryption with a key of this cluster, each value bound to its job and name.
//!
//! What is sealed is always sealed the same way (the nonce is made of job, name and value), so that a repeated submission is
//! known as one by its digests, without a value that anybody would have to keep.

use std::collections::BTreeMap;
use std::sync::Arc;

use atlas_core::JobId;
use atlas_core::spec::{Digest, Sealed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::Sha256;

/// What each derived key is for.
const SEAL: &[u8] = b"atlas secret 1: seal\n";
const DIGEST: &[u8] = b"atlas secret 1: digest\n";

/// Seals and opens. A cheap handle.
#[derive(Clone)]
pub struct Seals {
    key: Arc<LessSafeKey>,
    digest: Hmac<Sha256>,
}

/// A value that this cluster's key does not open: it was sealed with another key, for another job or name, or is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOurs;

impl Seals {
    pub fn new(key: &str) -> Self {
        let derived = |purpose| {
            let keyed = Hmac::<Sha256>::new_from_slice(key.as_bytes());
            keyed.expect("any length is a key").chain_update(purpose).finalize().into_bytes()
        };
        let key = UnboundKey::new(&CHACHA20_POLY1305, &derived(SEAL)).expect("it has 32 bytes");
        let digest = Hmac::new_from_slice(&derived(DIGEST)).expect("any length is a key");
        Self { key: Arc::new(LessSafeKey::new(key)), digest }
    }

    /// What is kept of these secrets of a job: a digest of each for good, and what opens again until the job ends.
    pub fn seal(
        &self,
        job: JobId,
        secrets: &BTreeMap<String, String>,
    ) -> (BTreeMap<String, Digest>, Sealed) {
        let (mut digests, mut sealed) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in secrets {
            let digest = self.digest(job, name, value);
            let nonce: [u8; NONCE_LEN] = digest[..NONCE_LEN].try_into().expect("it is longer");
            let mut text = value.as_bytes().to_vec();
            self.key
                .seal_in_place_append_tag(
                    Nonce::assume_unique_for_key(nonce),
                    bound_to(job, name),
                    &mut text,
                )
                .expect("it is far shorter than the longest text");
            let text = [nonce.as_slice(), &text].concat();
            digests.insert(name.clone(), Digest(hex(&digest)));
            sealed.insert(name.clone(), BASE64.encode(text));
        }
        (digests, Sealed(sealed))
    }

    /// The value that was sealed for this job under this name.
    pub fn open(&self, job: JobId, name: &str, sealed: &str) -> Result<String, NotOurs> {
        let text = BASE64.decode(sealed).map_err(|_| NotOurs)?;
        let (nonce, text) = text.split_at_checked(NONCE_LEN).ok_or(NotOurs)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NotOurs)?;
        let mut text = text.to_vec();
        let opened = self.key.open_in_place(nonce, bound_to(job, name), &mut text);
        String::from_utf8(opened.map_err(|_| NotOurs)?.to_vec()).map_err(|_| NotOurs)
    }

    /// Lengths come first, so that no name and value can be taken for another pair.
    fn digest(&self, job: JobId, name: &str, value: &str) -> [u8; 32] {
        let mut keyed = self.digest.clone();
        for part in [job.to_string().as_str(), name, value] {
            keyed.update(&(part.len() as u64).to_le_bytes());
            keyed.update(part.as_bytes());
        }
        keyed.finalize().into_bytes().into()
    }
}

/// A job's id has always the same length, so that what follows it is the name.
fn bound_to(job: JobId, name: &str) -> Aad<String> {
    Aad::from(format!("{job}.{name}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(digit: char) -> JobId {
        format!("{digit}5540b52-ffe2-44ab-9838-db467d3499c0").parse().unwrap()
    }

    fn secrets() -> BTreeMap<String, String> {
        [("TOKEN", "hunter2"), ("EMPTY", ""), ("LONG", "wörd\n")]
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    }

    #[test]
    fn what_was_sealed_is_opened_by_the_same_key_in_its_place_alone() {
        let seals = Seals::new("key");
        let (digests, Sealed(sealed)) = seals.seal(job('4'), &secrets());
        assert!(digests.keys().eq(sealed.keys()));
        for (name, value) in secrets() {
            let text = &sealed[&name];
            assert_eq!(Seals::new("key").open(job('4'), &name, text), Ok(value));
            assert_eq!(seals.open(job('5'), &name, text), Err(NotOurs), "of another job");
            assert_eq!(seals.open(job('4'), "OTHER", text), Err(NotOurs), "of another name");
            assert_eq!(Seals::new("other").open(job('4'), &name, text), Err(NotOurs));
        }
        let kept = format!("{digests:?}{sealed:?}");
        assert!(!kept.contains("hunter2") && !kept.contains(&BASE64.encode("hunter2")), "{kept}");
    }

    #[test]
    fn what_was_changed_is_not_ours_any_more() {
        let seals = Seals::new("key");
        let text = seals.seal(job('4'), &secrets()).1.0["TOKEN"].clone();
        let bytes = BASE64.decode(&text).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(seals.open(job('4'), "TOKEN", &BASE64.encode(changed)), Err(NotOurs));
        }
        for text in ["", "****", &text[..8], &BASE64.encode(&bytes[..NONCE_LEN])] {
            assert_eq!(seals.open(job('4'), "TOKEN", text), Err(NotOurs), "{text:?}");
        }
    }

    #[test]
    fn the_same_secret_of_the_same_job_is_known_by_its_digest_and_no_other() {
        let of = |key, job, name: &str, value: &str| {
            Seals::new(key).seal(job, &[(name.into(), value.into())].into())
        };
        let one = of("key", job('4'), "A", "v");
        assert_eq!(one, of("key", job('4'), "A", "v"));
        for other in [
            of("key", job('4'), "A", "w"),
            of("key", job('4'), "Av", ""),
            of("key", job('5'), "A", "v"),
            of("other", job('4'), "A", "v"),
        ] {
            assert_ne!(one.0.values().next(), other.0.values().next());
        }
    }
}
