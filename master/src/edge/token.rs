//! The token of a job's attempt: what the job is, and a code over it that only this cluster's key can make. Nothing is stored
//! for it.
//!
//! `atlas_job_<job>.<attempt>.<HMAC-SHA256 in hex>`

use std::fmt;

use atlas_core::{Attempt, JobId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// So that people and scanners for leaked secrets know one when they see it.
const PREFIX: &str = "atlas_job_";
/// What the code is of, so that the same key can serve something else some day.
const PURPOSE: &[u8] = b"atlas job token 1\n";

/// Makes and reads tokens. A cheap handle.
#[derive(Clone)]
pub struct JobTokens {
    keyed: Hmac<Sha256>,
}

/// A text that this cluster never made a token of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOurs;

impl JobTokens {
    pub fn new(key: &str) -> Self {
        let mut keyed =
            Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any length is a key");
        keyed.update(PURPOSE);
        Self { keyed }
    }

    /// The token of this attempt, always the same one.
    pub fn mint(&self, job: JobId, attempt: Attempt) -> String {
        let subject = format!("{job}.{attempt}");
        let code = Hex(&self.code(&subject).finalize().into_bytes()).to_string();
        format!("{PREFIX}{subject}.{code}")
    }

    /// Whose token this is. The codes are compared in a time that does not depend on where they differ.
    pub fn read(&self, token: &str) -> Result<(JobId, Attempt), NotOurs> {
        let (subject, code) =
            token.strip_prefix(PREFIX).and_then(|it| it.rsplit_once('.')).ok_or(NotOurs)?;
        self.code(subject).verify_slice(&unhex(code).ok_or(NotOurs)?).map_err(|_| NotOurs)?;
        let (job, attempt) = subject.split_once('.').ok_or(NotOurs)?;
        let attempt = attempt.parse().map_err(|_| NotOurs)?;
        Ok((job.parse().map_err(|_| NotOurs)?, Attempt(attempt)))
    }

    fn code(&self, subject: &str) -> Hmac<Sha256> {
        self.keyed.clone().chain_update(subject)
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// 32 bytes of lower-case digits: a token has one form.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |it: u8| match it {
        b'0'..=b'9' => Some(it - b'0'),
        b'a'..=b'f' => Some(it - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> JobId {
        "45540b52-ffe2-44ab-9838-db467d3499c0".parse().unwrap()
    }

    #[test]
    fn a_token_names_its_attempt_and_is_made_the_same_way_for_ever() {
        let tokens = JobTokens::new("key");
        let token = tokens.mint(job(), Attempt(2));
        // Computed by another implementation (Python's hmac): jobs that run outlive an upgrade of the master.
        let expected = "atlas_job_45540b52-ffe2-44ab-9838-db467d3499c0.2.c3f22a7a98c71c048913cfc6e6cd741083bce7dcbe2f9c71f55e7193eec794ef";
        assert_eq!(token, expected);
        assert_eq!(tokens.read(&token), Ok((job(), Attempt(2))));
    }

    #[test]
    fn whatever_is_changed_it_is_not_ours_any_more() {
        let tokens = JobTokens::new("key");
        let token = tokens.mint(job(), Attempt(2));
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'3' } else { b'1' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(tokens.read(&changed), Err(NotOurs), "{changed}");
        }
        let upper = token.to_ascii_uppercase().replace("ATLAS_JOB_", PREFIX);
        for text in ["", PREFIX, "atlas_job_.", &token[1..], &token[..token.len() - 1], &upper] {
            assert_eq!(tokens.read(text), Err(NotOurs), "{text:?}");
        }
        assert_eq!(tokens.read(&format!("{token}0")), Err(NotOurs));
        assert_eq!(JobTokens::new("another").read(&token), Err(NotOurs));
    }
}
