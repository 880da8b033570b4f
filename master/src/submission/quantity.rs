//! Numbers and lengths of time as people type them. Gigabytes are 10^9 bytes.

use atlas_core::time::Millis;
use atlas_core::units::Duration;

use super::Invalid;
use super::given::{Given, shown};

/// Fewer bytes are refused by container engines.
const LEAST_GB: f64 = 0.01;
const LEAST_CPUS: f64 = 0.01;
const GB: f64 = 1e9;
/// An exabyte: beyond it a number is a mistake, and below it fits every type.
const MOST: f64 = 1e9;
/// The same in bytes.
pub(super) const MOST_BYTES: u64 = 1_000_000_000_000_000_000;
/// Of a time limit: ten years.
pub(super) const LONGEST: Millis = Millis::from_secs(3650 * 86_400);

/// A whole number, 0 included.
pub fn gpus(given: &Given<String>) -> Result<u32, Invalid> {
    let digits = given.value.bytes().all(|it| it.is_ascii_digit());
    match given.value.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(invalid(given, "GPU", "non-negative integer GPU quantity")),
    }
}

/// Bytes from gigabytes.
pub fn ram(given: &Given<String>) -> Result<u64, Invalid> {
    scaled(given, GB, LEAST_GB, "RAM", "RAM quantity greater than zero")
}

/// Bytes from gigabytes.
pub fn shm(given: &Given<String>) -> Result<u64, Invalid> {
    scaled(
        given,
        GB,
        LEAST_GB,
        "shared memory",
        "quantity of shared memory in GB greater than zero",
    )
}

/// Bytes from gigabytes.
pub fn output(given: &Given<String>) -> Result<u64, Invalid> {
    scaled(given, GB, 0.0, "output", "quantity of output in GB greater than zero")
}

/// Thousandths of a core.
pub fn cpus(given: &Given<String>) -> Result<u64, Invalid> {
    scaled(given, 1000.0, LEAST_CPUS, "CPU", "CPU quantity greater than zero")
}

/// How long a job may run: `90s`, `1h30m`; a number alone is seconds.
pub fn time_limit(given: &Given<String>) -> Result<Millis, Invalid> {
    let text = &given.value;
    let time = text.parse::<Duration>().or_else(|_| format!("{text}s").parse());
    let limit = time.ok().and_then(|it| u64::try_from(it.as_millis()).ok());
    match limit {
        Some(limit) if (1..=LONGEST.0).contains(&limit) => Ok(Millis(limit)),
        _ => Err(given.refuse(format!(
            "Invalid time limit. Please provide a length of time greater than zero and up to {LONGEST}, such as 90s, 30m, 1h30m or 2d; a number alone is seconds. Given: {}",
            shown(text)
        ))),
    }
}

/// A decimal number in units of 1/`scale`.
fn scaled(
    given: &Given<String>,
    scale: f64,
    least: f64,
    what: &str,
    wanted: &str,
) -> Result<u64, Invalid> {
    let number = given.value.parse::<f64>().ok().filter(|it| it.is_finite() && *it > 0.0);
    let Some(number) = number else { return Err(invalid(given, what, wanted)) };
    if number < least {
        let wanted = format!("{what} quantity of at least {least}");
        return Err(invalid(given, what, &wanted));
    }
    if number > MOST {
        return Err(invalid(given, what, &format!("{what} quantity that a machine can have")));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is positive and below 10^18"
    )]
    let units = (number * scale).round() as u64;
    Ok(units.max(1))
}

fn invalid(given: &Given<String>, what: &str, wanted: &str) -> Invalid {
    let got = shown(&given.value);
    given.refuse(format!("Invalid {what} quantity. Please provide a {wanted}. Given: {got}"))
}
