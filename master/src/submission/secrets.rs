//! Secret environment: job.config.yaml and the command line name it, the client alone sends its values.

use std::collections::{BTreeMap, BTreeSet};

use super::Invalid;
use super::given::{Given, shown};
use super::text;

/// Of one job.
const MOST: usize = 64;
/// Bytes of all their values.
const BYTES: usize = 256 * 1024;

/// The names, each once; none of them is one of the plain variables.
pub fn names(
    named: &[Given<String>],
    env: &[Given<(String, String)>],
) -> Result<BTreeSet<String>, Invalid> {
    let mut names = BTreeSet::new();
    for given in named {
        let name = &given.value;
        if !name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_') {
            let why = format!("{} is not a name of letters, digits and underscores", shown(name));
            return Err(given.refuse(why));
        }
        text::variable(&given.with((name.clone(), String::new())))?;
        if let Some(plain) = env.iter().find(|it| it.value.0 == *name) {
            let why =
                format!("{name} is plain environment too ({}): keep one of the two", plain.field);
            return Err(given.refuse(why));
        }
        names.insert(name.clone());
        if names.len() > MOST {
            return Err(given.refuse(format!("more than {MOST} secrets")));
        }
    }
    Ok(names)
}

/// Whether a process can be given these. What is wrong is said without the value.
pub fn check(values: &BTreeMap<String, String>) -> Result<(), Invalid> {
    for (name, value) in values {
        text::variable(&Given::new("secrets", (name.clone(), value.clone())))?;
    }
    if values.values().map(String::len).sum::<usize>() > BYTES {
        return Err(Invalid::new("secrets", format!("the values have more than {BYTES} bytes")));
    }
    Ok(())
}
