//! Names, notes, tags, environment: short, printable, and free of what would break out of where it is put.

use super::Invalid;
use super::given::{Given, shown};

/// Bytes of one variable and its value: Linux takes no more.
const VARIABLE: usize = 128 * 1024;

/// Names that people give: of a job, of themselves.
pub fn name(given: &Given<String>) -> Result<String, Invalid> {
    bounded(given, 128)
}

/// One printable line of at most so many bytes.
pub fn bounded(given: &Given<String>, most: usize) -> Result<String, Invalid> {
    let text = &given.value;
    if text.trim().is_empty() {
        return Err(given.refuse("is empty"));
    }
    if text.len() > most {
        return Err(given.refuse(format!("is longer than {most} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(
            given.refuse(format!("{} holds a line break or control character", shown(text)))
        );
    }
    Ok(text.clone())
}

/// Several lines.
pub fn note(given: &Given<String>) -> Result<String, Invalid> {
    const MOST: usize = 16 * 1024;
    let text = &given.value;
    if text.len() > MOST {
        return Err(given.refuse(format!("is longer than {MOST} bytes")));
    }
    if text.chars().any(|it| it.is_control() && !matches!(it, '\n' | '\r' | '\t')) {
        return Err(given.refuse("holds control characters"));
    }
    Ok(text.clone())
}

/// `K` or `K=V`.
pub fn tag(given: &Given<(String, String)>) -> Result<(), Invalid> {
    let (key, value) = &given.value;
    bounded(&given.with(key.clone()), 64)?;
    if key.contains('=') {
        return Err(given.refuse(format!("{} holds an equals sign", shown(key))));
    }
    if !value.is_empty() {
        bounded(&given.with(value.clone()), 256)?;
    }
    Ok(())
}

/// A variable of the job's environment.
pub fn variable(given: &Given<(String, String)>) -> Result<(), Invalid> {
    let (name, value) = &given.value;
    let refuse = |why: &str| Err(given.refuse(format!("{} {why}", shown(name))));
    let plain = |it: u8| it.is_ascii_graphic() && it != b'=';
    if name.is_empty()
        || !name.bytes().all(plain)
        || name.starts_with(|it: char| it.is_ascii_digit())
    {
        return refuse(
            "is not a name of a variable: letters, digits and underscores, no digit first",
        );
    }
    if is_ours(name) {
        return refuse("is set by Atlas itself; choose another name");
    }
    if matches!(name.as_str(), "CUDA_VISIBLE_DEVICES" | "NVIDIA_VISIBLE_DEVICES") {
        return refuse(
            "is set by Atlas to the GPUs that the job was given; ask for some with num_gpus",
        );
    }
    if value.contains('\0') {
        return refuse("has a value with a zero byte");
    }
    if name.len() + value.len() + 2 > VARIABLE {
        return refuse(&format!("and its value are longer than {VARIABLE} bytes"));
    }
    Ok(())
}

/// Names under our prefixes but those that users were always told to set.
fn is_ours(name: &str) -> bool {
    let for_users = [
        "ATLAS_CONFIG",
        "ATLAS_HOME",
        "FOUNDATIONS_COMMAND_LINE",
        "FOUNDATIONS_LOG_LEVEL",
        "FOUNDATIONS_SLACK_TOKEN",
    ];
    let prefixed = name.starts_with("ATLAS_") || name.starts_with("FOUNDATIONS_");
    prefixed && !for_users.contains(&name)
}

/// An image as an engine is asked for it.
pub fn image(given: &Given<String>) -> Result<String, Invalid> {
    let text = bounded(given, 512)?;
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"./_-:@+".contains(&it);
    if !text.bytes().all(plain) || text.starts_with('-') {
        return Err(given.refuse(format!("{} is not the name of an image", shown(&text))));
    }
    if has_capitals(&text) {
        let small = shown(&text.to_ascii_lowercase());
        return Err(given.refuse(format!(
            "{} is not the name of an image: it has capitals, and engines know only names such as {small}",
            shown(&text)
        )));
    }
    Ok(text)
}

/// Whether the name of an image has some where no engine takes them. A registry, a tag and a digest may have capitals.
fn has_capitals(image: &str) -> bool {
    let is_capital = |it: char| it.is_ascii_uppercase();
    let name = image.split('@').next().unwrap_or(image);
    let path = match name.split_once('/') {
        Some((host, path)) if host.contains(|it| it == '.' || it == ':' || is_capital(it)) => path,
        _ => name,
    };
    // A colon before a slash belongs to a registry.
    let end = path.rfind(':').filter(|at| !path[*at..].contains('/')).unwrap_or(path.len());
    path[..end].contains(is_capital)
}
