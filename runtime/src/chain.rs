//! An error with its causes, on one line.

use std::error::Error;
use std::fmt;

/// Shows an error and what caused it: `could not write job-7: connection refused`. Our errors do not repeat their
/// source, so this is how they are logged and printed.
///
/// ```
/// use atlas_runtime::Chain;
/// # let error = std::io::Error::other("disk full");
/// assert_eq!(Chain(&error).to_string(), "disk full");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Some libraries do repeat their source; it is said once.
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        for cause in std::iter::successors(self.0.source(), |error| (*error).source()) {
            let cause = cause.to_string();
            if !said.ends_with(&cause) {
                write!(f, ": {cause}")?;
            }
            said = cause;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let source = texts.get(1).map(|_| Box::new(layers(&texts[1..])));
        Layer { text: texts[0], source }
    }

    #[test]
    fn every_cause_is_said_and_none_twice() {
        let error = layers(&["could not start", "no image: not found", "not found", "404"]);
        assert_eq!(Chain(&error).to_string(), "could not start: no image: not found: 404");
    }
}
